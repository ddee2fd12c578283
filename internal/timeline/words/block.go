package words

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
)

// Version is that of what a word is and of the layout of pages. A page of
// another version is as good as none.
const Version = 1

// Older says that a page is of a version before.
func Older(page []byte) bool { return len(page) > 0 && page[0] >= 1 && page[0] < Version }

// Size is how many entries a block has.
const Size = 1024

// Bounds of a block's index, which are bounds of memory. An entry with more
// than its share is a candidate of every question.
const (
	maxEntryWords = 4096
	maxBlockBytes = 4 << 20
	pageBytes     = 3500
)

// Set is a set of entries of one block.
type Set [Size / 64]uint64

// All is the set of all entries of a block.
func All() (s Set) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}

// Add puts the i-th entry in; Has says whether it is in.
func (s *Set) Add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *Set) Has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }

// And leaves what is in o too, Or adds what is in o.
func (s *Set) And(o *Set) {
	for i := range s {
		s[i] &= o[i]
	}
}

// Or adds what is in o.
func (s *Set) Or(o *Set) {
	for i := range s {
		s[i] |= o[i]
	}
}

// Empty says whether nothing is in.
func (s *Set) Empty() bool { return *s == Set{} }

// Each yields what is in, in order.
func (s *Set) Each(yield func(i int)) {
	for k, w := range s {
		for ; w != 0; w &= w - 1 {
			yield(64*k + bits.TrailingZeros64(w))
		}
	}
}

// Block collects the words of up to Size entries.
type Block struct {
	postings map[string]*[]uint16 // ascending
	any      Set                  // entries of which not every word is there
	bytes    int
}

// NewBlock is a block without entries.
func NewBlock() *Block { return &Block{postings: map[string]*[]uint16{}} }

// Add adds the i-th entry; entries come in order. A redacted one has no payload.
func (b *Block) Add(i int, title, subject, typ string, payload []byte) {
	n := 0
	if !ofEntry(title, subject, typ, payload, func(w []byte) bool {
		p := b.postings[string(w)]
		if p == nil {
			p = new([]uint16)
			b.postings[string(w)] = p
			b.bytes += len(w)
		}
		if k := len(*p); k > 0 && (*p)[k-1] == uint16(i) {
			return true
		}
		*p = append(*p, uint16(i))
		b.bytes += 2
		n++
		return n < maxEntryWords && b.bytes < maxBlockBytes
	}) {
		b.any.Add(i)
	}
}

// Page is a stretch of a block's words in order: those from First up to the
// next page's. The first page's First is "".
type Page struct {
	First string
	Data  []byte
}

// Pages lays the block out; the same entries make the same pages. A page holds
// its version, the entries that are candidates of every question, and words in
// order, each as the length it has in common with the word before, the rest,
// and its entries.
func (b *Block) Pages() []Page {
	out := []Page{{Data: b.header()}}
	var before string
	for _, w := range slices.Sorted(maps.Keys(b.postings)) {
		at := &out[len(out)-1]
		if len(at.Data) >= pageBytes {
			out = append(out, Page{First: w, Data: b.header()})
			at, before = &out[len(out)-1], ""
		}
		common := 0
		for common < min(len(w), len(before)) && w[common] == before[common] {
			common++
		}
		at.Data = binary.AppendUvarint(at.Data, uint64(common))
		at.Data = binary.AppendUvarint(at.Data, uint64(len(w)-common))
		at.Data = append(at.Data, w[common:]...)
		at.Data = appendEntries(at.Data, *b.postings[w])
		before = w
	}
	return out
}

func (b *Block) header() []byte {
	var all []uint16
	b.any.Each(func(i int) { all = append(all, uint16(i)) })
	return appendEntries([]byte{Version}, all)
}

// maxListed is from where on a set is shorter than a list.
const maxListed = 96

func appendEntries(dst []byte, entries []uint16) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	if len(entries) <= maxListed {
		before := uint16(0)
		for _, i := range entries {
			dst = binary.AppendUvarint(dst, uint64(i-before))
			before = i
		}
		return dst
	}
	var s Set
	for _, i := range entries {
		s.Add(int(i))
	}
	for _, w := range s {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

// After is greater than every word that begins with prefix, and no greater than
// any other word that is greater than prefix.
func After(prefix string) string { return prefix + "\U0010ffff" }

// Find adds to found the entries of a page that may have a word beginning with
// prefix. It is false where the page is of another version or damaged: then
// nothing is known of the block.
func Find(page []byte, prefix string, found *Set) bool {
	if len(page) == 0 || page[0] != Version {
		return false
	}
	r := reader{rest: page[1:]}
	r.entries(found)
	var word []byte
	for len(r.rest) > 0 && !r.bad {
		common, length := r.number(), r.number()
		if common > uint64(len(word)) {
			return false
		}
		word = append(word[:common], r.take(length)...)
		if bytes.HasPrefix(word, []byte(prefix)) {
			r.entries(found)
		} else {
			r.entries(nil)
		}
	}
	return !r.bad
}

// reader reads a page; bad is once and for all.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// entries reads a list or set of entries and adds it to into, nil for nowhere.
func (r *reader) entries(into *Set) {
	n := r.number()
	if n > maxListed {
		raw := r.take(Size / 8)
		for i := 0; into != nil && i+8 <= len(raw); i += 8 {
			into[i/8] |= binary.LittleEndian.Uint64(raw[i:])
		}
		return
	}
	at := uint64(0)
	for ; n > 0 && !r.bad; n-- {
		if at += r.number(); at >= Size {
			r.bad = true
			return
		}
		if into != nil {
			into.Add(int(at))
		}
	}
}

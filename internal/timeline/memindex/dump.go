package memindex

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// dumpVersion is the form of a Dump; another one is not read.
const dumpVersion = 1

// Dump is the index of one timeline at one head, by columns, as gob has
// it. It holds nothing of payloads, salts and details.
type Dump struct {
	Version    int
	Tenant     timeline.Tenant
	Head       timeline.Head
	Names      []string
	Leaves     []byte // 32 each
	RecordedAt []string
	Repeats    []uint64    // of each RecordedAt
	Fields     [6][]uint32 // type, author, on behalf of, subject, visibility, status
	TagCount   []uint32
	Tags       []uint32
	Redacted   []uint64
	Spent      []byte // 16 each
	SpentSeq   []uint64
	Decided    []bool // the id was spent by a decision
	LinkKind   []byte
	LinkID     []byte // 16 each
	LinkFrom   []uint64
	Levels     []int
	Hashes     [][]byte // of each level, 32 each
	Sizes      []uint64 // of checkpoints
	Batches    []uint32 // that they were committed with
	State      []standing.Row
	Identities []string
}

// Dump writes the index of a timeline down. beside runs while it cannot grow,
// which is no longer than it takes to copy the columns.
func (x *Index) Dump(id string, beside func()) ([]byte, error) {
	t, err := x.reading(id)
	if err != nil {
		return nil, err
	}
	beside()
	d := t.dump()
	t.mu.RUnlock()
	return d.encode()
}

// Dump writes down what Prepare reads.
func (p *Prepared) Dump() ([]byte, error) { return p.t.dump().encode() }

func (s *Dump) encode() ([]byte, error) {
	var out bytes.Buffer
	err := gob.NewEncoder(&out).Encode(s)
	return out.Bytes(), err
}

// dump copies the index; what it shares with it never changes in place.
func (t *indexed) dump() *Dump {
	s := &Dump{
		Version: dumpVersion, Tenant: t.record, Head: t.head, Names: t.names.texts,
		State: t.stateRows(everyRow), Identities: t.identities, Leaves: make([]byte, 0, 32*len(t.rows)),
		Spent: make([]byte, 0, 16*len(t.spent)), SpentSeq: make([]uint64, 0, len(t.spent)), Decided: make([]bool, 0, len(t.spent)),
	}
	for i := range t.rows {
		r := &t.rows[i]
		s.Leaves = append(s.Leaves, r.leaf[:]...)
		if n := len(s.RecordedAt); n > 0 && s.RecordedAt[n-1] == r.recordedAt {
			s.Repeats[n-1]++
		} else {
			s.RecordedAt, s.Repeats = append(s.RecordedAt, r.recordedAt), append(s.Repeats, 1)
		}
		for f, v := range r.fields() {
			s.Fields[f] = append(s.Fields[f], uint32(*v))
		}
		s.TagCount = append(s.TagCount, uint32(len(r.tags)))
		for _, tag := range r.tags {
			s.Tags = append(s.Tags, uint32(tag))
		}
		if r.redacted {
			s.Redacted = append(s.Redacted, uint64(i))
		}
	}
	for _, c := range t.checkpoints {
		s.Sizes, s.Batches = append(s.Sizes, c.size), append(s.Batches, c.batch)
	}
	for key, by := range t.spent {
		s.Spent = append(s.Spent, key[:]...)
		s.SpentSeq, s.Decided = append(s.SpentSeq, by.Seq), append(s.Decided, by.By == timeline.SpentByDecision)
	}
	for l, from := range t.links {
		for _, seq := range from {
			s.LinkKind, s.LinkID, s.LinkFrom = append(s.LinkKind, byte(l.kind)), append(s.LinkID, l.id[:]...), append(s.LinkFrom, seq)
		}
	}
	for level, hashes := range t.hashes {
		var raw []byte
		for _, h := range hashes {
			raw = append(raw, h[:]...)
		}
		s.Levels, s.Hashes = append(s.Levels, level), append(s.Hashes, raw)
	}
	return s
}

// fields are the names of a row, in the order of Dump.Fields.
func (r *row) fields() [6]*name {
	return [6]*name{&r.typ, &r.author, &r.onBehalfOf, &r.subject, &r.visibility, &r.status}
}

// Prepared is a timeline read from a dump that the index does not show yet.
type Prepared struct{ t *indexed }

// Prepare reads a dump. What does not hold together is an error: its
// columns, and the root that its leaves make.
func (x *Index) Prepare(raw []byte, content Content) (*Prepared, error) {
	s := new(Dump)
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(s); err != nil {
		return nil, fmt.Errorf("memindex: read dump: %w", err)
	}
	t, err := s.index(content)
	return &Prepared{t}, err
}

// Tenant is the timeline's record and head.
func (p *Prepared) Tenant() (timeline.Tenant, timeline.Head) { return p.t.sized(), cloneHead(p.t.head) }

// Batches is how many were committed.
func (p *Prepared) Batches() uint64 { return uint64(p.t.batches()) }

// LastLeaf is that of the last entry; every timeline has one.
func (p *Prepared) LastLeaf() span.Hash { return p.t.rows[len(p.t.rows)-1].leaf }

// Enlist makes the index show a timeline.
func (x *Index) Enlist(p *Prepared) { x.enlist(p.t, p.t.identities) }

// index makes the timeline that a dump describes.
func (s *Dump) index(content Content) (*indexed, error) {
	size := s.Head.Size
	n := uint64(len(s.TagCount))
	if s.Version != dumpVersion || n != size || size == 0 || uint64(len(s.Leaves)) != n*32 || len(s.Names) == 0 || s.Names[0] != "" ||
		len(s.RecordedAt) != len(s.Repeats) || len(s.Spent) != 16*len(s.SpentSeq) || len(s.Decided) != len(s.SpentSeq) ||
		len(s.LinkID) != 16*len(s.LinkKind) || len(s.LinkFrom) != len(s.LinkKind) || len(s.Levels) != len(s.Hashes) || len(s.Sizes) != len(s.Batches) {
		return nil, errUnfit("columns of different length")
	}
	t := newIndexed(content)
	t.record, t.head, t.identities = s.Tenant, s.Head, s.Identities
	for i, text := range s.Names {
		if t.names.of(text) != name(i) {
			return nil, errUnfit("a name twice")
		}
	}
	if err := s.rows(t); err != nil {
		return nil, err
	}
	for _, seq := range s.Redacted {
		if seq >= size {
			return nil, errUnfit("an entry beyond the head")
		}
		t.rows[seq].redacted = true
	}
	for i, seq := range s.SpentSeq {
		by := timeline.Spent{Seq: seq, By: timeline.SpentByEntry}
		if s.Decided[i] {
			by.By = timeline.SpentByDecision
		}
		if seq >= size {
			return nil, errUnfit("an entry beyond the head")
		}
		t.spent[spanKey(s.Spent[16*i:])] = by
	}
	for i, seq := range s.LinkFrom {
		if seq >= size {
			return nil, errUnfit("an entry beyond the head")
		}
		at := link{timeline.LinkKind(s.LinkKind[i]), spanKey(s.LinkID[16*i:])}
		t.links[at] = append(t.links[at], seq)
	}
	for i, level := range s.Levels {
		for raw := s.Hashes[i]; len(raw) >= 32; raw = raw[32:] {
			t.hashes[level] = append(t.hashes[level], span.Hash(raw))
		}
	}
	for _, r := range s.State {
		t.state.Set(r.Key, append([]byte{}, r.Value...))
	}
	for i, at := range s.Sizes {
		t.checkpoints = append(t.checkpoints, checkpoint{at, s.Batches[i]})
	}
	if len(s.Sizes) == 0 || !slices.IsSorted(s.Sizes) || !slices.IsSorted(s.Batches) || s.Sizes[len(s.Sizes)-1] != size {
		return nil, errUnfit("no checkpoint of its size")
	}
	return t, nil
}

// rows makes the entries and holds their leaves against the root.
func (s *Dump) rows(t *indexed) error {
	edge := &tree.Range{}
	times, tags := s.times(), s.Tags
	t.rows = make([]row, s.Head.Size)
	for i := range t.rows {
		r := &t.rows[i]
		r.leaf = span.Hash(s.Leaves[32*i:])
		edge.Append(r.leaf, nil)
		at, ok := times()
		if !ok || int(s.TagCount[i]) > len(tags) {
			return errUnfit("columns of different length")
		}
		r.recordedAt = at
		for f, into := range r.fields() {
			if i >= len(s.Fields[f]) || int(s.Fields[f][i]) >= len(s.Names) {
				return errUnfit("a name that is missing")
			}
			*into = name(s.Fields[f][i])
		}
		for _, tag := range tags[:s.TagCount[i]] {
			if int(tag) >= len(s.Names) {
				return errUnfit("a name that is missing")
			}
			r.tags = append(r.tags, name(tag))
		}
		tags = tags[s.TagCount[i]:]
	}
	if edge.Root() != s.Head.Root || !slices.Equal(edge.Hashes(), s.Head.Edge) {
		return errUnfit("leaves of another root")
	}
	return nil
}

// times goes through the times of all entries.
func (s *Dump) times() func() (string, bool) {
	i, used := 0, uint64(0)
	return func() (string, bool) {
		for i < len(s.Repeats) && used == s.Repeats[i] {
			i, used = i+1, 0
		}
		if i >= len(s.RecordedAt) {
			return "", false
		}
		used++
		return s.RecordedAt[i], true
	}
}

func errUnfit(reason string) error { return fmt.Errorf("memindex: the dump has %s", reason) }

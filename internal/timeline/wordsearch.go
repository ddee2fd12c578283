package timeline

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// WordIndexer is what a Store is besides where it keeps an index of words: one
// block of words.Size entries at a time, of complete blocks alone, written once
// and dropped when content of one of its entries is erased. Select answers the
// same with it, without it and with any part of it.
type WordIndexer interface {
	// IndexWords indexes the first complete block that is not, if there is one,
	// and says how many are left then. It keeps appends waiting for no longer
	// than the writing of that block takes. Several may run at once, in any
	// process: what one of them indexed, or what was erased meanwhile, makes the
	// other's work undone, never wrong. busy says that somebody else is at it.
	IndexWords(ctx context.Context, tenant string) (left uint64, busy bool, err error)
}

// AddWords puts an entry's words into the block that it belongs to.
func AddWords(b *words.Block, r *Record) error {
	e := r.Entry
	if e == nil {
		var err error
		if e, err = span.ParseLine(r.Line); err != nil {
			return err
		}
	}
	payload := r.Payload
	if r.Redacted {
		payload = nil
	}
	b.Add(int(r.Seq%words.Size), e.Span.Title, e.Span.Subject, e.Span.Type, payload)
	return nil
}

// WordSource is what a store that keeps an index of words answers a question
// by. Both go through committed data; they need not be of one moment.
type WordSource interface {
	// Pages gives the pages of these blocks that can hold a word beginning with
	// prefix, at least one for each block that is indexed.
	Pages(ctx context.Context, blocks []uint64, prefix string, each func(block uint64, page []byte) error) error
	// Candidates gives the entries among seqs that meet every condition but
	// Words, From and To, in the order of seqs, until each says that it has
	// enough. cut says that there may be more of them after the last one given.
	Candidates(ctx context.Context, seqs []uint64, each func(*Record) (more bool, err error)) (cut bool, err error)
}

// Bounds of one SearchWords.
const (
	searchBlocks = 4096 // whose index is asked
	searchLooks  = 20_000
	searchBytes  = 16 << 20
	maxGroup     = 64  // blocks asked about at once
	maxAtOnce    = 512 // candidates read at once
)

// SearchWords answers a filter with words, for from <= seq < to, block by block
// in the filter's order: the index says which entries can match, and where it
// says nothing of a block all of them can; MatchesWords decides.
func SearchWords(ctx context.Context, src WordSource, f *Filter, from, to uint64) (Selection, error) {
	s := &wordSearch{src: src, f: f, from: from, to: to, budget: NewBudget(f.Bytes)}
	// The longest is likely to be the rarest.
	s.words = slices.Clone(f.Words)
	slices.SortStableFunc(s.words, func(a, b string) int { return len(b) - len(a) })
	err := s.run(ctx)
	return s.out, err
}

type wordSearch struct {
	src      WordSource
	f        *Filter
	words    []string
	from, to uint64 // what is left
	budget   Budget
	out      Selection
	looked   int
	searched int
}

func (s *wordSearch) run(ctx context.Context) error {
	asked, group := 0, 1
	for s.from < s.to {
		if asked >= searchBlocks || s.spent() {
			s.pause()
			return nil
		}
		blocks := s.next(group)
		asked, group = asked+len(blocks), min(2*group, maxGroup)
		seqs, err := s.candidates(ctx, blocks)
		if err != nil {
			return err
		}
		if done, err := s.look(ctx, seqs); done || err != nil {
			return err
		}
		last := blocks[len(blocks)-1]
		if s.f.Descending {
			s.to = min(s.to, max(s.from, last*words.Size))
		} else {
			s.from = max(s.from, min(s.to, (last+1)*words.Size))
		}
	}
	return nil
}

// pause ends the page before what is left.
func (s *wordSearch) pause() {
	s.out.More, s.out.Resume = true, s.from
	if s.f.Descending {
		s.out.Resume = s.to - 1
	}
}

// spent says that one page has looked at enough.
func (s *wordSearch) spent() bool { return s.looked >= searchLooks || s.searched >= searchBytes }

// next are the blocks to look at next, at most n of them, in order.
func (s *wordSearch) next(n int) []uint64 {
	first, last := s.from/words.Size, (s.to-1)/words.Size
	out := make([]uint64, 0, n)
	for i := uint64(0); i < uint64(n) && i <= last-first; i++ {
		if s.f.Descending {
			out = append(out, last-i)
		} else {
			out = append(out, first+i)
		}
	}
	return out
}

// candidates are the seqs in some blocks that can match, in the filter's order.
func (s *wordSearch) candidates(ctx context.Context, blocks []uint64) ([]uint64, error) {
	able := make(map[uint64]*words.Set, len(blocks))
	for _, b := range blocks {
		all := words.All()
		able[b] = &all
	}
	ask := blocks
	for _, word := range s.words {
		found := make(map[uint64]*words.Set, len(ask))
		unknown := map[uint64]bool{}
		if err := s.src.Pages(ctx, ask, word, func(block uint64, page []byte) error {
			set := found[block]
			if set == nil {
				set = new(words.Set)
				found[block] = set
			}
			if !words.Find(page, word, set) {
				unknown[block] = true
			}
			return nil
		}); err != nil {
			return nil, err
		}
		var rest []uint64
		for _, b := range ask {
			if found[b] == nil || unknown[b] {
				continue // not indexed: no other word tells more
			}
			able[b].And(found[b])
			if !able[b].Empty() {
				rest = append(rest, b)
			}
		}
		if ask = rest; len(ask) == 0 {
			break
		}
	}
	var out []uint64
	for _, b := range blocks {
		begin := len(out)
		able[b].Each(func(i int) {
			if seq := b*words.Size + uint64(i); seq >= s.from && seq < s.to {
				out = append(out, seq)
			}
		})
		if s.f.Descending {
			slices.Reverse(out[begin:])
		}
	}
	return out, nil
}

// look reads candidates and keeps those that match; done says that the page is
// at its end.
func (s *wordSearch) look(ctx context.Context, seqs []uint64) (done bool, err error) {
	for len(seqs) > 0 {
		// One more than fits, which tells whether there is more; others may fall
		// to the other conditions.
		n := min(len(seqs), maxAtOnce, max(64, 2*(s.f.Limit-len(s.out.Records)+1)))
		last, given := uint64(0), false
		cut, err := s.src.Candidates(ctx, seqs[:n], func(r *Record) (bool, error) {
			last, given = r.Seq, true
			done, err = s.take(r)
			return !done, err
		})
		if done || err != nil {
			return done, err
		}
		if cut && given {
			n = slices.Index(seqs[:n], last) + 1
		}
		s.looked += n
		seqs = seqs[n:]
		if len(seqs) > 0 && s.spent() {
			s.out.More, s.out.Resume = true, seqs[0]
			return true, nil
		}
	}
	return false, nil
}

// take looks at one candidate.
func (s *wordSearch) take(r *Record) (done bool, err error) {
	if len(s.out.Records) < s.f.Limit {
		ok, err := s.f.MatchesWords(r.Line, r.Payload)
		if err != nil {
			return true, err
		}
		s.searched += r.size()
		if !ok {
			return false, nil
		}
		if s.budget.Takes(r) {
			s.out.Records = append(s.out.Records, *r)
			return false, nil
		}
	}
	s.out.More, s.out.Resume = true, r.Seq
	return true, nil
}

// ByWords says whether the index of words answers the filter best: a cause, a
// subject and a status that is rare lead to fewer entries than a word does.
func (f *Filter) ByWords() bool {
	return len(f.Words) > 0 && f.Cause == "" && f.Subject == "" && (f.Status == "" || f.Status == StatusExecuted)
}

// Indexed is how far the index of a timeline's words has come, as it is stored.
type Indexed struct {
	Version  int    // of package words
	Blocks   uint64 // those before are indexed
	Erasures uint64 // how often content was erased: an index of before is void
}

// BlocksOf are the blocks that entries belong to, in order.
func BlocksOf(seqs []uint64) []uint64 {
	out := make([]uint64, len(seqs))
	for i, seq := range seqs {
		out[i] = seq / words.Size
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// BlockPages makes the index of one complete block from its entries, which read
// gives as EntryReader.Range does.
func BlockPages(tenant string, block uint64, read func(from, to uint64) ([]Record, error)) ([]words.Page, error) {
	b := words.NewBlock()
	for from, to := block*words.Size, (block+1)*words.Size; from < to; {
		records, err := read(from, to)
		if err != nil {
			return nil, err
		}
		if len(records) == 0 {
			return nil, fault.Newf(fault.Internal, "entries_missing",
				"the timeline of tenant %s has no entry %d; run logline fsck", tenant, from)
		}
		for i := range records {
			if err := AddWords(b, &records[i]); err != nil {
				return nil, err
			}
		}
		from = records[len(records)-1].Seq + 1
	}
	return b.Pages(), nil
}

package mirror

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// Compact brings the mirror up to date, so that every erasure has reached it,
// and writes the files of payloads anew in which erased ones left their length
// behind. It takes the folder as Run does: timeline_dir_in_use while a server
// mirrors into it.
func (m *Mirror) Compact(ctx context.Context, tell func(dir string)) (out []segment.Shrunk, err error) {
	if m.own {
		lock, err := ndjsonstore.Lock(m.cfg.Dir)
		if err != nil {
			return nil, err
		}
		defer lock.Release()
	}
	defer m.close()
	if err := m.Check(ctx); err != nil {
		return nil, err
	}
	if err := m.Round(ctx, ""); err != nil {
		return nil, err
	}
	ids := make([]string, 0, len(m.copies))
	for id := range m.copies {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		c := m.copies[id]
		if c.payloads == nil {
			continue
		}
		if tell != nil {
			tell(c.payloads.Dir())
		}
		shrunk, err := c.compact(ctx)
		if err != nil {
			return out, err
		}
		out = append(out, shrunk)
	}
	for id := range m.stopped {
		return out, fault.Newf(fault.Unavailable, codeDiverged,
			"the mirror in %s of tenant %s does not follow its timeline any more, so that erasures do not reach it; move its folder away, or remove it", m.cfg.Dir, id)
	}
	return out, nil
}

// erasedPage is how many entries are asked about at once.
const erasedPage = 1000

// compact erases what the timeline says is erased, all of it once more.
func (c *copied) compact(ctx context.Context) (segment.Shrunk, error) {
	erased := map[uint64]bool{}
	for from := uint64(0); from < c.payloads.Len(); from += erasedPage {
		seqs := make([]uint64, 0, erasedPage)
		for n := from; n < min(from+erasedPage, c.payloads.Len()); n++ {
			seqs = append(seqs, n)
		}
		records, err := c.m.source.At(ctx, c.tenant, seqs, false)
		if err != nil {
			return segment.Shrunk{}, err
		}
		for i := range records {
			if records[i].Redacted {
				erased[records[i].Seq] = true
			}
		}
	}
	return c.payloads.Shrink(func(n uint64, line []byte) []byte {
		if erased[n] {
			return ndjsonstore.ErasedContent(n, 0)
		}
		return line
	})
}

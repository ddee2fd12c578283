package backtest

import (
	"context"
	"iter"

	"github.com/danvoulez/logline/internal/span"
)

// Run decides a timeline from its first entry on, page after page as they come, on
// all processors; of pages no more than one and some dozens of entries are held. Now and then
// it tells progress, where that is not nil, how many entries are done. It ends with
// the pages' error, or soon after ctx.
func (b *Backtest) Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) error {
	var held []*span.Opened
	add := func() error {
		if err := b.addAll(ctx, held); err != nil {
			return err
		}
		if held = held[:0]; progress != nil {
			progress(b.next)
		}
		return nil
	}
	for page, err := range pages {
		if err != nil {
			return err
		}
		if held = append(held, page...); len(held) < mostAhead {
			continue
		}
		if err := add(); err != nil {
			return err
		}
	}
	return add()
}

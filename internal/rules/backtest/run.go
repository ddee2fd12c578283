package backtest

import (
	"context"
	"iter"

	"github.com/danvoulez/logline/internal/span"
)

// Run decides a timeline from its first entry on, page after page as they come;
// a page is not kept, and one of some hundred entries is decided on all
// processors. After each it tells progress, where that is not nil, how many
// entries are done. It ends with the pages' error, or soon after ctx.
func (b *Backtest) Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) error {
	for page, err := range pages {
		if err != nil {
			return err
		}
		if err := b.AddAll(ctx, page); err != nil {
			return err
		}
		if progress != nil {
			progress(b.next)
		}
	}
	return ctx.Err()
}

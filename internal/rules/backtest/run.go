package backtest

import (
	"context"
	"iter"

	"github.com/danvoulez/logline/internal/span"
)

// Run decides a timeline from its first entry on, page after page as they come, on
// all processors; of entries no more than a page and some dozens are held. Now and
// then it tells progress, where that is not nil, how many entries are done. It ends
// with the pages' error, or soon after ctx.
func (b *Backtest) Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) (err error) {
	add, settle, done := b.oneByOne(ctx), func() error { return nil }, func() uint64 { return b.next }
	if b.opt.Workers > 1 {
		c := b.newCrew(ctx)
		defer c.dismiss()
		add, settle, done = c.add, c.settle, c.done
	}
	told := b.next
	tell := func() {
		if n := done(); progress != nil && n > told {
			told = n
			progress(n)
		}
	}
	for page, failed := range pages {
		if failed != nil {
			if err := settle(); err != nil {
				return err // of an entry before
			}
			return failed
		}
		if err := add(page); err != nil {
			return err
		}
		tell()
	}
	if err := settle(); err != nil {
		return err
	}
	tell()
	return nil
}

// oneByOne adds entries without deciding any ahead.
func (b *Backtest) oneByOne(ctx context.Context) func([]*span.Opened) error {
	return func(entries []*span.Opened) error {
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.Add(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

package quota

import (
	"context"

	"github.com/danvoulez/logline/internal/ratelimit"
)

// Use is how a tenant stands with one quota.
type Use struct {
	Quota string
	Used  int64
	Limit int64 // None where there is none
	Own   bool  // it is the tenant's own and not the node's
}

// Percent is how much of the quota is used, rounded down; 0 where there is none.
func (u Use) Percent() int64 {
	switch {
	case u.Limit < 0:
		return 0
	case u.Limit == 0:
		return 100
	}
	return int64(float64(u.Used) / float64(u.Limit) * 100)
}

// Level is the highest of the marks that the use has reached, 0 for none.
func (u Use) Level() int {
	level := 0
	for _, mark := range warnAt {
		if u.Limit >= 0 && u.Percent() >= int64(mark) {
			level = mark
		}
	}
	return level
}

// Usage counts what a tenant uses, now.
func (t *Tenants) Usage(ctx context.Context, tenant string) ([]Use, error) {
	values, err := t.book.Of(ctx, tenant)
	if err != nil {
		return nil, err
	}
	mine, err := t.book.own(ctx, tenant)
	if err != nil {
		return nil, err
	}
	size, err := t.counts.Size(ctx, tenant)
	if err != nil {
		return nil, err
	}
	uses := make([]Use, len(Names))
	for i, name := range Names {
		_, own := mine[name]
		uses[i] = Use{Quota: name, Limit: values.of(name), Own: own}
		if uses[i].Used, err = t.used(ctx, tenant, name, values, size); err != nil {
			return nil, err
		}
		if name != Spans {
			t.mark(ctx, tenant, name, uses[i].Used, uses[i].Limit)
		}
	}
	return uses, nil
}

func (t *Tenants) used(ctx context.Context, tenant, name string, values Values, size uint64) (n int64, err error) {
	switch name {
	case Spans:
		most := values.of(Spans)
		if most <= 0 {
			return 0, nil // nobody counts what is not bounded
		}
		var a [1]ratelimit.Answer
		t.rates.Take(ctx, spansAsk(tenant, most, 0), a[:])
		return (most*average - int64(a[0].Remaining) + average - 1) / average, nil
	case Storage:
		n, _, err = t.meter.Bytes(ctx, tenant, size, 0)
	case Feeds:
		n = t.feeds.Held(ctx, feedsOf(tenant))
	case Tasks:
		n, err = t.counts.Tasks(ctx, tenant)
	case Members:
		n, err = t.counts.Members(ctx, tenant)
	}
	return n, err
}

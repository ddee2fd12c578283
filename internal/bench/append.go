package main

import (
	"context"
	"fmt"

	"github.com/danvoulez/logline/internal/loadgen"
)

// measureAppends appends in each way to each store.
func measureAppends(ctx context.Context, b *bench) (figures []figure, err error) {
	for _, store := range b.stores {
		for _, c := range loadgen.Cases(b.quick) {
			b.say("append, %s, %s", store, c.Name())
			f, err := measureAppend(ctx, b, store, c)
			if err != nil {
				return figures, fmt.Errorf("%s, %s: %w", store, c.Name(), err)
			}
			figures = append(figures, f)
		}
	}
	return figures, nil
}

func measureAppend(ctx context.Context, b *bench, store string, c loadgen.Case) (f figure, err error) {
	n, err := b.start(ctx, store)
	if err != nil {
		return f, err
	}
	defer n.remove()
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return f, err
	}
	l, err := n.load(ctx, bodies, c)
	if err != nil {
		return f, err
	}
	note := fmt.Sprintf("p50 %s, p99 %s; a span costs the server %s, its caller %s", loadgen.Show(l.latencies.Percentile(50)),
		loadgen.Show(l.latencies.Percentile(99)), inSeconds.show(l.server.Seconds()/float64(c.Spans)), inSeconds.show(l.clients.Seconds()/float64(c.Spans)))
	return figure{Group: "append", Name: c.Name(), Store: store, Measured: float64(c.Spans) / l.elapsed.Seconds(), Unit: perSecond, Note: note}, n.end()
}

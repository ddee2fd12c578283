package main

import (
	"context"
	"fmt"
	"runtime"

	"github.com/danvoulez/logline/internal/loadgen"
)

// measureAppends appends in each way to each store and holds that against the
// ceiling C: what all cores but those that the clients took could write if a
// span cost no more than its floors.
func measureAppends(ctx context.Context, b *bench) (figures []figure, err error) {
	for _, store := range b.stores {
		for _, c := range loadgen.Cases(b.quick) {
			f, err := b.measureAppend(ctx, store, c)
			if err != nil {
				return figures, fmt.Errorf("%s, %s: %w", store, c.Name(), err)
			}
			figures = append(figures, f...)
		}
	}
	return figures, nil
}

func (b *bench) measureAppend(ctx context.Context, store string, c loadgen.Case) ([]figure, error) {
	machine, err := b.floors(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := b.bare(ctx, store)
	if err != nil {
		return nil, err
	}
	b.say("append, %s, %s", store, c.Name())
	l, err := b.appendCase(ctx, store, c)
	if err != nil {
		return nil, err
	}
	sum := machine.verify + machine.form + bare.span + machine.http(c)
	free := float64(runtime.GOMAXPROCS(0)) - l.clients.Seconds()/l.Elapsed.Seconds()
	ceiling := free / sum
	rate := figure{Group: "append", Name: c.Name(), Store: store, Measured: float64(c.Spans) / l.Elapsed.Seconds(), Unit: perSecond}
	clients, others := l.clients.Seconds()/l.Elapsed.Seconds(), l.others.Seconds()/l.Elapsed.Seconds()
	rate.Note = fmt.Sprintf("%.2f C, %.2f of what others left; C = %s; p50 %s, p99 %s; a span costs %s, its floors %s; clients take %.2f cores, others %.2f",
		rate.Measured/ceiling, rate.Measured*sum/(free-others), perSecond.show(ceiling),
		loadgen.Show(l.Latencies.Percentile(50)), loadgen.Show(l.Latencies.Percentile(99)),
		inSeconds.show(l.server.Seconds()/float64(c.Spans)), inSeconds.show(sum), clients, others)
	switch {
	case c.Lines > 1:
		rate.Target = &target{Text: "0.7 C", Bound: 0.7 * ceiling, Sense: atLeast}
	case c.Callers == 256:
		rate.Target = &target{Text: "0.5 C", Bound: 0.5 * ceiling, Sense: atLeast}
	case bare.commit > 0:
		times := 4.0
		if c.Callers == 1 {
			times = 2
		}
		return []figure{rate, {Group: "append", Name: c.Name() + ", p50", Store: store, Measured: l.Latencies.Percentile(50).Seconds(), Unit: inSeconds,
			Target: &target{Text: fmt.Sprintf("%.0f bare commits", times), Bound: times * bare.commit.Seconds(), Sense: atMost}}}, nil
	}
	return []figure{rate}, nil
}

// appendCase runs one case against a fresh node, after a tenth of it that is
// not measured.
func (b *bench) appendCase(ctx context.Context, store string, c loadgen.Case) (l loaded, err error) {
	n, err := b.start(ctx, store)
	if err != nil {
		return l, err
	}
	defer n.remove()
	warm := c
	warm.Spans = max(c.Spans/10, c.Callers*c.Lines)
	for _, c := range []loadgen.Case{warm, c} {
		bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
		if err != nil {
			return l, err
		}
		if l, err = n.load(ctx, bodies, c); err != nil {
			return l, err
		}
	}
	return l, n.end()
}

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/danvoulez/logline/internal/loadgen"
)

// bareFloor is what a store takes to write spans with nothing around it.
type bareFloor struct {
	span   float64       // processor time of one, written in batches of 1,000, in seconds
	commit time.Duration // median of the commits of one span each; 0 in memory, where nothing is durable
	note   string
}

// bareBatch is how many spans a bare batch has.
const bareBatch = 1000

// bareWriter writes what a node wrote, in order, into an empty store of the
// same kind with the same durability.
type bareWriter interface {
	// next makes the next n spans ready. The function it returns writes and
	// commits them; it is called once, and after the one before.
	next(n int) (write func(context.Context) error, err error)
	close() error
}

// bare measures a store's floor, once.
func (b *bench) bare(ctx context.Context, store string) (bareFloor, error) {
	if f, ok := b.bares[store]; ok {
		return f, nil
	}
	b.say("floors: rows written bare, %s", store)
	f, err := b.measureBare(ctx, store)
	if err != nil {
		return f, fmt.Errorf("bare rows: %w", err)
	}
	b.bares[store] = f
	return f, nil
}

func (b *bench) measureBare(ctx context.Context, store string) (f bareFloor, err error) {
	n, err := b.start(ctx, store)
	if err != nil {
		return f, err
	}
	defer n.remove()
	batches, singles := b.pick(60, 6), b.pick(500, 100)
	c := loadgen.Case{Callers: 4, Lines: 500, Spans: (batches + 2) * bareBatch}
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return f, err
	}
	if _, err := n.load(ctx, bodies, c); err != nil {
		return f, err
	}
	if err := n.end(); err != nil {
		return f, err
	}
	w, note, err := b.bareWriter(ctx, n, bodies)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	f.note = note
	if f.span, err = b.writeBatches(ctx, w, batches); err != nil || store == memory {
		return f, err
	}
	f.commit, err = writeSingles(ctx, w, singles)
	return f, err
}

func (b *bench) bareWriter(ctx context.Context, n *node, bodies [][]byte) (bareWriter, string, error) {
	switch n.store {
	case sqlite:
		w, err := newBareSQLite(ctx, n)
		return w, "the same rows, a statement for 50", err
	case postgres:
		w, err := newBarePostgres(ctx, n)
		return w, "the same rows by unnest under row-level security; the server's processes included", err
	case ndjson:
		w, err := newBareFiles(n)
		return w, "the same bytes into three files, synced", err
	default:
		return newBareMemory(bodies), "the same bytes copied, their ids in a map", nil
	}
}

// writeBatches is the processor time of one span, after one batch that is not counted.
func (b *bench) writeBatches(ctx context.Context, w bareWriter, batches int) (float64, error) {
	var writes []func(context.Context) error
	for range batches + 1 {
		write, err := w.next(bareBatch)
		if err != nil {
			return 0, err
		}
		writes = append(writes, write)
	}
	if err := writes[0](ctx); err != nil {
		return 0, err
	}
	runtime.GC() // of what making ready left, nothing is collected while writing
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	before, err := b.ownAndServers()
	if err != nil {
		return 0, err
	}
	for _, write := range writes[1:] {
		if err := write(ctx); err != nil {
			return 0, err
		}
	}
	after, err := b.ownAndServers()
	return (after - before).Seconds() / float64(batches*bareBatch), err
}

// ownAndServers is the processor time of this process and of the database's server.
func (b *bench) ownAndServers() (time.Duration, error) {
	if b.pg == nil {
		return ownCPU(), nil
	}
	server, err := b.pg.cpu()
	return ownCPU() + server, err
}

// writeSingles is the median time of committing one span.
func writeSingles(ctx context.Context, w bareWriter, singles int) (time.Duration, error) {
	var l loadgen.Latencies
	for range singles {
		write, err := w.next(1)
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := write(ctx); err != nil {
			return 0, err
		}
		l = append(l, time.Since(begin))
	}
	return l.Percentile(50), nil
}

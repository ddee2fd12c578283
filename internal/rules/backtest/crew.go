package backtest

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// crew decides blocks on several goroutines and takes them in one after the other.
// Who has made the block whose turn it is takes it in, and those behind it that are
// made: nobody waits for another one to be woken.
//
// One goroutine gives it entries (add, settle, dismiss). What it shares with the
// others of the backtest changes under crew.mu, by whom takes, or while no block is
// under way.
type crew struct {
	ctx     context.Context
	b       *Backtest
	now     string // the clock behind the entries given so far
	next    *block // is filled
	number  int    // of next
	size    int    // how many blocks there are
	free    chan *block
	todo    chan *block
	workers sync.WaitGroup

	mu     sync.Mutex
	turn   []*block // under way, in order
	taking bool     // somebody takes blocks in
	taken  uint64   // entries
	err    error    // ends it
}

// waitingBlocks is how many blocks wait for a worker, or for their turn, beside one
// for each worker: the fewer, the less rows change until it is an entry's turn.
const waitingBlocks = 4

// newCrew begins, and keeps account of what changes until it is dismissed.
func (b *Backtest) newCrew(ctx context.Context) *crew {
	n := b.opt.Workers + waitingBlocks
	c := &crew{ctx: ctx, b: b, now: b.now, size: n, taken: b.next, free: make(chan *block, n), todo: make(chan *block, n)}
	for range n {
		c.free <- &block{guesses: make([]guess, 0, blockSize)}
	}
	b.news = newNews()
	for range b.opt.Workers {
		c.workers.Go(c.work)
	}
	return c
}

// dismiss waits for the workers.
func (c *crew) dismiss() {
	close(c.todo)
	c.workers.Wait()
	c.b.news = nil
}

// add has entries that follow each other decided, sooner or later.
func (c *crew) add(entries []*span.Opened) error {
	for _, e := range entries {
		if c.b.stands(e) { // what changes keys or roles is decided by itself
			if err := c.settle(); err != nil {
				return err
			}
			if err := c.b.Add(c.ctx, e); err != nil {
				return err
			}
			c.now = c.b.now
			c.count()
			continue
		}
		if c.next == nil {
			if err := c.open(); err != nil {
				return err
			}
		}
		c.now, _ = c.b.advanced(c.now, e)
		if c.next.add(e, standing.Position{Seq: firstSeq(e), RecordedAt: at(c.now, e)}); len(c.next.entries) == blockSize {
			c.give()
		}
	}
	return nil
}

// open gets room for the next block.
func (c *crew) open() error {
	c.next = <-c.free
	c.next.number = c.number
	c.number++
	c.b.lock.Lock()
	c.next.since = c.b.version
	c.b.lock.Unlock()
	return c.failed()
}

func (c *crew) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// done is how many entries were decided.
func (c *crew) done() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// count notes that what the backtest has taken is done.
func (c *crew) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = c.b.next
}

// give hands the next block to the workers.
func (c *crew) give() {
	c.mu.Lock()
	c.turn = append(c.turn, c.next)
	c.mu.Unlock()
	c.todo <- c.next // there is room for all
	c.next = nil
}

// settle waits until all that was added is decided.
func (c *crew) settle() error {
	if c.next != nil {
		c.give()
	}
	all := make([]*block, c.size)
	for i := range all {
		all[i] = <-c.free
	}
	for _, k := range all {
		c.free <- k
	}
	return c.failed()
}

// work is one worker.
func (c *crew) work() {
	seen := newWitness(c.b)
	for k := range c.todo {
		k.guess(c.ctx, seen)
		c.take(k)
	}
}

// take takes in the blocks whose turn it is, now that one is made.
func (c *crew) take(made *block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made.made = true
	if c.taking {
		return // whoever does sees it
	}
	c.taking = true
	for len(c.turn) > 0 && c.turn[0].made {
		k := c.turn[0]
		c.turn = c.turn[1:]
		if c.err == nil {
			c.mu.Unlock()
			err := c.takeIn(k)
			c.mu.Lock()
			c.err = err
			c.taken = c.b.next
		}
		k.reset()
		c.free <- k // there is room for all
	}
	c.taking = false
}

// takeIn is Backtest.takeIn while the crew is well. A panic is an error, which ends the
// backtest and not the program.
func (c *crew) takeIn(k *block) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Newf(fault.Internal, "backtest_panicked", "deciding an entry panicked: %v", p).Because(fmt.Errorf("%s", debug.Stack()))
		}
	}()
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.b.takeIn(c.ctx, k)
}

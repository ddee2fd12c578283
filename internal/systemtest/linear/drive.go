package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrConflict is a Door's answer to a span whose id is another's.
var ErrConflict = errors.New("the id is another span's")

// Entry is an entry as a read shows it.
type Entry struct {
	Seq    uint64
	Hash   string // payload hash of its span
	Erased bool   // its payload was not shown
}

// Door is one way into one timeline, safe for concurrent use. After an error an
// append may have happened or may yet; of a read nothing is known.
type Door interface {
	// Append records a sealed span; repeat says that it was before.
	Append(ctx context.Context, raw []byte) (seq uint64, repeat bool, err error)
	// Get is the entry of a span id, false where there is none.
	Get(ctx context.Context, id string) (Entry, bool, error)
	// List is the whole timeline.
	List(ctx context.Context) ([]Entry, error)
	// Range is the entries with from <= seq < to, all of which are there.
	Range(ctx context.Context, from, to uint64) ([]Entry, error)
	// Head is the number of entries, and the root of their tree.
	Head(ctx context.Context) (size uint64, root string, err error)
	// Count is the number of entries, of those that are erased, and the root.
	Count(ctx context.Context) (size, erased uint64, root string, err error)
	// Follow tells of the entries from a seq on as they come, until it breaks off.
	Follow(ctx context.Context, from uint64, each func(Entry)) error
}

// Span is one that clients may append.
type Span struct {
	ID   string
	Hash string // of its payload, which no other span has
	Raw  []byte // sealed
}

// Sealer makes spans.
type Sealer interface {
	// Note is an ordinary span, with the id of another where that is not "".
	Note(id string) Span
	// Redaction is a span that erases another's payload.
	Redaction(of Span) Span
}

// Plan is what happens in a history.
type Plan struct {
	Seed      uint64
	Clients   int // who append and read at once
	Each      int // operations of each client
	Followers int
	Patience  time.Duration // of the checker
	// Lossy says that a process may not hear that it has committed something. It
	// cannot tell then whether a span was made by this attempt or by another one,
	// and "created" and "repeat" mean the same.
	Lossy bool
}

// drive is a run of a plan.
type drive struct {
	plan   Plan
	doors  []Door
	sealer Sealer
	base   int // entries there were before
	h      *history

	mu      sync.Mutex // guards the rest
	spans   []Span     // by number
	rivals  map[Number]Number
	erases  map[Number]Number
	byHash  map[string]Number
	stands  []Number // that were acknowledged and are not to be erased yet
	roots   map[uint64]string
	reached uint64 // a size that was seen
}

// Run has clients append and read through all doors at once, and checks what
// they were answered. meanwhile is for what happens to the doors; it is told to
// end by its context, and what it does must leave every door open at its end.
func Run(ctx context.Context, plan Plan, doors []Door, sealer Sealer, meanwhile func(context.Context)) (Outcome, error) {
	d, final, err := run(ctx, plan, doors, sealer, meanwhile)
	if err != nil {
		return Outcome{}, err
	}
	return d.outcome(final), d.h.check(final, plan.Patience)
}

func run(ctx context.Context, plan Plan, doors []Door, sealer Sealer, meanwhile func(context.Context)) (*drive, []seen, error) {
	size, _, err := doors[0].Head(ctx)
	if err != nil {
		return nil, nil, err
	}
	d := &drive{plan: plan, doors: doors, sealer: sealer, base: int(size), h: newHistory(), rivals: map[Number]Number{},
		erases: map[Number]Number{}, byHash: map[string]Number{}, roots: map[uint64]string{}, reached: size}
	d.h.lossy = plan.Lossy
	d.h.feeds = make([][]told, plan.Followers)

	following, leave := context.WithCancel(ctx)
	troubled, calm := context.WithCancel(ctx)
	var followers, trouble, clients sync.WaitGroup
	defer followers.Wait()
	defer leave()
	for n := range plan.Followers {
		followers.Go(func() { d.follow(following, n) })
	}
	trouble.Go(func() { meanwhile(troubled) })
	for n := range plan.Clients {
		clients.Go(func() { d.client(ctx, n) })
	}
	clients.Wait()
	calm()
	trouble.Wait()
	final, err := d.final(ctx)
	if err == nil {
		err = d.caughtUp(ctx, len(final))
	}
	d.h.rivals = d.rivals
	return d, final, err
}

// Outcome is what a history came to.
type Outcome struct{ Operations, Appended, Repeated, Conflicts, Unknown, Erased, Entries, Told int }

func (o Outcome) String() string {
	return fmt.Sprintf("%d operations: %d spans appended, %d repeats, %d conflicts, %d without an answer, %d erased; %d entries, %d told by feeds",
		o.Operations, o.Appended, o.Repeated, o.Conflicts, o.Unknown, o.Erased, o.Entries, o.Told)
}

func (d *drive) outcome(final []seen) Outcome {
	d.h.mu.Lock()
	defer d.h.mu.Unlock()
	o := Outcome{Operations: len(d.h.ops), Entries: len(final)}
	for _, op := range d.h.ops {
		switch op.Output.(output).result {
		case created:
			o.Appended++
		case repeated:
			o.Repeated++
		case conflict:
			o.Conflicts++
		case unknown:
			o.Unknown++
		}
	}
	for _, e := range final {
		if e.erased {
			o.Erased++
		}
	}
	for _, feed := range d.h.feeds {
		o.Told += len(feed)
	}
	return o
}

// client does one client's part.
func (d *drive) client(ctx context.Context, n int) {
	random := rand.New(rand.NewPCG(d.plan.Seed, uint64(n)))
	for range d.plan.Each {
		if ctx.Err() != nil {
			return
		}
		door := d.doors[random.IntN(len(d.doors))]
		var err error
		switch p := random.IntN(100); {
		case p < 40:
			err = d.append(ctx, n, door, d.note())
		case p < 50:
			err = d.append(ctx, n, door, d.known(random))
		case p < 55:
			err = d.append(ctx, n, door, d.rival(random))
		case p < 63:
			err = d.append(ctx, n, door, d.redaction(random))
		default:
			err = d.read(ctx, n, door, random)
		}
		if err != nil {
			d.await(ctx, door)
		}
	}
}

// await waits until a door that was shut is open again, but not for long.
func (d *drive) await(ctx context.Context, door Door) {
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		if _, _, err := door.Head(ctx); err == nil || ctx.Err() != nil {
			return
		}
		pause(ctx, 5*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// note is a new span; none when there are enough.
func (d *drive) note() Number {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.add(func() Span { return d.sealer.Note("") }, none, none)
}

// add numbers a new span. mu is held.
func (d *drive) add(seal func() Span, rival, erases Number) Number {
	if len(d.spans) >= Most {
		return none
	}
	n, s := Number(len(d.spans)), seal()
	d.spans = append(d.spans, s)
	d.byHash[s.Hash] = n
	d.erases[n] = erases
	d.rivals[n] = rival
	if rival != none {
		d.rivals[rival] = n
	}
	return n
}

// known is a span that somebody sent before, or sends at this moment.
func (d *drive) known(random *rand.Rand) Number {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.spans) == 0 {
		return none
	}
	return Number(random.IntN(len(d.spans)))
}

// rival is another span with the id of one that has no rival yet.
func (d *drive) rival(random *rand.Rand) Number {
	of := d.known(random)
	d.mu.Lock()
	defer d.mu.Unlock()
	if of == none || d.rivals[of] != none || d.erases[of] != none {
		return none
	}
	return d.add(func() Span { return d.sealer.Note(d.spans[of].ID) }, of, none)
}

// redaction erases a span that was acknowledged, each once.
func (d *drive) redaction(random *rand.Rand) Number {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.stands) == 0 {
		return none
	}
	i := random.IntN(len(d.stands))
	n := d.stands[i]
	d.stands = append(d.stands[:i], d.stands[i+1:]...)
	return d.add(func() Span { return d.sealer.Redaction(d.spans[n]) }, none, n)
}

// append sends a span once.
func (d *drive) append(ctx context.Context, client int, door Door, n Number) error {
	if n == none {
		return nil
	}
	d.mu.Lock()
	s, in := d.spans[n], input{kind: doAppend, span: n, erases: d.erases[n]}
	d.mu.Unlock()
	called := d.h.now()
	seq, repeat, err := door.Append(ctx, s.Raw)
	out := output{result: created, seq: int(seq) - d.base}
	switch {
	case errors.Is(err, ErrConflict):
		out, err = output{result: conflict}, nil
	case err != nil:
		out = output{result: unknown}
	case repeat:
		out.result = repeated
	}
	d.h.add(client, in, called, out, d.h.now())
	if out.result == created && in.erases == none {
		d.mu.Lock()
		d.stands = append(d.stands, n)
		d.mu.Unlock()
	}
	return err
}

// read asks one question.
func (d *drive) read(ctx context.Context, client int, door Door, random *rand.Rand) (err error) {
	called := d.h.now()
	switch random.IntN(6) {
	case 0, 1:
		n := d.known(random)
		if n == none {
			return nil
		}
		d.mu.Lock()
		id, in := d.spans[n].ID, input{kind: doGet, span: n, erases: none}
		d.mu.Unlock()
		e, found, err := door.Get(ctx, id)
		if err != nil {
			return err
		}
		var out output
		if found {
			out = output{seq: int(e.Seq) - d.base, seen: d.seen([]Entry{e}, int(e.Seq))}
		}
		d.h.add(client, in, called, out, d.h.now())
	case 2:
		entries, err := door.List(ctx)
		if err != nil {
			return err
		}
		d.h.add(client, input{kind: doList}, called, output{seen: d.seen(entries, 0)}, d.h.now())
	case 3:
		return d.readRange(ctx, client, door, random, called)
	case 4:
		size, root, err := door.Head(ctx)
		if err != nil {
			return err
		}
		d.reach(size, root)
		d.h.add(client, input{kind: doHead}, called, output{size: int(size) - d.base}, d.h.now())
	case 5:
		size, erased, root, err := door.Count(ctx)
		if err != nil {
			return err
		}
		d.reach(size, root)
		d.h.add(client, input{kind: doCount}, called, output{size: int(size) - d.base, erased: int(erased)}, d.h.now())
	}
	return nil
}

func (d *drive) readRange(ctx context.Context, client int, door Door, random *rand.Rand, called int64) error {
	d.mu.Lock()
	grown := d.reached - uint64(d.base)
	d.mu.Unlock()
	if grown == 0 {
		return nil
	}
	to := 1 + random.Uint64N(grown)
	from := random.Uint64N(to)
	entries, err := door.Range(ctx, from+uint64(d.base), to+uint64(d.base))
	if err != nil {
		return err
	}
	d.h.add(client, input{kind: doRange, from: int(from), to: int(to)}, called, output{seen: d.seen(entries, int(from)+d.base)}, d.h.now())
	return nil
}

// reach notes a size that was seen: one size has one root.
func (d *drive) reach(size uint64, root string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reached = max(d.reached, size)
	if other := d.roots[size]; other != "" && other != root {
		d.h.accuse("two roots of %d entries: %s and %s", size, other, root)
	}
	d.roots[size] = root
}

// seen is entries by their numbers, without those that were there before; the
// first must be of a seq, and no seq may be left out.
func (d *drive) seen(entries []Entry, from int) (out []seen) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range entries {
		if int(e.Seq) != from+i {
			d.h.accuse("entry %d came where %d was due", e.Seq, from+i)
		}
		if int(e.Seq) < d.base {
			continue
		}
		n, sent := d.byHash[e.Hash]
		if !sent {
			d.h.accuse("entry %d is of a span that nobody sent", e.Seq)
			n = none
		}
		out = append(out, seen{span: n, erased: e.Erased})
	}
	return out
}

// follow is a follower, who opens the feed again where it broke off.
func (d *drive) follow(ctx context.Context, n int) {
	random := rand.New(rand.NewPCG(d.plan.Seed, 1000+uint64(n)))
	next := d.base
	for ctx.Err() == nil {
		opened := d.h.now()
		connection, cut := context.WithCancel(ctx)
		rest := 5 + random.IntN(60) // entries until this follower hangs up and comes again
		_ = d.doors[random.IntN(len(d.doors))].Follow(connection, uint64(next), func(e Entry) {
			if rest == 0 {
				return
			}
			if rest--; rest == 0 {
				cut()
			}
			came := d.h.now()
			for _, s := range d.seen([]Entry{e}, next) {
				d.h.mu.Lock()
				d.h.feeds[n] = append(d.h.feeds[n], told{seq: int(e.Seq) - d.base, seen: s, opened: opened, came: came})
				d.h.mu.Unlock()
			}
			next++
		})
		cut()
		pause(ctx, time.Millisecond)
	}
}

// enough bounds how long it may take until all doors are open and all is quiet.
const enough = time.Minute

// final is the list once all is quiet, the same through every door.
func (d *drive) final(ctx context.Context) ([]seen, error) {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	var final []seen
	for i, door := range d.doors {
		for {
			called := d.h.now()
			entries, err := door.List(ctx)
			if err == nil {
				list := d.seen(entries, 0)
				d.h.add(-1-i, input{kind: doList}, called, output{seen: list}, d.h.now())
				if i == 0 {
					final = list
				}
				break
			}
			if ctx.Err() != nil {
				return nil, fmt.Errorf("door %d stays shut: %w", i, err)
			}
			pause(ctx, 10*time.Millisecond)
		}
	}
	return final, nil
}

// caughtUp waits until every follower was told of everything.
func (d *drive) caughtUp(ctx context.Context, size int) error {
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	for n := range d.plan.Followers {
		for {
			d.h.mu.Lock()
			has := len(d.h.feeds[n])
			d.h.mu.Unlock()
			if has >= size {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("feed %d told of %d entries of %d", n, has, size)
			}
			pause(ctx, time.Millisecond)
		}
	}
	return nil
}

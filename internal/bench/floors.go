package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"time"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/span"
)

// floors are what the parts of an append cost with nothing around them, in
// seconds of one core a span. What they make together is the ceiling C.
type floors struct {
	verify float64 // one signature, by the library at its best: curve25519-voi with the key's tables cached
	node   float64 // one signature, by the node's verifier; no part of the ceiling
	form   float64 // parse, canonicalize and hash one span
	sign   float64 // seal one span, which its author does
	one    float64 // echo one span as one request
	many   float64 // echo one span of a request of 500
}

// http is the floor of a case's requests.
func (f *floors) http(c loadgen.Case) float64 {
	if c.Lines > 1 {
		return f.many
	}
	return f.one
}

// floors measures what does not depend on the store, once.
func (b *bench) floors(ctx context.Context) (*floors, error) {
	if b.measured != nil {
		return b.measured, nil
	}
	b.say("floors: signature, form, bare HTTP")
	bodies, receipt, err := b.sample(ctx)
	if err != nil {
		return nil, fmt.Errorf("floors: %w", err)
	}
	f := &floors{}
	least := time.Duration(b.pick(1000, 100)) * time.Millisecond
	if f.verify, err = timeVerify(libraryVerifier, least); err != nil {
		return nil, err
	}
	if f.node, err = timeVerify(nodeVerifier, least); err != nil {
		return nil, err
	}
	if f.form, err = timeForm(bodies, least); err != nil {
		return nil, err
	}
	if f.sign, err = timeSign(least); err != nil {
		return nil, err
	}
	c := loadgen.Case{Callers: 256, Lines: 1, Spans: b.pick(60_000, 6_000)}
	if f.one, err = measureEcho(ctx, cycle(bodies, c.Spans), c, receipt); err != nil {
		return nil, err
	}
	c = loadgen.Case{Callers: 4, Lines: 500, Spans: b.pick(400_000, 40_000)}
	if f.many, err = measureEcho(ctx, cycle(join(bodies, c.Lines), c.Spans/c.Lines), c, receipt); err != nil {
		return nil, err
	}
	b.measured = f
	return f, nil
}

// sample is signed spans as they are sent, and how many bytes a receipt has.
func (b *bench) sample(ctx context.Context) (bodies [][]byte, receipt int64, err error) {
	n, err := b.start(ctx, memory)
	if err != nil {
		return nil, 0, err
	}
	defer n.remove()
	c := loadgen.Case{Callers: 16, Lines: 1, Spans: 2_000}
	if bodies, err = loadgen.Seal(n.owner, n.tenant.Id, c); err != nil {
		return nil, 0, err
	}
	l, err := n.load(ctx, bodies, c)
	return bodies, l.Answered / int64(c.Spans), err
}

// cycle is n of the bodies, each as often as it takes.
func cycle(bodies [][]byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = bodies[i%len(bodies)]
	}
	return out
}

// join makes bodies of lines.
func join(bodies [][]byte, lines int) (out [][]byte) {
	for len(bodies) >= lines {
		var body []byte
		for _, line := range bodies[:lines] {
			body = append(append(body, line...), '\n')
		}
		out, bodies = append(out, body), bodies[lines:]
	}
	return out
}

// everyCore runs fn on every core for some time and is the processor time of
// one call. All cores are busy, as they are while a node is loaded: where two of
// them share what they compute with, each is slower than alone.
func everyCore(least time.Duration, fn func(i int) error) (float64, error) {
	cores := runtime.GOMAXPROCS(0)
	calls, errs := make(chan int, cores), make(chan error, cores)
	before, begin := ownCPU(), time.Now()
	for range cores {
		go func() {
			n := 0
			for ; time.Since(begin) < least; n++ {
				if err := fn(n); err != nil {
					errs <- err
					break
				}
			}
			calls <- n
		}()
	}
	total := 0
	for range cores {
		total += <-calls
	}
	used := ownCPU() - before
	select {
	case err := <-errs:
		return 0, err
	default:
		return used.Seconds() / float64(total), nil
	}
}

// verifier makes what checks signatures of one key.
type verifier func(public []byte) (func(message, signature []byte) bool, error)

// libraryVerifier is curve25519-voi under the options that make it agree with
// crypto/ed25519.
func libraryVerifier(public []byte) (func(message, signature []byte) bool, error) {
	table, err := voi.NewExpandedPublicKey(public)
	options := voi.Options{Verify: voi.VerifyOptionsStdLib}
	return func(message, signature []byte) bool {
		return voi.VerifyExpandedWithOptions(table, message, signature, &options)
	}, err
}

func nodeVerifier(public []byte) (func(message, signature []byte) bool, error) {
	v := id.FastVerifier()
	return func(message, signature []byte) bool { return v.Verify(public, message, signature) }, nil
}

func timeVerify(of verifier, least time.Duration) (float64, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return 0, err
	}
	verify, err := of(public)
	if err != nil {
		return 0, err
	}
	message := fmt.Appendf(nil, "%0600d", 0)
	signature := ed25519.Sign(private, message)
	check := func(int) error {
		if !verify(message, signature) {
			return errors.New("the verifier refuses a good signature")
		}
		return nil
	}
	if _, err := everyCore(least/10, check); err != nil { // tables are made of keys that are met often
		return 0, err
	}
	return everyCore(least, check)
}

func timeForm(bodies [][]byte, least time.Duration) (float64, error) {
	return everyCore(least, func(i int) error {
		sp, err := span.Parse(bodies[i%len(bodies)], span.Limits{})
		if err == nil {
			_ = sp.Hash()
		}
		return err
	})
}

func timeSign(least time.Duration) (float64, error) {
	owner, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	if err != nil {
		return 0, err
	}
	c := loadgen.Case{Callers: 1, Lines: 1, Spans: 1}
	return everyCore(least, func(int) error {
		_, err := loadgen.Seal(owner, "0198d2a0-0000-7000-8000-000000000000", c)
		return err
	})
}

// measureFloors gives the floors as figures.
func measureFloors(ctx context.Context, b *bench) (figures []figure, err error) {
	f, err := b.floors(ctx)
	if err != nil {
		return nil, err
	}
	add := func(name, store string, measured float64, note string) {
		figures = append(figures, figure{Group: "floors", Name: name, Store: store, Measured: measured, Unit: inSeconds, Note: note})
	}
	add("t_verify: one signature", "", f.verify, "of one core, all of them busy; curve25519-voi, its tables cached")
	add("t_form: parse, canonicalize, hash", "", f.form, "")
	add("t_http: echo, one a request", "", f.one, "")
	add("t_http: echo, 500 a request", "", f.many, "")
	add("signing a span", "", f.sign, "done by its author; no part of C")
	add("one signature by the node's verifier", "", f.node, "no part of C")
	for _, store := range b.stores {
		w, err := b.bare(ctx, store)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
		add("t_write: rows in batches of 1,000", store, w.span, w.note)
		if w.commit > 0 {
			add("one bare durable commit, p50", store, w.commit.Seconds(), "wall time; one span's rows")
		}
	}
	return figures, nil
}

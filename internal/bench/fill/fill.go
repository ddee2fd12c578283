// Package fill grows a timeline of real entries as fast as the product's own
// way in takes them: spans signed by several authors, checked, decided and
// committed by the engine in this process, in the batches that a server makes.
// A server started afterwards on the same data goes on with it. Nothing of what
// it writes is made up; it is for measuring alone.
package fill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/pgstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
)

// Timeline is a tenant of a node that no server runs.
type Timeline struct {
	Tenant  timeline.Tenant
	Authors []*id.Keys // the first is the owner, the others members
	Log     *timeline.Log
	Span    Maker // of what Grow appends; nil is Payment

	url, dir  string
	db        *storage.DB
	store     timeline.Store
	directory *id.Directory
	engine    *engine.Engine
	stop      context.CancelFunc
	ended     chan error
}

// Maker makes the nth span of a timeline, signed by an author.
type Maker func(author *id.Keys, tenant string, n uint64) ([]byte, error)

// New makes a node in the data directory dir, and a tenant with as many authors
// in the database at url, which is made ready.
func New(ctx context.Context, url, dir string, authors int) (*Timeline, error) {
	t := &Timeline{url: url, dir: dir}
	err := t.Open(ctx)
	if err == nil {
		err = t.found(ctx, authors)
	}
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Open opens a timeline again that was closed.
func (t *Timeline) Open(ctx context.Context) (err error) {
	notes := filepath.Join(t.dir, "checkpoints") // where a server keeps them
	if err := os.MkdirAll(notes, 0o700); err != nil {
		return err
	}
	if t.db, err = storage.Open(ctx, t.url); err != nil {
		return err
	}
	if err := t.db.Migrate(ctx); err != nil {
		return err
	}
	if t.db.Dialect == storage.Postgres {
		t.store = pgstore.NewStore(t.db)
	} else {
		t.store = sqlitestore.NewStore(t.db)
	}
	node, err := id.NodeHome{Dir: t.dir, DB: t.db}.Open(ctx, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	verify := id.DefaultVerifier()
	t.directory = id.NewDirectory(t.db, verify, time.Now)
	t.Log = timeline.NewLog(t.store, node.Node, verify, timeline.Config{NotesDir: notes, Folder: engine.Folder{}})
	t.engine = engine.New(t.Log, t.directory, verify, rules.Decide, node.Node, bus.New(),
		engine.Config{Logger: slog.New(slog.DiscardHandler)})
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.stop, t.ended = stop, make(chan error, 1)
	go func() { t.ended <- t.engine.Run(run) }()
	return nil
}

// found makes the tenant and its members.
func (t *Timeline) found(ctx context.Context, authors int) error {
	for range authors {
		keys, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
		if err != nil {
			return err
		}
		if _, _, err := t.directory.Register(ctx, keys.Events(), "", ""); err != nil {
			return err
		}
		t.Authors = append(t.Authors, keys)
	}
	owner := t.Authors[0]
	var err error
	if t.Tenant, err = t.engine.CreateTenant(ctx, "bench", "Bench", owner.ID(), false); err != nil {
		return err
	}
	for _, keys := range t.Authors[1:] {
		payload, err := span.Canonical(span.Member{Identity: keys.ID(), Roles: []string{"member"}, Action: span.ActionGrant})
		if err != nil {
			return err
		}
		raw, err := Seal(owner, t.Tenant.ID, span.TypeMember, payload, nil)
		if err != nil {
			return err
		}
		if r := t.engine.Submit(ctx, t.Tenant.ID, raw, engine.Options{}); r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// Seal signs a span of author's at the present time and gives its canonical bytes.
func Seal(author *id.Keys, tenant, typ string, payload []byte, change func(*span.Header)) ([]byte, error) {
	now := time.Now()
	spanID, err := span.RandomID(now, rand.Reader)
	if err != nil {
		return nil, err
	}
	h := span.Header{
		ID: spanID, Tenant: tenant, Author: author.ID(), Type: typ, Time: span.FormatTime(now),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	if change != nil {
		change(&h)
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails
	sp, err := id.SealSpan(author.Signer(), h, payload, salt[:])
	if err != nil {
		return nil, err
	}
	return sp.Canonical(), nil
}

// Payment is the nth span that appends are measured with, about 700 bytes.
func Payment(author *id.Keys, tenant string, n uint64) ([]byte, error) {
	payload := fmt.Appendf(nil, `{"amount":"%d.00","currency":"BRL","invoice":%d,"note":"one of many"}`, n, n)
	return Seal(author, tenant, "payment.requested", payload, func(h *span.Header) {
		h.Title, h.Subject, h.Tags = "Payment of invoice", fmt.Sprintf("invoice-%d", n), []string{"bench"}
	})
}

// batch is how many spans one commit holds: what a server's does under load.
const batch = 1000

// Size is how many entries the timeline has.
func (t *Timeline) Size(ctx context.Context) (uint64, error) {
	_, size, err := t.Log.Checkpoint(ctx, t.Tenant.ID)
	return size, err
}

// Grow appends until the timeline has size entries. progress, where not nil, is
// told now and then how many there are.
func (t *Timeline) Grow(ctx context.Context, size uint64, progress func(have uint64)) error {
	have, err := t.Size(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	calls := make(chan uint64) // where each run of spans begins
	go func() {
		defer close(calls)
		for from := have; from < size; from += batch - from%batch {
			select {
			case calls <- from:
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex // guards have and what progress does
	var signers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 1 { // one more than run: somebody waits for the commit
		signers.Go(func() {
			for from := range calls {
				n := min(batch-from%batch, size-from)
				if err := t.append(ctx, from, n); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				have += n
				if progress != nil {
					progress(have)
				}
				mu.Unlock()
			}
		})
	}
	signers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// append signs and appends n spans.
func (t *Timeline) append(ctx context.Context, from, n uint64) error {
	lines, seal := make([][]byte, n), t.Span
	if seal == nil {
		seal = Payment
	}
	for i := range lines {
		author := t.Authors[mathrand.IntN(len(t.Authors))]
		var err error
		if lines[i], err = seal(author, t.Tenant.ID, from+uint64(i)); err != nil {
			return err
		}
	}
	for _, r := range t.engine.SubmitMany(ctx, t.Tenant.ID, lines) {
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// Close ends the engine and closes the database, whose data a server can go on
// with. Closing twice is harmless.
func (t *Timeline) Close() error {
	var err error
	if t.stop != nil {
		t.stop()
		err = <-t.ended
	}
	if t.store != nil {
		err = errors.Join(err, t.store.Close())
	}
	if t.db != nil {
		err = errors.Join(err, t.db.Close())
	}
	t.stop, t.store, t.db = nil, nil, nil
	return err
}

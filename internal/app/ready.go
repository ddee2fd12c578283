package app

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	readyKey  = "ready"         // the settings row that the probe writes
	readyFor  = 2 * time.Second // an answer is reused that long: the question is open to all and costs a write
	readyMax  = 5 * time.Second // longest wait for the write lock and the disk
	readyRoom = 256 << 10       // bytes that the disk must take: some appends' worth
)

// probe answers whether this process can append and sign now. It finds out by
// doing it: the disk takes some bytes, a row is committed to the database, and
// the node's key makes a signature that verifies.
type probe struct {
	db     *storage.DB
	dirs   []string     // of files that appends write to; "" for none
	store  func() error // why the timelines' files take nothing; nil where there are none
	node   *id.Node
	verify id.Verifier
	engine func(context.Context) error
	now    func() time.Time

	mu   sync.Mutex // guards the rest, and lets one caller at a time find out
	at   time.Time
	last error
}

// Ready returns nil for yes, and otherwise what is in the way.
func (p *probe) Ready(ctx context.Context) error {
	if err := p.engine(ctx); err != nil {
		return err // not reused: a stopping server says so at once
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if age := now.Sub(p.at); p.at.IsZero() || age < 0 || age >= readyFor {
		// Not the caller's deadline: the answer is for those who come after too.
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyMax)
		defer cancel()
		p.last = p.try(own, now)
		p.at = now
	}
	return p.last
}

func (p *probe) try(ctx context.Context, now time.Time) error {
	at := span.FormatTime(now)
	message := []byte("logline.ready.v1\n" + at)
	signer := p.node.Signer()
	public, err := span.ParseB64(signer.Public(), 32)
	if err != nil || !p.verify.Verify(public, message, signer.Sign(message)) {
		return fault.New(fault.Unavailable, "signing_broken", "the node's key makes no valid signatures; check its key file").Because(err)
	}
	if p.store != nil {
		if err := p.store(); err != nil {
			return err
		}
	}
	for _, dir := range p.dirs {
		if dir == "" {
			continue
		}
		if err := storage.CheckRoom(dir, readyRoom); err != nil {
			return err
		}
	}
	return p.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx,
			"INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", readyKey, []byte(at))
		return err
	})
}

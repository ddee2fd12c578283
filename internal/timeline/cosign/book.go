// Package cosign keeps what witnesses said of this node's checkpoints: it takes
// cosignatures (C2SP tlog-cosignature, cosignature/v1) from witnesses that the
// node's policy names, stores them beside the timelines, and puts them back
// under the checkpoint they are of.
//
// It believes nobody: a cosignature must verify and be of a checkpoint that this
// node holds. It asks no witness; they, or whoever carries for them, bring
// their lines.
package cosign

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var _ timeline.Witnesses = (*Book)(nil)

// Checkpoints is what the book asks of the timelines' store.
type Checkpoints interface {
	TenantByID(ctx context.Context, id string) (timeline.Tenant, error)
	Head(ctx context.Context, tenant string) (timeline.Head, error)
	Checkpoint(ctx context.Context, tenant string, seq uint64) (size uint64, note []byte, err error)
}

// Config of a Book. Zero values are usable.
type Config struct {
	Policy *policy.Policy   // whose cosignatures are taken, and which are enough; nil: nobody's
	Now    func() time.Time // time.Now
	Poll   time.Duration    // how often a wait looks for what other processes took; 1 s
}

// Book is safe for concurrent use, by any number of processes on one database.
type Book struct {
	db    *storage.DB
	log   Checkpoints
	cfg   Config
	mu    sync.Mutex               // guards news
	news  map[string]chan struct{} // by tenant: closed when this process takes a cosignature
	limit time.Duration
}

// futureLimit is how far a witness's clock may be ahead.
const futureLimit = 5 * time.Minute

// New makes a book in db, whose migrations have run, for the checkpoints of log.
func New(db *storage.DB, log Checkpoints, cfg Config) *Book {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Poll <= 0 {
		cfg.Poll = time.Second
	}
	return &Book{db: db, log: log, cfg: cfg, news: make(map[string]chan struct{}), limit: futureLimit}
}

// Any says whether the node has witnesses.
func (b *Book) Any() bool { return b.cfg.Policy != nil }

// Dress adds the cosignature lines that are held to a checkpoint of the tenant.
func (b *Book) Dress(ctx context.Context, tenant string, note []byte) ([]byte, error) {
	n, err := tree.ParseNote(note)
	if err != nil {
		return nil, err
	}
	sigs, err := b.held(ctx, tenant, n)
	if err != nil {
		return nil, err
	}
	return n.AppendSignatures(note, sigs), nil
}

// textHash names the signed text of a checkpoint: two of one size, of different
// epochs, say, are told apart by it.
func textHash(n *tree.Note) []byte {
	sum := sha256.Sum256([]byte(n.Text()))
	return sum[:]
}

func (b *Book) held(ctx context.Context, tenant string, n *tree.Note) (sigs []tree.NoteSignature, err error) {
	rows, err := b.db.Read.QueryContext(ctx, `SELECT name, key_id, signature FROM timeline_cosignatures
		WHERE tenant = $1 AND size = $2 AND note = $3 ORDER BY name, key_id`, tenant, int64(n.Size), textHash(n))
	if err != nil {
		return nil, readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var sig tree.NoteSignature
		var keyID int64
		if err := rows.Scan(&sig.Name, &keyID, &sig.Value); err != nil {
			return nil, readError(err)
		}
		sig.KeyHash = uint32(keyID)
		sigs = append(sigs, sig)
	}
	return sigs, readError(rows.Err())
}

// put stores cosignatures, the later one where there are two by one witness, and
// says how many were news.
func (b *Book) put(ctx context.Context, tenant string, n *tree.Note, sigs []tree.NoteSignature) (news int64, err error) {
	err = b.db.InTx(ctx, func(tx *sql.Tx) error {
		for _, sig := range sigs {
			// A cosignature begins with its time, so the later one is the greater.
			res, err := tx.ExecContext(ctx, `INSERT INTO timeline_cosignatures (tenant, size, note, name, key_id, signature)
				VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, size, note, name, key_id)
				DO UPDATE SET signature = excluded.signature WHERE excluded.signature > timeline_cosignatures.signature`,
				tenant, int64(n.Size), textHash(n), sig.Name, int64(sig.KeyHash), sig.Value)
			if err != nil {
				return fmt.Errorf("store cosignature: %w", err)
			}
			changed, err := res.RowsAffected()
			if err != nil {
				return err
			}
			news += changed
		}
		return nil
	})
	return news, err
}

// sizes are those after which checkpoints with cosignatures are held, from after
// on and a page at a time; descending, from before on.
func (b *Book) sizes(ctx context.Context, tenant string, at uint64, descending bool) (sizes []uint64, err error) {
	query := `SELECT DISTINCT size FROM timeline_cosignatures WHERE tenant = $1 AND size > $2 ORDER BY size LIMIT 100`
	if descending {
		query = `SELECT DISTINCT size FROM timeline_cosignatures WHERE tenant = $1 AND size < $2 ORDER BY size DESC LIMIT 100`
	}
	rows, err := b.db.Read.QueryContext(ctx, query, tenant, int64(min(at, tree.MaxSize)))
	if err != nil {
		return nil, readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var size int64
		if err := rows.Scan(&size); err != nil {
			return nil, readError(err)
		}
		sizes = append(sizes, uint64(size))
	}
	return sizes, readError(rows.Err())
}

func readError(err error) error {
	if err == nil {
		return nil
	}
	return storage.Classify(fmt.Errorf("cosignatures: %w", err))
}

// ErrNone is the answer where no checkpoint has the cosignatures that the policy
// asks for.
var ErrNone = fault.New(fault.NotFound, "not_cosigned",
	"no checkpoint here that covers this has the cosignatures that the node's policy asks for; ask again later, or without cosigned")

// errUnset is the answer of a node without a policy.
var errUnset = fault.New(fault.NotFound, "witnesses_unset",
	"this node has no witnesses: its setting witness_policy names no policy")

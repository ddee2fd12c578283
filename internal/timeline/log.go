package timeline

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// NoteSigner signs checkpoints with a node's log key. *id.Node implements it.
type NoteSigner interface {
	NodeID() string
	LogKey() ed25519.PublicKey
	SignLog(message []byte) []byte // Ed25519 over exactly message
}

// Config of a Log. Zero values are usable.
type Config struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// NotesDir is an existing directory for the last checkpoint given out of
	// each tenant, outside the database, so that a database restored from an
	// older copy is noticed. "" keeps none. One process may use it at a time.
	NotesDir string
	// Witnesses keeps cosignatures of checkpoints; nil: nobody does.
	Witnesses Witnesses
	// Contention is for how long after a lost race a session holds the head
	// from its beginning, where the store can (Holder); 1 s when 0.
	Contention time.Duration
	// Workers check the lines of an imported bundle; as many as GOMAXPROCS says
	// when the Log is made when 0.
	Workers int
	// Folder makes the rows that decisions depend on; nil: they depend on none.
	// Whoever reads or checks this store's timelines has the same one.
	Folder Folder
}

// Log is every timeline of a store as one node writes and reads it. It is safe
// for concurrent use; appends to one tenant take turns. Methods take a tenant
// by id or slug; one that does not exist is ErrTenantUnknown.
type Log struct {
	store  Store
	signer NoteSigner
	verify id.Verifier
	cfg    Config
	notes  notes

	mu    sync.Mutex // guards the rest
	lives map[string]*live
	slugs map[string]string // slug to id; slugs never change
}

// NewLog makes a Log over store. The caller closes the store.
func NewLog(store Store, signer NoteSigner, v id.Verifier, cfg Config) *Log {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Contention = cmp.Or(cfg.Contention, time.Second)
	cfg.Workers = cmp.Or(cfg.Workers, runtime.GOMAXPROCS(0))
	return &Log{
		store: store, signer: signer, verify: v, cfg: cfg, notes: notes{dir: cfg.NotesDir},
		lives: make(map[string]*live), slugs: make(map[string]string),
	}
}

// Tenant finds one by id or slug.
func (l *Log) Tenant(ctx context.Context, idOrSlug string) (Tenant, error) {
	find := l.store.TenantBySlug
	if span.IsUUID(idOrSlug) {
		find = l.store.TenantByID
	}
	t, err := find(ctx, idOrSlug)
	t.ReadOnly = err == nil && l.elsewhere(t.Origin)
	return t, err
}

// elsewhere says whether the log of an origin is written by another node.
func (l *Log) elsewhere(origin string) bool {
	o, err := tree.ParseOrigin(origin)
	return err == nil && o.Node != l.signer.NodeID()
}

// Tenants lists tenants with id > after in order of id, at most limit (0 means
// 100, never more than 1000).
func (l *Log) Tenants(ctx context.Context, after string, limit int) ([]Tenant, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	tenants, err := l.store.Tenants(ctx, after, min(limit, MaxLimit))
	for i := range tenants {
		tenants[i].ReadOnly = l.elsewhere(tenants[i].Origin)
	}
	return tenants, err
}

// Holding lists the ids of the tenants in whose timelines an identity is
// embedded.
func (l *Log) Holding(ctx context.Context, identity string) ([]string, error) {
	return l.store.Holding(ctx, identity)
}

// Knows says whether a timeline holds an identity, of a tenant by id. Whoever is
// not known to it holds no role there. That costs the same for a tenant that does
// not exist, and a stranger does not have what is held of a timeline loaded.
func (l *Log) Knows(ctx context.Context, tenant, identity string) (bool, error) {
	l.mu.Lock()
	lv := l.lives[tenant]
	l.mu.Unlock()
	if lv != nil {
		if v := lv.committed(0); v != nil {
			if _, ok := v.Identity(identity); ok {
				return true, nil
			}
		}
	}
	holding, err := l.store.Holding(ctx, identity) // another process may have embedded it
	return slices.Contains(holding, tenant), err
}

// id is the id of a tenant named by id or slug; an id is not looked up.
func (l *Log) id(ctx context.Context, idOrSlug string) (string, error) {
	if span.IsUUID(idOrSlug) {
		return idOrSlug, nil
	}
	l.mu.Lock()
	id, ok := l.slugs[idOrSlug]
	l.mu.Unlock()
	if ok {
		return id, nil
	}
	t, err := l.store.TenantBySlug(ctx, idOrSlug)
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.slugs[idOrSlug] = t.ID
	l.mu.Unlock()
	return t.ID, nil
}

// live is what this process holds of a tenant that the store has.
func (l *Log) live(id string) *live {
	l.mu.Lock()
	defer l.mu.Unlock()
	lv := l.lives[id]
	if lv == nil {
		lv = newLive(id)
		l.lives[id] = lv
	}
	return lv
}

// existing is live, after a look at the store where nothing is held yet: an
// unknown tenant is not remembered.
func (l *Log) existing(ctx context.Context, id string) (*live, error) {
	l.mu.Lock()
	lv := l.lives[id]
	l.mu.Unlock()
	if lv != nil {
		return lv, nil
	}
	if _, err := l.store.Head(ctx, id); err != nil {
		return nil, err
	}
	return l.live(id), nil
}

// hashes reads the stored tree of one tenant.
type hashes struct {
	store  Store
	tenant string
}

var _ tree.HashReader = hashes{}

func (h hashes) Hashes(ctx context.Context, level int, from, to uint64) ([]span.Hash, error) {
	return h.store.Hashes(ctx, h.tenant, level, from, to)
}

// Package onboarding brings the first people in: it makes the one-time
// bootstrap token of a new node and spends it on the first tenant. It owns the
// token; the tenant's record is the timeline's, and rights are standing's.
//
// The token is spent by the existence of a tenant, not by a mark of its own: a
// node that has any tenant takes no token, whatever else survived a crash. The
// mark in the settings table, written after the tenant's own transaction, only
// remembers which tenant it was, so that a client that lost the answer can ask
// again and get the same tenant instead of a second one.
package onboarding

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// Errors of CreateTenant.
var (
	ErrTokenWrong = fault.New(fault.Unauthenticated, "bootstrap_token_wrong",
		"this is not the bootstrap token; until it has made the first tenant, it is in the file bootstrap-token in the server's data directory")
	ErrTokenSpent = fault.New(fault.Forbidden, "bootstrap_token_spent",
		"the bootstrap token has made its tenant and is spent; ask an owner of this node for further tenants")
	ErrTenantsClosed = fault.New(fault.Forbidden, "tenants_closed",
		"this node makes a tenant for the bootstrap token only: the first one takes it, and later ones are not open to everybody; to join a tenant that is there, register your identity and ask its owner for a role")
	ErrImportClosed = fault.New(fault.Forbidden, "import_closed",
		"timelines are imported here by an owner of the node's first tenant, with the bootstrap token before there is one, or by anybody registered where tenants are open")
)

// TenantMaker is what onboarding asks of the rest: to make a timeline, and
// which there are. It is safe for concurrent use.
type TenantMaker interface {
	// CreateTenant checks its arguments, makes the timeline in one durable
	// transaction, and refuses a slug that is taken.
	CreateTenant(ctx context.Context, slug, name, owner string, publicReading bool) (timeline.Tenant, error)
	// Tenants lists at most limit tenants after the given id, "" from the start.
	Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error)
	// Tenant finds one by id.
	Tenant(ctx context.Context, id string) (timeline.Tenant, error)
	// Standing says who holds which roles in one now.
	Standing(ctx context.Context, tenant string) (standing.View, error)
}

// Config of a Service.
type Config struct {
	DataDir     string    // where the token file is
	Token       string    // the token, when the operator has chosen it; "" makes a file
	OpenTenants bool      // tenants after the first one need no token
	Rand        io.Reader // crypto/rand.Reader
}

// Service is safe for concurrent use.
type Service struct {
	db      *storage.DB
	tenants TenantMaker
	cfg     Config

	mu   sync.Mutex // guards hash and made, and makes the first tenant one at a time
	hash []byte     // SHA-256 of the token; nil before FirstRun and on a node that had a tenant then
	made string     // the tenant this process made for the token
}

// New makes a service; call FirstRun before the first CreateTenant.
func New(db *storage.DB, tenants TenantMaker, cfg Config) *Service {
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return &Service{db: db, tenants: tenants, cfg: cfg}
}

// FirstRun prepares the bootstrap token while the node has no tenant: the
// configured one, the one in the token file, or a new one in a new file
// (created is true then; path names the file, or is "" when there is none). On
// a node with tenants it removes what a crash may have left of the token.
func (s *Service) FirstRun(ctx context.Context) (created bool, path string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.anyTenant(ctx)
	if err != nil {
		return false, "", err
	}
	if first != "" {
		return false, "", s.spend(ctx, first)
	}
	if s.cfg.Token != "" {
		s.hash = hashOf(s.cfg.Token)
		return false, "", nil
	}
	token, created, err := readOrMakeToken(s.cfg.DataDir, s.cfg.Rand)
	if err != nil {
		return false, "", err
	}
	s.hash = hashOf(token)
	return created, TokenPath(s.cfg.DataDir), nil
}

// Begins says whether this is the bootstrap token of a node that has no tenant
// yet: whoever holds it also registers the identity that will own the first
// one. It spends nothing.
func (s *Service) Begins(ctx context.Context, token string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.anyTenant(ctx)
	if err != nil || first != "" || s.hash == nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(s.hash, hashOf(token)) == 1, nil
}

// CreateTenant makes a tenant: the first one for the bootstrap token, which it
// spends, later ones without a token where the node is open to that (the caller
// has made sure then that the owner is the one who asks). The same
// first tenant asked for again with the same token is answered again. Errors:
// ErrTokenWrong, ErrTokenSpent, ErrTenantsClosed, and TenantMaker's, after
// which the token is still good unless a tenant was made.
func (s *Service) CreateTenant(ctx context.Context, token, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	if token == "" {
		first, err := s.anyTenant(ctx)
		if err != nil {
			return timeline.Tenant{}, err
		}
		if !s.cfg.OpenTenants || first == "" {
			return timeline.Tenant{}, ErrTenantsClosed
		}
		return s.tenants.CreateTenant(ctx, slug, name, owner, publicReading)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.anyTenant(ctx)
	if err != nil {
		return timeline.Tenant{}, err
	}
	if first != "" {
		return s.repeat(ctx, first, token, slug, name, owner)
	}
	if s.hash == nil || subtle.ConstantTimeCompare(s.hash, hashOf(token)) != 1 {
		return timeline.Tenant{}, ErrTokenWrong
	}
	made, err := s.tenants.CreateTenant(ctx, slug, name, owner, publicReading)
	if err != nil {
		return timeline.Tenant{}, err
	}
	// The tenant stands whatever happens now, and its existence alone spends
	// the token; a mark that could not be written is made up for by FirstRun.
	s.made = made.ID
	return made, s.spend(context.WithoutCancel(ctx), made.ID)
}

// repeat answers a token that comes when there is a tenant already.
func (s *Service) repeat(ctx context.Context, first, token, slug, name, owner string) (timeline.Tenant, error) {
	if err := s.spend(ctx, cmp.Or(s.made, first)); err != nil {
		return timeline.Tenant{}, err
	}
	mark, err := s.mark(ctx)
	if err != nil {
		return timeline.Tenant{}, err
	}
	if subtle.ConstantTimeCompare(mark.TokenHash, hashOf(token)) != 1 {
		return timeline.Tenant{}, ErrTokenWrong
	}
	t, err := s.tenants.Tenant(ctx, mark.Tenant)
	if err != nil {
		return timeline.Tenant{}, err
	}
	if t.Slug != slug || t.Name != name || t.Owner != owner {
		return timeline.Tenant{}, ErrTokenSpent
	}
	return t, nil
}

// spent is the value of the settings row "bootstrap": the token's hash, so that
// a repeat is recognised, and the tenant it made.
type spent struct {
	TokenHash []byte `json:"token_hash,omitempty"`
	Tenant    string `json:"tenant"`
}

const markKey = "bootstrap"

// spend marks the token as spent on a tenant, unless it is marked, and removes
// the file. It may run any number of times.
func (s *Service) spend(ctx context.Context, tenant string) error {
	hash := s.hash
	if hash == nil { // after a crash: the token is still in the file or in the configuration
		token := s.cfg.Token
		if token == "" {
			var err error
			if token, err = readToken(s.cfg.DataDir); err != nil && !errors.Is(err, errNoToken) {
				return err
			}
		}
		if token != "" {
			hash = hashOf(token)
		}
	}
	value, err := json.Marshal(spent{TokenHash: hash, Tenant: tenant})
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", markKey, value)
		return err
	})
	if err != nil {
		return err
	}
	return removeToken(s.cfg.DataDir)
}

func (s *Service) mark(ctx context.Context) (spent, error) { return markOf(ctx, s.db) }

func markOf(ctx context.Context, db *storage.DB) (spent, error) {
	var value []byte
	err := db.Read.QueryRowContext(ctx, "SELECT value FROM settings WHERE key = $1", markKey).Scan(&value)
	if err != nil {
		return spent{}, storage.Classify(err)
	}
	var m spent
	if err := json.Unmarshal(value, &m); err != nil {
		return spent{}, fault.New(fault.Internal, "bootstrap_mark_damaged",
			"the record of the spent bootstrap token cannot be read").Because(err)
	}
	return m, nil
}

// anyTenant is the id of some tenant of this node's own, "" when there is none:
// what was imported spends no token, nor does what the node tells of itself.
func (s *Service) anyTenant(ctx context.Context) (string, error) {
	const page = 100
	for after := ""; ; {
		found, err := s.tenants.Tenants(ctx, after, page)
		if err != nil {
			return "", err
		}
		for _, t := range found {
			if after = t.ID; !t.ReadOnly && !t.OfNode() {
				return t.ID, nil
			}
		}
		if len(found) < page {
			return "", nil
		}
	}
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

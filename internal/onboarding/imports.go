package onboarding

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
)

// MayImport says whether a timeline may be brought in: by who has the bootstrap
// token while it is good, which this does not spend; by anybody registered where
// tenants are open; and by an owner of the tenant that the token made. caller is
// the identity whose token was checked, "" where the bootstrap token came instead.
func (s *Service) MayImport(ctx context.Context, token, caller string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.anyTenant(ctx)
	if err != nil {
		return err
	}
	switch {
	case caller == "" && first != "":
		return ErrTokenSpent
	case caller == "" && (s.hash == nil || subtle.ConstantTimeCompare(s.hash, hashOf(token)) != 1):
		return ErrTokenWrong
	case caller == "" || s.cfg.OpenTenants:
		return nil
	case first == "":
		return ErrImportClosed
	}
	home, err := First(ctx, s.db)
	if err != nil {
		return err
	}
	if home == "" {
		return ErrImportClosed
	}
	view, err := s.tenants.Standing(ctx, home)
	if err != nil {
		return err
	}
	if !view.Can(caller, standing.RightOwn) {
		return ErrImportClosed
	}
	return nil
}

// First is the node's own tenant, the one that the bootstrap token made: its
// owners speak for the node. "" while there is none.
func First(ctx context.Context, db *storage.DB) (tenant string, err error) {
	m, err := markOf(ctx, db)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return m.Tenant, err
}

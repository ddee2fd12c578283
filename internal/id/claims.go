package id

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// MaxClaims bounds the ghosts of one identity that are listed and looked through.
const MaxClaims = 32

// claimedText is by an index of those that were claimed.
const claimedText = `SELECT id FROM identities WHERE claimed_by = $1 ORDER BY id LIMIT $2`

// Claimed lists the ghosts that an identity has claimed here, by id: at most
// MaxClaims, and whether there are more.
func (d *Directory) Claimed(ctx context.Context, by string) (ghosts []string, more bool, err error) {
	rows, err := d.db.Read.QueryContext(ctx, claimedText, by, MaxClaims+1)
	if err != nil {
		return nil, false, storage.Failed("list claims", err)
	}
	defer rows.Close()
	for rows.Next() {
		var ghost string
		if err := rows.Scan(&ghost); err != nil {
			return nil, false, storage.Failed("list claims", err)
		}
		ghosts = append(ghosts, ghost)
	}
	if len(ghosts) > MaxClaims {
		ghosts, more = ghosts[:MaxClaims], true
	}
	return ghosts, more, failedOrNil("list claims", rows.Err())
}

func failedOrNil(operation string, err error) error {
	if err == nil {
		return nil
	}
	return storage.Failed(operation, err)
}

// inTime refuses a claim that says itself that it was made when the ghost's time was
// over. What was claimed in time stays claimed wherever its events are brought
// later, so the clock is not asked; whoever has the ghost's key can say another time.
func inTime(ghost *Chain, claim *Event) error {
	if ghost.Status() == StatusActive && ghost.Expires() != "" && ghost.Expires() <= claim.Time {
		return fault.Newf(fault.Conflict, "ghost_expired", "the ghost ended at %s; it can be claimed before that alone", ghost.Expires())
	}
	return nil
}

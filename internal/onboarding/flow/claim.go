package flow

import (
	"context"
	"database/sql"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// claimFor is how long a request that was cut off keeps others from the step, and
// twice what one may take to bring its effect about.
const claimFor = 2 * time.Minute

// claim is what a step is being done with, from before its effect on: of two different
// requests at once, at any process, one alone has an effect.
type claim struct {
	Said string `json:"said"`
	// Slug is of the tenant that is being made: it says later whether there is one.
	Slug string `json:"slug,omitempty"`
	// Holds says of each request that is at work until when it may be, in Unix
	// milliseconds. Those that are asked for the same share the claim.
	Holds map[string]int64 `json:"holds,omitempty"`
}

func (c *claim) live(now time.Time) bool {
	for _, until := range c.Holds {
		if until > now.UnixMilli() {
			return true
		}
	}
	return false
}

func errUnderWay(step string) error {
	return fault.Newf(fault.Conflict, "onboarding_step_recorded",
		"the step %s is being done with another request, or was begun with it and cut off; send that one again, or begin another session to do it otherwise", step)
}

// claim takes the step for what is asked for. The session is read again: another
// process may have done the step by now. release is called with what came of the
// effect.
func (t *turn) claim(ctx context.Context, slug string) (release func(error), err error) {
	hold, err := span.RandomID(t.s.cfg.Now(), t.s.cfg.Rand)
	if err != nil {
		return nil, err
	}
	for cleared := ""; ; {
		var stale claim
		err := t.s.db.InTx(ctx, func(tx *sql.Tx) error {
			now := t.s.cfg.Now()
			r, err := load(ctx, tx, t.row.id, now)
			if err != nil {
				return err
			}
			t.row, stale = r, claim{}
			step := t.step()
			if step.over() || step.Bound {
				if step.Said != t.said {
					return errRecorded(step)
				}
				return nil
			}
			c := step.Claim
			switch {
			case c != nil && c.Said == t.said:
			case c != nil && c.live(now):
				return errUnderWay(t.name)
			case c != nil && c.Said != cleared:
				stale = *c
				return nil
			default:
				c = &claim{Said: t.said, Slug: slug, Holds: map[string]int64{}}
				step.Claim = c
			}
			c.Holds[hold] = now.Add(claimFor).UnixMilli()
			return update(ctx, tx, r)
		})
		switch {
		case err != nil:
			return nil, err
		case stale.Said == "":
			return func(err error) { t.release(ctx, hold, err) }, nil
		}
		if err := t.unmade(ctx, &stale); err != nil {
			return nil, err
		}
		cleared = stale.Said
	}
}

// unmade says that what a request began that was cut off has not come about. Of one
// that joins it does not look: whoever asks for something else then has both, the role
// that they were invited to and the tenant that they make.
func (t *turn) unmade(ctx context.Context, c *claim) error {
	if c.Slug == "" {
		return nil
	}
	there, err := t.s.Log.Tenant(ctx, c.Slug)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return nil
	case err != nil:
		return err
	case there.Owner == t.memory().Identity:
		return errUnderWay(t.name)
	}
	return nil
}

// release gives the step free where the effect was refused. Where nobody knows what
// came of it, the claim stays until the same is asked for again.
func (t *turn) release(ctx context.Context, hold string, effect error) {
	switch fault.KindOf(effect) {
	case "", fault.Unavailable, fault.Internal:
		return
	}
	err := t.s.db.InTx(context.WithoutCancel(ctx), func(tx *sql.Tx) error {
		r, err := load(ctx, tx, t.row.id, t.s.cfg.Now())
		if err != nil {
			return err
		}
		step := r.memory.step(t.name)
		if step.Claim == nil || step.Claim.Holds[hold] == 0 {
			return nil
		}
		if delete(step.Claim.Holds, hold); len(step.Claim.Holds) == 0 {
			step.Claim = nil
		}
		return update(ctx, tx, r)
	})
	if err != nil {
		t.s.cfg.Logger.WarnContext(ctx, "a step of onboarding that was refused stays taken for a while", "step", t.name, "error", err)
	}
}

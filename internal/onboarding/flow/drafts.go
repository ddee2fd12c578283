package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// number gives drafts the ids that they keep.
func (t *turn) number(drafts []Draft) ([]Draft, error) {
	for i := range drafts {
		name, err := span.RandomID(t.s.cfg.Now(), t.s.cfg.Rand)
		if err != nil {
			return nil, err
		}
		drafts[i].ID = name
		if drafts[i].Payload, err = span.Canonicalize(drafts[i].Payload); err != nil {
			return nil, err
		}
	}
	return drafts, nil
}

// missing are a step's drafts that do not stand on the timeline.
func (s *Sessions) missing(ctx context.Context, m *memory, step *Step) ([]Draft, error) {
	var out []Draft
	for _, d := range step.Drafts {
		rec, err := s.Log.Get(ctx, m.Tenant, d.ID)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			out = append(out, d)
		case err != nil:
			return nil, err
		case rec.Entry.Span.Author != m.Identity || rec.Entry.Span.Type != d.Type || !rec.Redacted && string(rec.Payload) != string(d.Payload):
			return nil, fault.Newf(fault.Conflict, "onboarding_draft_changed",
				"the span %s stands on the timeline with another author, type or payload than its draft; what stands stays. Begin another session to go on", d.ID)
		}
	}
	return out, nil
}

// settle completes a step whose drafts all stand. Those that do not, the node signs
// where it holds the identity's keys and a login as it came with the request;
// elsewhere the step stays open, and whoever has the keys signs them.
func (t *turn) settle(ctx context.Context, as Login) error {
	m := t.memory()
	left, err := t.s.missing(ctx, m, t.step())
	if err != nil {
		return err
	}
	switch {
	case len(left) > 0 && !m.Held:
		return nil
	case len(left) > 0:
		if err := t.login(ctx, as); err != nil {
			return err
		}
	}
	for i := range left {
		if err := t.sign(ctx, &left[i]); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		if left, err = t.s.missing(ctx, m, t.step()); err != nil || len(left) > 0 {
			return err
		}
	}
	ids := draftIDs(t.step().Drafts)
	return t.record(ctx, Done, func(_ *memory, step *Step) {
		if !slices.Equal(draftIDs(step.Drafts), ids) {
			step.Status = Open // another process has other ones by now
		}
	})
}

// Login says as whom the request's own login came; nil: without one.
type Login func(ctx context.Context) (identity string, err error)

// login refuses to act for an identity whose login did not come with the request.
func (t *turn) login(ctx context.Context, as Login) error {
	if as == nil {
		return errLogin
	}
	who, err := as(ctx)
	if err == nil && who != t.memory().Identity {
		err = errLogin
	}
	return err
}

func draftIDs(drafts []Draft) []string {
	ids := make([]string, len(drafts))
	for i := range drafts {
		ids[i] = drafts[i].ID
	}
	return ids
}

// saltDomain is what salts of drafts are derived under: the same draft signed again
// is the same span but for its time.
const saltDomain = "logline.onboarding.salt.v1\n"

// sign signs a draft with the key that this node holds, and records it. That it
// stands already is no error.
func (t *turn) sign(ctx context.Context, d *Draft) error {
	held, err := t.s.Custody.Held(ctx, t.memory().Identity)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, held.Secret)
	mac.Write([]byte(saltDomain + d.ID))
	sp, err := id.SealSpan(held, span.Header{
		ID: d.ID, Tenant: t.memory().Tenant, Author: t.memory().Identity, Type: d.Type, Title: d.Title, Subject: d.Subject, Tags: d.Tags,
		Time: span.FormatTime(t.s.cfg.Now()), Status: span.StatusExecuted, Visibility: d.Visibility,
	}, d.Payload, mac.Sum(nil)[:16])
	if err != nil {
		return err
	}
	err = t.s.Append(ctx, t.memory().Tenant, sp.Canonical())
	if fault.CodeOf(err) == "id_conflict" { // signed at another time, or by another process
		return nil
	}
	return err
}

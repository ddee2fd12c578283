package person

import (
	"context"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Erased is what an erasure has done or, where Done is false, would do.
type Erased struct {
	Person     string         `json:"person"` // LogLine ID
	Done       bool           `json:"done"`
	Tenants    []ErasedTenant `json:"tenants"`
	Names      bool           `json:"names"`      // a handle or name in the directory
	APIKeys    int            `json:"api_keys"`   // that were valid
	Custody    bool           `json:"custody"`    // keys in the node's care: the identity ends
	Account    bool           `json:"account"`    // a login at the node, with its sessions
	Onboarding int            `json:"onboarding"` // sessions in which they were brought in
	SoleOwner  []string       `json:"sole_owner_of"`
	Stays      []string       `json:"stays"`       // for good, and why
	NotReached []string       `json:"not_reached"` // what somebody else has to erase
}

// ErasedTenant is what was erased in one timeline.
type ErasedTenant struct {
	ID       string `json:"id"`
	Slug     string `json:"slug"`
	Payloads int    `json:"payloads"`  // erased now
	Before   int    `json:"before"`    // erased before
	Kept     int    `json:"kept"`      // what later entries depend on, which has no personal data
	Tasks    int    `json:"tasks"`     // cancelled
	ReadOnly bool   `json:"read_only"` // another node's: nothing was erased
}

// stays is what no erasure takes.
var stays = []string{
	"headers: who, when, which type, title, subject and tags, because every proof covers them; they hold references and no names",
	"payloads of the protocol's own types (roles, contracts, votes, key events): later entries depend on them",
	"the identity's key events: history is checked by them. They hold no personal data",
	"the node's admin timeline: that they, or what they asked for, were the subject of an operator's act, by reference",
	"what others wrote about the person without naming their identity as its subject: it cannot be found by whom it is of; search for it, and redact it",
}

// notReached is what is beyond the node.
var notReached = []string{
	"bytes in parts of files that nobody reads any more: run logline erase --compact",
	"backups, dumps and snapshots made before, WAL archives, what others have exported or were sent: docs/erasure.md says what to do about each",
}

// Erase erases what the node holds of a person, or says what it would with dry. by
// is who asked, for API keys' records; now is the time by which tasks are cancelled.
func (n *Node) Erase(ctx context.Context, who, reason, by string, dry bool, now time.Time) (out Erased, err error) {
	out = Erased{Person: who, Done: !dry, Tenants: []ErasedTenant{}, SoleOwner: []string{}, Stays: stays, NotReached: slices.Clone(notReached)}
	if who == n.ID {
		return out, fault.New(fault.Invalid, "person_is_node", "this is the node's own identity, and no person's")
	}
	info, err := n.Directory.Get(ctx, who)
	if err != nil {
		return out, err
	}
	for t, err := range n.tenants(ctx) {
		if err != nil {
			return out, err
		}
		if t.OfNode() && !t.ReadOnly {
			continue // what was done, by whom and to whom, names nobody
		}
		if n.Reached != nil {
			n.Reached(t.Slug)
		}
		if err := n.eraseIn(ctx, &out, t, who, reason, dry, now); err != nil {
			return out, err
		}
	}
	if err := n.endKeys(ctx, &out, who, by, dry); err != nil {
		return out, err
	}
	// Last: until here the person can be found by the handle, and the run be repeated.
	if out.Names = info.Handle != "" || info.Name != ""; out.Names && !dry {
		none := ""
		_, err = n.Directory.SetLabels(ctx, who, id.Labels{Handle: &none, Name: &none})
	}
	return out, err
}

// eraseIn does one timeline.
func (n *Node) eraseIn(ctx context.Context, out *Erased, t timeline.Tenant, who, reason string, dry bool, now time.Time) error {
	done := ErasedTenant{ID: t.ID, Slug: t.Slug, ReadOnly: t.ReadOnly}
	for records, err := range n.records(ctx, t.ID, who) {
		if err != nil {
			return err
		}
		var refs []span.SpanRef
		for i := range records {
			h := &records[i].Entry.Span
			switch {
			case !span.Redactable(h.Type):
				done.Kept++
			case records[i].Redacted:
				done.Before++
			default:
				refs = append(refs, span.SpanRef{Span: h.ID, HeaderHash: h.Hash().String()})
			}
		}
		if t.ReadOnly {
			done.Payloads += len(refs)
			continue
		}
		if len(refs) > 0 && !dry {
			if err := n.redact(ctx, t.ID, refs, reason); err != nil {
				return err
			}
		}
		done.Payloads += len(refs)
	}
	if t.ReadOnly {
		if done.Payloads > 0 {
			out.NotReached = append(out.NotReached, "the timeline "+t.ID+" is written by the node "+t.Node+": ask its operator; a newer bundle of it brings the erasure here")
		}
		done.Payloads = 0
	} else if err := n.cancel(ctx, &done, who, dry, now); err != nil {
		return err
	}
	view, err := n.Log.Standing(ctx, t.ID)
	if err != nil {
		return err
	}
	if roles := view.Roles(who); slices.Contains(roles, span.RoleOwner) && !t.ReadOnly {
		others := slices.ContainsFunc(view.Members(), func(m standing.Member) bool { return m.Identity != who && slices.Contains(m.Roles, span.RoleOwner) })
		if !others {
			out.SoleOwner = append(out.SoleOwner, t.Slug)
		}
	}
	if done.Payloads+done.Before+done.Kept+done.Tasks > 0 || t.ReadOnly && len(view.Roles(who)) > 0 {
		out.Tenants = append(out.Tenants, done)
	}
	return nil
}

// redact erases a page of payloads by the node's own signature.
func (n *Node) redact(ctx context.Context, tenant string, refs []span.SpanRef, reason string) error {
	payload, err := span.Canonical(span.Redaction{Spans: refs, Reason: reason})
	if err != nil {
		return err
	}
	return n.Engine.SubmitOwn(ctx, tenant, span.TypeRedaction, payload, engine.OwnOptions{}).Err
}

// cancel ends what the person has asked a tenant to do.
func (n *Node) cancel(ctx context.Context, done *ErasedTenant, who string, dry bool, now time.Time) error {
	var keys []tasks.Key
	for t, err := range n.asked(ctx, done.ID, who, tasks.Queued, tasks.Running) {
		if err != nil {
			return err
		}
		keys = append(keys, t.Key)
	}
	for _, k := range keys {
		if !dry {
			if _, err := n.Tasks.Cancel(ctx, now, k); err != nil && fault.CodeOf(err) != tasks.ErrEnded.Code {
				return err
			}
		}
		done.Tasks++
	}
	return nil
}

// endAccount erases the login, its address and where the person is signed in.
func (n *Node) endAccount(ctx context.Context, out *Erased, who string, dry bool) (err error) {
	if dry {
		_, err = n.Accounts.Get(ctx, who)
		out.Account = err == nil
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		return err
	}
	out.Account, err = n.Accounts.Erase(ctx, who)
	return err
}

// endKeys revokes API keys, erases the account, and ends an identity whose keys the node holds.
func (n *Node) endKeys(ctx context.Context, out *Erased, who, by string, dry bool) error {
	keys, err := n.apiKeys(ctx, who)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if k.RevokedAt != "" {
			continue
		}
		out.APIKeys++
		if !dry {
			if _, err := n.APIKeys.Revoke(ctx, who, k.ID, by); err != nil {
				return err
			}
		}
	}
	if !dry {
		if err := n.Tickets.Forget(ctx, who); err != nil {
			return err
		}
	}
	if err := n.endAccount(ctx, out, who, dry); err != nil {
		return err
	}
	if out.Onboarding, err = n.Onboarded.Forget(ctx, who, dry); err != nil {
		return err
	}
	if _, err := n.Custody.Maker(ctx, who); fault.KindOf(err) == fault.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	if out.Custody = true; dry {
		return nil
	}
	chain, err := n.Directory.Chain(ctx, who)
	if err != nil {
		return err
	}
	if chain.Status() == id.StatusActive {
		ch, err := n.Custody.Revocation(ctx, who, "")
		if err != nil {
			return err
		}
		_, _, err = n.Engine.EmbedHeld(ctx, who, ch.Event, func(ctx context.Context) (id.Info, error) { return n.Custody.Keep(ctx, ch) })
		if err != nil {
			return err
		}
	}
	return n.Custody.Destroy(ctx, who)
}

package person

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// What a record is to the person.
const (
	Author    = "author"       // they signed it
	OnBehalf  = "on_behalf_of" // somebody signed it for them
	Subject   = "subject"      // it is about them
	Member    = "member"       // it grants them roles, or withdraws them
	KeyEvent  = "key_event"    // it is one of their key events
	pageSize  = 500            // records read at once, and spans one redaction names
	taskPages = 500
)

// Onboarded forgets the onboarding sessions of an identity, and says how many there
// were; with dry it only counts.
type Onboarded interface {
	Forget(ctx context.Context, identity string, dry bool) (n int, err error)
}

// Node is what a node's data is reached through.
type Node struct {
	ID        string // LogLine ID
	Log       *timeline.Log
	Engine    *engine.Engine
	Directory *id.Directory
	APIKeys   *id.APIKeys
	Custody   *id.Custody
	Accounts  *account.Service
	Passkeys  *passkey.Service
	Logins    *oidc.Service
	Tasks     tasks.Store
	Onboarded Onboarded
	Tickets   *ticket.Tickets

	Reached func(slug string) // called before each timeline is looked at; nil: nobody wants to know
}

// relations are what a record is to the person.
func relations(who string, r *timeline.Record) (out []string) {
	h := &r.Entry.Span
	for name, of := range map[string]string{Author: h.Author, OnBehalf: h.OnBehalfOf, Subject: h.Subject} {
		if of == who {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// tenants are all timelines of the node, those of other nodes too.
func (n *Node) tenants(ctx context.Context) iter.Seq2[timeline.Tenant, error] {
	return func(yield func(timeline.Tenant, error) bool) {
		for after := ""; ; {
			page, err := n.Log.Tenants(ctx, after, timeline.MaxLimit)
			if err != nil {
				yield(timeline.Tenant{}, err)
				return
			}
			for _, t := range page {
				if after = t.ID; !yield(t, nil) {
					return
				}
			}
			if len(page) < timeline.MaxLimit {
				return
			}
		}
	}
}

// records are those of a timeline that are of the person, each once, a page at a
// time, those they signed or had signed first.
func (n *Node) records(ctx context.Context, tenant, who string) iter.Seq2[[]timeline.Record, error] {
	return func(yield func([]timeline.Record, error) bool) {
		// A reader without any right sees exactly what they signed and what was
		// signed for them.
		for _, ask := range []struct {
			query  timeline.Query
			reader standing.Reader
			after  bool // what the first question found is left out
		}{
			{timeline.Query{Limit: pageSize}, standing.Reader{Identity: who}, false},
			{timeline.Query{Limit: pageSize, Subject: who}, standing.Everything(), true},
		} {
			for {
				page, err := n.Log.Query(ctx, tenant, ask.query, ask.reader)
				if err != nil {
					yield(nil, err)
					return
				}
				found := page.Records
				if ask.after {
					found = slices.DeleteFunc(found, func(r timeline.Record) bool {
						return r.Entry.Span.Author == who || r.Entry.Span.OnBehalfOf == who
					})
				}
				if len(found) > 0 && !yield(found, nil) {
					return
				}
				if ask.query.Cursor = page.Next; page.Next == "" {
					break
				}
			}
		}
	}
}

// memberships are the entries that give the person roles or take them.
func (n *Node) memberships(ctx context.Context, tenant, who string) iter.Seq2[timeline.Record, error] {
	return func(yield func(timeline.Record, error) bool) {
		q := timeline.Query{Types: []string{span.TypeMember}, Limit: pageSize}
		for {
			page, err := n.Log.Query(ctx, tenant, q, standing.Everything())
			if err != nil {
				yield(timeline.Record{}, err)
				return
			}
			for _, r := range page.Records {
				p, err := span.ParseMember(r.Payload)
				if err == nil && p.Identity == who && r.Entry.Span.Author != who && !yield(r, nil) {
					return
				}
			}
			if q.Cursor = page.Next; page.Next == "" {
				return
			}
		}
	}
}

// asked are the tasks of a tenant that the person asked for; in these states, or in
// any where none is named.
func (n *Node) asked(ctx context.Context, tenant, who string, states ...tasks.State) iter.Seq2[tasks.Task, error] {
	return func(yield func(tasks.Task, error) bool) {
		filters := []*tasks.State{nil}
		if len(states) > 0 {
			filters = filters[:0]
			for i := range states {
				filters = append(filters, &states[i])
			}
		}
		for _, state := range filters {
			for list := (tasks.List{Tenant: tenant, State: state, Limit: taskPages}); ; {
				page, err := n.Tasks.List(ctx, list)
				if err != nil {
					yield(tasks.Task{}, err)
					return
				}
				for i := range page {
					if page[i].AskedBy == who && !yield(page[i], nil) {
						return
					}
				}
				if len(page) < taskPages {
					break
				}
				list.Before = &page[len(page)-1].Key
			}
		}
	}
}

// apiKeys are all API keys of the person, revoked ones too.
func (n *Node) apiKeys(ctx context.Context, who string) (all []id.APIKey, err error) {
	for after := ""; ; {
		page, err := n.APIKeys.List(ctx, who, after, 100)
		if err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < 100 {
			return all, nil
		}
		after = page[len(page)-1].ID
	}
}

// ValidKeys counts the API keys of the person that hold now.
func (n *Node) ValidKeys(ctx context.Context, who string, now time.Time) (valid int, err error) {
	keys, err := n.apiKeys(ctx, who)
	for _, k := range keys {
		if k.RevokedAt == "" && (k.ExpiresAt == "" || k.ExpiresAt > span.FormatTime(now)) {
			valid++
		}
	}
	return valid, err
}

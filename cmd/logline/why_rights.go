package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/ui"
)

// grounds are the entries that a signer's right at a place rests on.
type grounds struct {
	Key   *standing.Ground      `json:"key,omitempty"` // the event that made its key good
	Roles []standing.RoleGround `json:"roles"`         // the grants that its roles are by

	// What the reader is not shown: grants of roles, and the event of the key.
	Hidden    []string `json:"hidden,omitempty"`
	HiddenKey bool     `json:"hidden_key,omitempty"`
}

// groundsOf are those of one signer after the entries that rests has taken.
func groundsOf(rests *standing.Grounds, identity, key string) grounds {
	g := grounds{Roles: rests.Roles(identity)}
	if ground, ok := rests.Key(identity, key); ok {
		g.Key = &ground
	}
	return g
}

// words says them a line each.
func (g *grounds) words(who func(identity string) string) (lines []string) {
	for _, r := range g.Roles {
		lines = append(lines, fmt.Sprintf("%s: granted in entry %d by %s (span %s)", r.Role, r.Seq, who(r.By), r.Span))
	}
	for _, role := range g.Hidden {
		lines = append(lines, role+": by a grant that is not for you to see")
	}
	switch {
	case g.Key != nil:
		lines = append(lines, fmt.Sprintf("the key: by the key event in entry %d (span %s)", g.Key.Seq, g.Key.Span))
	case g.HiddenKey:
		lines = append(lines, "the key: by a key event that is not for you to see")
	}
	return lines
}

// each gives the entries, every one once.
func (g *grounds) each() (out []standing.Ground) {
	if g.Key != nil {
		out = append(out, *g.Key)
	}
	for _, r := range g.Roles {
		if !slices.Contains(out, r.Ground) {
			out = append(out, r.Ground)
		}
	}
	return out
}

// rights finds what an entry's author had its right by, in what the node shows of
// the entries before it, by the very fold that reads a bundle. Each entry that the
// right rests on is held against the signed tree. That none is missing between is
// the node's word: only a whole timeline can show that.
func (s *session) rights(ctx context.Context, e *entryView, signer *openapi.Signer, logKey string) (*grounds, error) {
	rests, leaves := standing.NewGrounds(), map[string]string{}
	for o, err := range s.grants(ctx, max(e.Seq, 2)) { // entries 0 to 2 are judged by entry 1
		if err != nil {
			return nil, err
		}
		leaves[o.Span.ID] = span.LeafHash(o.Entry.AppendLine(nil)).String()
		rests.Take(&o.Entry, o.Payload)
	}
	g := groundsOf(rests, signer.Identity, signer.Key)
	for _, ground := range g.each() {
		receipt, err := s.client.Receipt(ctx, s.profile.Tenant, ground.Span)
		if err != nil {
			return nil, err
		}
		checked, err := checkReceipt(*receipt, ground.Span, span.Hash{}, logKey)
		if err != nil {
			return nil, err
		}
		if checked.LeafHash != leaves[ground.Span] {
			return nil, answerAltered("entry_not_leaf", &checked.entry, "the entry that it shows for a right is not the one of its leaf")
		}
	}
	return &g, s.compare(ctx, e, signer, &g)
}

// compare holds the roles that the node says against the grants that it shows.
// They are the same for whoever may see all grants; others are told which they
// do not see.
func (s *session) compare(ctx context.Context, e *entryView, signer *openapi.Signer, g *grounds) error {
	var shown []string
	for _, r := range g.Roles {
		shown = append(shown, r.Role)
	}
	said := slices.Sorted(slices.Values(signer.Roles))
	if g.Key != nil && slices.Equal(said, shown) {
		return nil
	}
	_, err := s.client.Members(ctx, s.profile.Tenant) // for members alone, who see every grant
	if err == nil {
		return answerAltered("rights_other", e, fmt.Sprintf(
			"it says that the author held %s, and what it shows of the entries before it gives %s", rolesWords(said), rolesWords(shown)))
	}
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != http.StatusForbidden {
		return err
	}
	g.Roles = slices.DeleteFunc(g.Roles, func(r standing.RoleGround) bool { return !slices.Contains(said, r.Role) })
	g.Hidden = slices.DeleteFunc(said, func(role string) bool { return slices.Contains(shown, role) })
	g.HiddenKey = g.Key == nil
	return nil
}

func rolesWords(roles []string) string {
	if len(roles) == 0 {
		return "no role"
	}
	return ui.Clean(strings.Join(roles, ", "))
}

// grants are the entries before seq that roles and keys come from, in order, as
// far as the node shows them: each is signed and has the payload that was signed.
// Resolutions are asked for only where a grant waited for one: there may be many.
func (s *session) grants(ctx context.Context, seq uint64) iter.Seq2[*span.Opened, error] {
	return func(yield func(*span.Opened, error) bool) {
		var waiting []*span.Opened // resolutions of grants, whose turn comes
		settle := func(until uint64) bool {
			for len(waiting) > 0 && waiting[0].Seq < until {
				if !yield(waiting[0], nil) {
					return false
				}
				waiting = waiting[1:]
			}
			return true
		}
		for o, err := range s.entries(ctx, client.Filter{Types: []string{span.TypeIdentity, span.TypeMember}}, seq) {
			if err == nil && !settle(o.Seq) {
				return
			}
			if !yield(o, err) || err != nil {
				return
			}
			if o.Decision.Outcome != span.OutcomePending {
				continue
			}
			for r, err := range s.entries(ctx, client.Filter{Types: []string{span.TypeResolution}, Cause: o.Span.ID}, seq) {
				if err != nil {
					yield(nil, err)
					return
				}
				waiting = append(waiting, r)
			}
			slices.SortStableFunc(waiting, func(a, b *span.Opened) int { return int(a.Seq) - int(b.Seq) })
		}
		settle(seq)
	}
}

// entries are those before seq that a filter chooses, in order, each checked by
// itself.
func (s *session) entries(ctx context.Context, filter client.Filter, seq uint64) iter.Seq2[*span.Opened, error] {
	return func(yield func(*span.Opened, error) bool) {
		filter.Limit = maxPage
		next := uint64(0)
		for raw, err := range s.client.All(ctx, s.profile.Tenant, filter) {
			if err != nil {
				yield(nil, err)
				return
			}
			e, err := checked(raw)
			if err == nil && e.Seq < next {
				err = answerAltered("answer_out_of_order", &e, "it is shown after entries that came later")
			}
			if err == nil && e.Seq >= seq {
				return
			}
			var o *span.Opened
			if err == nil {
				if o, err = span.ParseOpened(raw, anySize); err != nil {
					err = answerAltered("entry_unreadable", &e, "it is not as entries are ("+err.Error()+")")
				}
			}
			next = e.Seq + 1
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

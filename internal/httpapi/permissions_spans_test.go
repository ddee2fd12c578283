package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// by is a span that the caller signs for the place; nil where it holds no key.
func (a *asking) by(payload string, change ...func(*span.Header)) []byte {
	if a.who.keys == nil {
		return nil
	}
	// For another tenant's name and for none it is the same span.
	named := func(h *span.Header) {
		if span.IsUUID(a.name) {
			h.Tenant = a.name
		}
	}
	return a.seal(a.who.keys, []byte(payload), append(change, named)...)
}

// appendOf appends what seal makes, by nobody but its author.
func appendOf(seal func(*asking) []byte) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		raw := seal(a)
		if raw == nil {
			return nil
		}
		return a.request(http.MethodPost, a.at("/spans"), "", "application/json", bytes.NewReader(raw))
	}
}

func appendLines(a *asking) *http.Request {
	raw := a.by(`{"n":1}`)
	if raw == nil {
		return nil
	}
	return a.request(http.MethodPost, a.at("/spans"), "", "application/x-ndjson", bytes.NewReader(raw))
}

func appendDry(a *asking) *http.Request {
	raw := a.by(`{"n":1}`)
	if raw == nil {
		return nil
	}
	return a.request(http.MethodPost, a.at("/spans?dry_run=true"), "", "application/json", bytes.NewReader(raw))
}

func simulate(a *asking) *http.Request {
	raw := a.by(`{"n":1}`)
	if raw == nil {
		return nil
	}
	return a.request(http.MethodPost, a.at("/simulations"), "", "application/json", bytes.NewReader(raw))
}

func onBehalf(a *asking) []byte {
	return a.by(`{"n":1}`, func(h *span.Header) { h.OnBehalfOf = a.owner.ID() })
}

func (a *asking) reserved(typ string, payload any) []byte {
	text, err := span.Canonical(payload)
	require.NoError(a.t, err)
	return a.by(string(text), typed(typ))
}

func grantOf(role string) func(*asking) []byte {
	return func(a *asking) []byte {
		return a.reserved(span.TypeMember, span.Member{Identity: a.owner.ID(), Roles: []string{role}, Action: span.ActionGrant})
	}
}

func contractOf(a *asking) []byte {
	sp, err := span.Parse(a.world.contract(fmt.Sprintf(`contract by.%s version "1.0.0" { rule no { on: "no.such" then { tag "x" } } }`, a.who.name), span.ActionActivate), span.Limits{})
	require.NoError(a.t, err)
	return a.by(string(sp.Payload), typed(span.TypeContract))
}

// target is a span of somebody's that is in the place, with its header's hash.
func (a *asking) target(author *id.Keys, change ...func(*span.Header)) span.SpanRef {
	raw := a.world.note(author, 1, change...)
	a.world.append(raw)
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(a.t, err)
	return span.SpanRef{Span: sp.ID, HeaderHash: sp.Hash().String()}
}

func redaction(a *asking) []byte {
	return a.reserved(span.TypeRedaction, map[string]any{"spans": []any{a.target(a.owner)}, "reason": "asked"})
}

func revertOthers(a *asking) []byte {
	t := a.target(a.owner)
	return a.reserved(span.TypeRevert, span.Revert{Span: t.Span, HeaderHash: t.HeaderHash, Reason: "wrong"})
}

func revertOwn(a *asking) []byte {
	if a.who.keys == nil {
		return nil
	}
	t := a.target(a.who.keys)
	return a.reserved(span.TypeRevert, span.Revert{Span: t.Span, HeaderHash: t.HeaderHash, Reason: "wrong"})
}

func approval(a *asking) []byte {
	t := a.target(a.owner, typed("money.asked"))
	return a.reserved(span.TypeApproval, span.Approval{Span: t.Span, HeaderHash: t.HeaderHash, Vote: span.VoteApprove})
}

// resolution is what the node alone signs.
func resolution(a *asking) []byte {
	t := a.target(a.owner, typed("money.asked"))
	return a.reserved(span.TypeResolution, span.Resolution{Span: t.Span, HeaderHash: t.HeaderHash, Outcome: span.ResolutionExecuted})
}

func event(a *asking) *http.Request {
	return a.request(http.MethodPost, a.at("/events"), a.who.token, structured, strings.NewReader(eventText(span.NewID(time.Now(), [10]byte{}), "shop.sold", `{}`)))
}

func spanOf(visibility, path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request { return a.get("/spans/" + a.thing(a.spans[visibility]) + path) }
}

// lineStatus is how the one line of many was answered.
func lineStatus(a *asking, resp *http.Response) int {
	var result client.LineResult
	require.NoError(a.t, json.NewDecoder(resp.Body).Decode(&result))
	return result.Status
}

// spanStatus is how the one span of a simulation was answered.
func spanStatus(a *asking, resp *http.Response) int {
	var sim struct{ Spans []struct{ Status int } }
	require.NoError(a.t, json.NewDecoder(resp.Body).Decode(&sim))
	require.Len(a.t, sim.Spans, 1)
	return sim.Spans[0].Status
}

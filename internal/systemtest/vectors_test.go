package systemtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// The tests in this file send the protocol's vectors to the real server and know
// nothing of them but the shape of their files. What each refusal is for they
// ask the rules themselves, in process (reasons_test.go): the server must give
// that reason, as a problem of status 4xx, and must be as it was.

type spanVectors struct {
	Tenant, Node, Author string
	Spans                []struct{ Span json.RawMessage }
	RefuseAlone          []refusedSpan `json:"refuse_alone"`
	RefuseAtEnd          []refusedSpan `json:"refuse_at_end_of_timeline"`
}

type refusedSpan struct {
	Why  string
	Span json.RawMessage
}

type keyVectors struct {
	Keys   []struct{ Label, Seed, Public string }
	Accept []struct {
		ID            string
		Events        []json.RawMessage
		ClaimerEvents []json.RawMessage `json:"claimer_events"`
	}
	Refuse []refusedEvents
}

type refusedEvents struct {
	Why    string
	Events []json.RawMessage
}

type jsonVectors struct {
	Canonical []struct{ Input string }
	Refuse    []refusedJSON
}

type refusedJSON struct {
	Why, Input string
	B64        *string `json:"input_b64u"`
}

func (r refusedJSON) bytes(t *testing.T) []byte {
	t.Helper()
	if r.B64 == nil {
		return []byte(r.Input)
	}
	b, err := span.ParseB64(*r.B64, -1)
	require.NoError(t, err)
	return b
}

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "testdata", "vectors", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(src, into))
}

// requireReason posts a span to tenant, which must be refused for a reason of
// its own, and checks that the timeline is as it was.
func (y *tenancy) requireReason(t *testing.T, tenant, code string, raw []byte) {
	t.Helper()
	before := y.checkpoint()
	status, p := y.post(t, "/v1/tenants/"+tenant+"/spans", "application/json", raw)
	require.Equal(t, code, p.Code, "%d %s", status, p.Detail)
	requireClientError(t, status)
	require.Equal(t, before, y.checkpoint(), "the timeline changed")
}

func requireClientError(t *testing.T, status int) {
	t.Helper()
	require.GreaterOrEqual(t, status, 400)
	require.Less(t, status, 500)
}

func TestVectorsSpansRefusedAlone(t *testing.T) {
	t.Parallel()
	var v spanVectors
	vectors(t, "spans.json", &v)
	require.NotEmpty(t, v.RefuseAlone)
	y := onboard(t, start(t, t.TempDir()))
	for _, c := range v.RefuseAlone {
		t.Run(c.Why, func(t *testing.T) {
			code := reasonAlone(c.Span)
			require.NotEmpty(t, code, "the rules themselves take it")
			sp, err := span.Parse(c.Span, span.Limits{})
			if err != nil {
				y.requireReason(t, y.tenant.Id, code, c.Span)
				return
			}
			// Its form is good, so it comes as far as its tenant, which is not here.
			y.requireReason(t, y.tenant.Id, "tenant_mismatch", c.Span)
			y.requireReason(t, sp.Tenant, "tenant_unknown", c.Span)
			// The same fault in a span of this tenant: what was signed is not what is sent.
			sent := *sp
			sent.Tenant, sent.Author, sent.Time = y.tenant.Id, y.owner.ID(), span.FormatTime(time.Now())
			signed := sent.Header
			signed.Title += "?"
			other, err := id.SealSpan(y.owner.Signer(), signed, sent.Payload, mustSalt(t, sent.Salt))
			require.NoError(t, err)
			sent.Signature = other.Signature
			y.requireReason(t, y.tenant.Id, code, sent.Canonical())
		})
	}
	y.export()
}

func mustSalt(t *testing.T, salt string) []byte {
	t.Helper()
	b, err := span.ParseB64(salt, 16)
	require.NoError(t, err)
	return b
}

// withPayload puts payload into a span without signing it again.
func withPayload(raw, payload []byte) []byte {
	var members map[string]json.RawMessage
	_ = json.Unmarshal(raw, &members)
	out := []byte(`{"payload":`)
	out = append(out, payload...)
	for name, value := range members {
		if name != "payload" {
			out = append(out, `,"`+name+`":`...)
			out = append(out, value...)
		}
	}
	return append(out, '}')
}

func TestVectorsCanonicalJSON(t *testing.T) {
	t.Parallel()
	var v jsonVectors
	vectors(t, "canonical-json.json", &v)
	require.NotEmpty(t, v.Canonical)
	require.NotEmpty(t, v.Refuse)
	y := onboard(t, start(t, t.TempDir()))
	for _, c := range v.Canonical {
		// What may be a payload is refused only for not being the one signed.
		y.requireReason(t, y.tenant.Id, "payload_hash_mismatch", withPayload(y.note(1), []byte(c.Input)))
	}
	for _, c := range v.Refuse {
		t.Run(c.Why, func(t *testing.T) {
			require.NotEmpty(t, reasonJSON(c.bytes(t)), "the rules themselves take it")
			raw := withPayload(y.note(1), c.bytes(t))
			code := reasonAlone(raw)
			require.NotEqual(t, "payload_hash_mismatch", code)
			y.requireReason(t, y.tenant.Id, code, raw)
		})
	}
}

func TestVectorsKeyEvents(t *testing.T) {
	t.Parallel()
	var v keyVectors
	vectors(t, "key-events.json", &v)
	require.NotEmpty(t, v.Refuse)
	s := start(t, t.TempDir())
	api := s.client()
	registerClaimers(t, api, v)
	for _, c := range v.Refuse {
		t.Run(c.Why, func(t *testing.T) {
			code := reasonEvents(t, v, c.Events)
			require.NotEmpty(t, code, "the rules themselves take it")
			body, err := json.Marshal(map[string]any{"events": c.Events})
			require.NoError(t, err)
			status, p := s.post(t, "/v1/identities", "application/json", body)
			requireClientError(t, status)
			require.Equal(t, code, p.Code, p.Detail)
			if first, err := id.ParseEvent(c.Events[0]); err == nil {
				_, err = api.KeyEvents(background(), first.IdentityID())
				require.Equal(t, "identity_unknown", client.CodeOf(err), "nothing was registered")
			}
		})
	}
}

// The same where the identity is registered and its last event comes alone.
// Vectors of one identity are different futures of it, so each has a server.
func TestVectorsKeyEventsOneByOne(t *testing.T) {
	t.Parallel()
	var v keyVectors
	vectors(t, "key-events.json", &v)
	for _, c := range v.Refuse {
		last := len(c.Events) - 1
		if last == 0 {
			continue
		}
		t.Run(c.Why, func(t *testing.T) {
			t.Parallel()
			code := reasonEvents(t, v, c.Events)
			s := start(t, t.TempDir())
			api := s.client()
			registerClaimers(t, api, v)
			info, _, err := api.Register(background(), client.Registration{Events: c.Events[:last]})
			require.NoError(t, err)
			before, err := api.KeyEvents(background(), info.Id)
			require.NoError(t, err)
			status, p := s.post(t, "/v1/identities/"+strings.TrimPrefix(info.Id, span.IdentityScheme)+"/events", "application/json", c.Events[last])
			requireClientError(t, status)
			require.Equal(t, code, p.Code, p.Detail)
			after, err := api.KeyEvents(background(), info.Id)
			require.NoError(t, err)
			require.Equal(t, before, after, "the identity changed")
		})
	}
}

func TestVectorsKeyEventsAccepted(t *testing.T) {
	t.Parallel()
	var v keyVectors
	vectors(t, "key-events.json", &v)
	require.NotEmpty(t, v.Accept)
	s := start(t, t.TempDir())
	api := s.client()
	seen := map[string]bool{}
	for _, c := range v.Accept {
		if seen[c.ID] {
			continue // another future of the same identity
		}
		seen[c.ID] = true
		if len(c.ClaimerEvents) > 0 {
			_, _, err := api.Register(background(), client.Registration{Events: c.ClaimerEvents})
			require.NoError(t, err)
		}
		info, _, err := api.Register(background(), client.Registration{Events: c.Events})
		require.NoError(t, err)
		require.Equal(t, c.ID, info.Id)
	}
}

func registerClaimers(t *testing.T, api *client.Client, v keyVectors) {
	t.Helper()
	for _, c := range v.Accept {
		if len(c.ClaimerEvents) > 0 {
			_, _, err := api.Register(background(), client.Registration{Events: c.ClaimerEvents})
			require.NoError(t, err)
		}
	}
}

// TestVectorsRefusedAtEndOfTimeline brings a tenant of the server to where the
// vectors' timeline ends: the same owner and identities with the same keys, key
// events in the same order, the same spans signed anew. Each refused span,
// signed anew by the key that signed it, is refused for the same reason there.
func TestVectorsRefusedAtEndOfTimeline(t *testing.T) {
	t.Parallel()
	var v spanVectors
	vectors(t, "spans.json", &v)
	require.NotEmpty(t, v.RefuseAtEnd)
	w := replayVectors(t, v)
	for _, c := range v.RefuseAtEnd {
		t.Run(c.Why, func(t *testing.T) {
			code := reasonAtEnd(t, v, c.Span)
			require.NotEmpty(t, code, "the rules themselves take it")
			w.requireReason(t, w.tenant.Id, code, w.again(t, c.Span))
			w.requireReason(t, w.tenant.Id, "tenant_mismatch", c.Span)
		})
	}
	w.export()
}

// replay is a tenant that repeats the vectors' timeline.
type replay struct {
	*tenancy
	vectors spanVectors
	signers map[string]id.Signer // by public key
}

func replayVectors(t *testing.T, v spanVectors) *replay {
	t.Helper()
	var k keyVectors
	vectors(t, "key-events.json", &k)
	s := start(t, t.TempDir())
	w := &replay{tenancy: &tenancy{server: s}, vectors: v, signers: map[string]id.Signer{}}
	for _, key := range k.Keys {
		seed, err := span.ParseB64(key.Seed, 32)
		require.NoError(t, err)
		w.signers[key.Public] = id.NewSecretKey([32]byte(seed))
	}
	api := s.client()
	known, current := map[string]*id.Chain{}, map[string]string{}
	for i, c := range v.Spans {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(t, err)
		switch {
		case sp.Type == span.TypeIdentity:
			payload, err := span.ParseIdentity(sp.Payload)
			require.NoError(t, err)
			e, err := id.ParseEvent(payload.Event)
			require.NoError(t, err)
			if e.Kind == id.KindInception {
				chain, err := id.Begin(e, id.StdVerifier())
				require.NoError(t, err)
				known[chain.ID()] = chain
				_, _, err = api.Register(background(), client.Registration{Events: []json.RawMessage{e.Raw}})
				require.NoError(t, err)
			} else {
				_, err = api.AppendEvent(background(), w.subjectOf(t, known, e), e.Raw)
				require.NoError(t, err, "span %d", i)
			}
			for name, chain := range known {
				current[name] = chain.Primary()
			}
		case sp.Type == span.TypeMember && w.tenant == nil:
			// The owner's grant, which the server makes with the tenant.
			token, err := os.ReadFile(filepath.Join(s.Dir, "bootstrap-token"))
			require.NoError(t, err)
			w.tenant, err = api.CreateTenant(background(), strings.TrimSpace(string(token)),
				client.NewTenant{Slug: "acme", Name: "Acme", Owner: v.Author})
			require.NoError(t, err)
			node, err := api.Node(background())
			require.NoError(t, err)
			w.node = node.Id
			w.api = api
		case span.IsReserved(sp.Type):
			// Genesis, and contracts, which this server has no evaluator for.
		default:
			_, err = api.Append(background(), w.tenant.Id, w.again(t, c.Span))
			require.NoError(t, err, "span %d", i)
		}
	}
	require.NotNil(t, w.tenant, "the vectors' timeline has an owner")
	w.api = s.client(client.WithSigner(w.signers[current[v.Author]], v.Author, w.node))
	return w
}

// subjectOf folds a later event into the identity it belongs to.
func (w *replay) subjectOf(t *testing.T, known map[string]*id.Chain, e *id.Event) string {
	t.Helper()
	for name, chain := range known {
		if _, err := chain.Apply(e, id.StdVerifier(), nil); err == nil {
			return name
		}
	}
	require.Fail(t, "an event of no identity in the timeline")
	return ""
}

// again signs a span of the vectors anew, for this tenant if it was for theirs,
// with the key that signed it.
func (w *replay) again(t *testing.T, raw []byte) []byte {
	t.Helper()
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(t, err)
	signer := w.signers[sp.Signature.Key]
	require.NotNil(t, signer, "the vectors give the seed of each key")
	return w.seal(signer, sp.Author, sp.Payload, func(h *span.Header) {
		was := *h
		*h = sp.Header
		h.ID, h.Time = was.ID, was.Time
		if h.Tenant == w.vectors.Tenant {
			h.Tenant = was.Tenant
		}
	})
}

package systemtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// TestBadInput sends everything that must be refused to one server. Sub-tests
// run one after the other: each checks that the timeline did not change.
func TestBadInput(t *testing.T) {
	t.Parallel()
	y := onboard(t, start(t, t.TempDir()))
	for _, c := range []struct {
		name string
		test func(*testing.T, *tenancy)
	}{
		{"malformed", testMalformed},
		{"oversized", testOversized},
		{"deeply nested", testNested},
		{"content types", testContentTypes},
		{"NDJSON answers each line", testLines},
		{"tenants", testTenants},
		{"keys", testKeys},
		{"ids", testIDs},
		{"reserved types", testReserved},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, y) })
	}
	y.export()
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	require.NotContains(t, y.Log.String(), "panic")
}

func testMalformed(t *testing.T, y *tenancy) {
	good := y.note(1)
	for name, c := range map[string]struct {
		code string
		body []byte
	}{
		"empty":           {"json_syntax", nil},
		"cut":             {"json_syntax", good[:len(good)/2]},
		"text":            {"json_syntax", []byte("hello")},
		"list":            {"json_not_object", []byte("[]")},
		"two objects":     {"json_trailing_data", append(bytes.Clone(good), good...)},
		"nothing in it":   {"member_missing", []byte("{}")},
		"null":            {"json_not_object", []byte("null")},
		"byte order mark": {"json_syntax", append([]byte("\xef\xbb\xbf"), good...)},
	} {
		t.Run(name, func(t *testing.T) {
			y.requireRefusal(t, http.StatusBadRequest, c.code, c.body)
		})
	}
}

func testOversized(t *testing.T, y *tenancy) {
	by := func(payload []byte, change ...func(*span.Header)) []byte {
		return y.seal(y.owner.Signer(), y.owner.ID(), payload, change...)
	}
	filled := func(n int) []byte { return fmt.Appendf(nil, `{"x":%q}`, strings.Repeat("x", n)) }
	t.Run("payload", func(t *testing.T) {
		y.requireRefusal(t, http.StatusRequestEntityTooLarge, "payload_too_large", by(filled(1<<20)))
	})
	t.Run("header", func(t *testing.T) {
		tags := make([]string, 32)
		for i := range tags {
			tags[i] = fmt.Sprintf("%03d%s", i, strings.Repeat("x", 253))
		}
		causes := make([]string, 64)
		for i := range causes {
			causes[i], _ = span.RandomID(time.Now(), rand.Reader)
		}
		y.requireRefusal(t, http.StatusRequestEntityTooLarge, "header_too_large", by([]byte(`{}`), func(h *span.Header) {
			h.Tags, h.Causes, h.Title = tags, causes, strings.Repeat("𝄞", 256)
			h.Subject = strings.Repeat("x", 256)
			h.Type = strings.Repeat("x", 128)
			for i := range h.Tags {
				h.Tags[i] = h.Tags[i][:3] + strings.Repeat("\u0001", 253) // six bytes each in JSON
			}
		}))
	})
	t.Run("body", func(t *testing.T) {
		before := y.checkpoint()
		status, p := y.post(t, "/v1/tenants/acme/spans", "application/json", bytes.Repeat([]byte(" "), 8<<20))
		require.Equal(t, http.StatusRequestEntityTooLarge, status, p.Detail)
		require.Equal(t, before, y.checkpoint())
	})
	t.Run("the largest payload is taken", func(t *testing.T) {
		_, err := y.api.Append(background(), "acme", by(filled(1<<20-len(`{"x":""}`))))
		require.NoError(t, err)
	})
}

func testNested(t *testing.T, y *tenancy) {
	for _, depth := range []int{65, 1000, 300_000} {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			payload := []byte(strings.Repeat(`{"a":`, depth) + `{}` + strings.Repeat("}", depth))
			y.requireRefusal(t, http.StatusBadRequest, "json_too_deep", withPayload(y.note(1), payload))
			lists := []byte(`{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}")
			y.requireRefusal(t, http.StatusBadRequest, "json_too_deep", withPayload(y.note(1), lists))
		})
	}
}

func testContentTypes(t *testing.T, y *tenancy) {
	before := y.checkpoint()
	for _, typ := range []string{"", "text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=latin1", "nonsense"} {
		t.Run(typ, func(t *testing.T) {
			status, p := y.post(t, "/v1/tenants/acme/spans", typ, y.note(1))
			require.Equal(t, http.StatusUnsupportedMediaType, status)
			require.Equal(t, "content_type_unsupported", p.Code)
			status, _ = y.post(t, "/v1/identities", typ, []byte(`{}`))
			require.Equal(t, http.StatusUnsupportedMediaType, status)
		})
	}
	require.Equal(t, before, y.checkpoint())
}

func testLines(t *testing.T, y *tenancy) {
	before := y.checkpoint().Size
	first := y.note(1)
	lines := [][]byte{first, []byte("nonsense"), y.note(2), first, []byte(`{"a":1}`), y.note(3)}
	results, err := y.api.AppendMany(background(), "acme", lines)
	require.NoError(t, err)
	require.Equal(t, []int{201, 400, 201, 200, 400, 201}, statuses(results))
	require.Equal(t, results[0].Receipt, results[3].Receipt)
	require.Equal(t, "json_syntax", results[1].Problem.Code)
	require.Equal(t, before+3, y.checkpoint().Size)
}

func statuses(results []client.LineResult) []int {
	var out []int
	for i, r := range results {
		if r.Line != i+1 {
			return nil
		}
		out = append(out, r.Status)
	}
	return out
}

func testTenants(t *testing.T, y *tenancy) {
	t.Run("unknown", func(t *testing.T) {
		before := y.checkpoint()
		for _, tenant := range []string{"nowhere", "0190b5f4-7b1c-8e3d-9a2b-123456789abc", "%00", "..%2f..%2fetc"} {
			status, p := y.post(t, "/v1/tenants/"+tenant+"/spans", "application/json", y.note(1))
			require.Equal(t, http.StatusNotFound, status, tenant)
			if !strings.HasPrefix(tenant, "%") && !strings.HasPrefix(tenant, ".") { // those are no names at all
				require.Equal(t, "tenant_unknown", p.Code, tenant)
			}
		}
		require.Equal(t, before, y.checkpoint())
	})
	t.Run("signed for another", func(t *testing.T) {
		raw := y.seal(y.owner.Signer(), y.owner.ID(), []byte(`{}`), func(h *span.Header) {
			h.Tenant = "0190b5f4-7b1c-8e3d-9a2b-123456789abc"
		})
		before := y.checkpoint()
		status, p := y.post(t, "/v1/tenants/"+y.tenant.Id+"/spans", "application/json", raw)
		require.Equal(t, "tenant_mismatch", p.Code)
		require.Equal(t, http.StatusBadRequest, status)
		status, p = y.post(t, "/v1/tenants/acme/spans", "application/json", raw)
		require.Equal(t, "tenant_unknown", p.Code, "who knows no more than the slug learns nothing")
		require.Equal(t, http.StatusNotFound, status)
		require.Equal(t, before, y.checkpoint())
	})
}

func testKeys(t *testing.T, y *tenancy) {
	ana, bob := y.member(span.RoleMember), y.member(span.RoleMember)
	payload := []byte(`{}`)
	refused := func(t *testing.T, code string, s id.Signer, author string) {
		t.Helper()
		y.requireRefusal(t, http.StatusForbidden, code, y.seal(s, author, payload))
	}
	accepted := func(t *testing.T, s id.Signer, author string) {
		t.Helper()
		_, err := y.api.Append(background(), "acme", y.seal(s, author, payload))
		require.NoError(t, err)
	}
	t.Run("nobody's", func(t *testing.T) { refused(t, "key_unknown", newKeys(t).Signer(), ana.ID()) })
	t.Run("another member's", func(t *testing.T) { refused(t, "key_unknown", bob.Signer(), ana.ID()) })
	t.Run("an identity nobody registered", func(t *testing.T) {
		keys := newKeys(t)
		refused(t, "author_unknown", keys.Signer(), keys.ID())
	})
	t.Run("registered and not embedded", func(t *testing.T) {
		keys := register(t, y.server, y.api)
		refused(t, "author_unknown", keys.Signer(), keys.ID())
	})
	t.Run("delegated and not sent yet", func(t *testing.T) {
		event, phone, err := ana.Delegate("phone", nil, "", time.Now(), rand.Reader)
		require.NoError(t, err)
		refused(t, "key_unknown", phone, ana.ID())
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		accepted(t, phone, ana.ID())
	})
	t.Run("delegated for other types", func(t *testing.T) {
		event, phone, err := ana.Delegate("till", []string{"sale.*"}, "", time.Now(), rand.Reader)
		require.NoError(t, err)
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		refused(t, "key_type_not_delegated", phone, ana.ID())
	})
	t.Run("expired", func(t *testing.T) {
		expires := time.Now().Add(300 * time.Millisecond)
		event, phone, err := ana.Delegate("guest", nil, span.FormatTime(expires), time.Now(), rand.Reader)
		require.NoError(t, err)
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		<-time.After(time.Until(expires) + time.Millisecond) // the server has its own clock; nothing to inject
		refused(t, "key_expired", phone, ana.ID())
	})
	t.Run("undelegated", func(t *testing.T) {
		event, phone, err := ana.Delegate("lost", nil, "", time.Now(), rand.Reader)
		require.NoError(t, err)
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		accepted(t, phone, ana.ID())
		if event, err = ana.Undelegate(phone.Public(), time.Now()); err != nil {
			t.Fatal(err)
		}
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		refused(t, "key_revoked", phone, ana.ID())
	})
	t.Run("rotated away", func(t *testing.T) {
		old := ana.Signer()
		event, err := ana.Rotate(time.Now(), rand.Reader)
		require.NoError(t, err)
		refused(t, "key_unknown", ana.Signer(), ana.ID()) // not embedded yet
		_, err = y.api.AppendEvent(background(), ana.ID(), event.Raw)
		require.NoError(t, err)
		refused(t, "key_rotated", old, ana.ID())
		accepted(t, ana.Signer(), ana.ID())
	})
	t.Run("revoked", func(t *testing.T) {
		last := bob.Signer()
		event, err := bob.Revoke("", time.Now())
		require.NoError(t, err)
		_, err = y.api.AppendEvent(background(), bob.ID(), event.Raw)
		require.NoError(t, err)
		refused(t, "key_revoked", last, bob.ID())
	})
	t.Run("member without the right to append", func(t *testing.T) {
		auditor := y.member(span.RoleAuditor)
		refused(t, "append_forbidden", auditor.Signer(), auditor.ID())
	})
}

func testIDs(t *testing.T, y *tenancy) {
	raw := y.note(1)
	first, err := y.api.Append(background(), "acme", raw)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, first.Status)
	t.Run("replayed", func(t *testing.T) {
		before := y.checkpoint()
		for range 3 {
			again, err := y.api.Append(background(), "acme", raw)
			require.NoError(t, err)
			require.True(t, again.Repeat())
			require.Equal(t, first.Receipt, again.Receipt)
		}
		require.Equal(t, before, y.checkpoint())
	})
	t.Run("conflicting", func(t *testing.T) {
		other := y.seal(y.owner.Signer(), y.owner.ID(), []byte(`{"n":2}`), func(h *span.Header) { h.ID = spanID(raw) })
		p := y.requireRefusal(t, http.StatusConflict, "id_conflict", other)
		existing, ok := p.Meta["existing"].(map[string]any)
		require.True(t, ok, "%v", p.Meta)
		require.Equal(t, y.owner.ID(), existing["author"])
		require.Equal(t, json.Number(fmt.Sprint(first.Receipt.Inclusion.Index)), existing["seq"])
	})
	t.Run("expected size", func(t *testing.T) {
		size := y.checkpoint().Size
		_, err := y.api.Append(background(), "acme", y.note(2), client.ExpectSize(size+1))
		require.Equal(t, "expected_seq", client.CodeOf(err))
		_, err = y.api.Append(background(), "acme", y.note(2), client.ExpectSize(size))
		require.NoError(t, err)
	})
	t.Run("too old and too new", func(t *testing.T) {
		for _, offset := range []time.Duration{-8 * 24 * time.Hour, 6 * time.Minute} {
			y.requireRefusal(t, http.StatusBadRequest, "span_time_window", y.seal(y.owner.Signer(), y.owner.ID(), []byte(`{}`),
				func(h *span.Header) { h.Time = span.FormatTime(time.Now().Add(offset)) }))
		}
	})
	t.Run("simulated leaves nothing", func(t *testing.T) {
		before := y.checkpoint()
		a, err := y.api.Append(background(), "acme", y.seal(y.owner.Signer(), y.owner.ID(), []byte(`{}`),
			func(h *span.Header) { h.Status = span.StatusSimulated }))
		require.NoError(t, err)
		require.Nil(t, a.Receipt)
		require.Equal(t, before, y.checkpoint())
	})
}

func testReserved(t *testing.T, y *tenancy) {
	typed := func(typ string, payload []byte) []byte {
		return y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) {
			h.Type, h.Visibility = typ, span.VisibilityPublic
		})
	}
	t.Run("unknown", func(t *testing.T) {
		y.requireRefusal(t, http.StatusBadRequest, "reserved_type_unknown", typed("logline.whatever", []byte(`{}`)))
	})
	t.Run("the node's", func(t *testing.T) {
		y.requireRefusal(t, http.StatusForbidden, "reserved_author", typed("logline.task.started", []byte(`{}`)))
	})
	t.Run("contract", func(t *testing.T) {
		payload, err := span.Canonical(span.Contract{
			Name: "a.b", Version: "1.0.0", Source: "x", Hash: span.Sum([]byte("x")).String(), Action: span.ActionActivate,
		})
		require.NoError(t, err)
		y.requireRefusal(t, http.StatusBadRequest, "contract_invalid", typed(span.TypeContract, payload))
	})
}

func TestClientGoesAwayWhileSending(t *testing.T) {
	t.Parallel()
	y := onboard(t, start(t, t.TempDir()))
	ctx, cancel := context.WithCancel(background())
	n := 0
	err := y.api.AppendStream(ctx, "acme", func(yield func([]byte) bool) {
		for yield(y.note(0)) {
		}
	}, func(r client.LineResult) error {
		if n++; n == 600 {
			cancel()
		}
		return nil
	})
	require.Error(t, err)
	_, err = y.api.Append(background(), "acme", y.note(0))
	require.NoError(t, err, "the server goes on")
	y.export()
	require.Zero(t, y.terminate())
}

// requireRefusal posts a span that must be refused with a status and code, and
// checks that the timeline is as it was.
func (y *tenancy) requireRefusal(t *testing.T, status int, code string, raw []byte) client.Problem {
	t.Helper()
	before := y.checkpoint()
	got, p := y.post(t, "/v1/tenants/"+y.tenant.Id+"/spans", "application/json", raw)
	require.Equal(t, code, p.Code, "%d %s", got, p.Detail)
	require.Equal(t, status, got)
	require.Equal(t, before, y.checkpoint(), "the timeline changed")
	return p
}

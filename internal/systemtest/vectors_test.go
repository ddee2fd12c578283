package systemtest

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	src, err := os.ReadFile("../../testdata/vectors/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(src, into))
}

// Every refusal of the vectors, over HTTP: its own code, and nothing changes.

func testSpanVectors(t *testing.T, y *tenancy) {
	var v struct {
		Refuse []struct {
			Why  string          `json:"why"`
			Span json.RawMessage `json:"span"`
		} `json:"refuse_alone"`
	}
	vectors(t, "spans.json", &v)
	codes := map[string]string{
		"title altered after signing": "tenant_unknown", // see below
		"payload altered":             "payload_hash_mismatch",
		"salt altered":                "payload_hash_mismatch",
		"salt of 15 bytes":            "span_salt_invalid",
		"unknown member":              "member_unknown",
		"type in capitals":            "span_type_invalid",
		"empty tags":                  "member_empty",
		"unknown status":              "span_status_invalid",
		"id is not a UUIDv7":          "span_id_invalid",
		"upper-case id":               "span_id_invalid",
		"time with offset":            "span_time_invalid",
		"payload is a list":           "member_type",
	}
	require.Len(t, codes, len(v.Refuse), "a code for each vector")
	for _, c := range v.Refuse {
		t.Run(c.Why, func(t *testing.T) {
			status := http.StatusBadRequest
			if codes[c.Why] == "tenant_unknown" {
				status = http.StatusNotFound
			}
			y.requireRefusal(t, status, codes[c.Why], c.Span)
		})
	}
	// Only that vector's form is right: it goes as far as its tenant, which is not
	// this one. The same fault in a span of this tenant reaches its own refusal.
	t.Run("title altered after signing, here", func(t *testing.T) {
		sp, err := span.Parse(y.note(1), span.Limits{})
		require.NoError(t, err)
		sp.Title = "altered"
		y.requireRefusal(t, http.StatusBadRequest, "signature_invalid", sp.Canonical())
	})
}

func testCanonicalVectors(t *testing.T, y *tenancy) {
	var v struct {
		Refuse []struct {
			Why   string  `json:"why"`
			Input string  `json:"input"`
			B64   *string `json:"input_b64u"`
		} `json:"refuse"`
	}
	vectors(t, "canonical-json.json", &v)
	codes := map[string]string{
		"duplicate member":           "json_duplicate_member",
		"nested duplicate member":    "json_duplicate_member",
		"magnitude beyond 2^53-1":    "json_number_range",
		"the same, nested":           "json_number_range",
		"the same, with an exponent": "json_number_range",
		"number overflows a double":  "json_number_range",
		"lone surrogate":             "json_lone_surrogate",
		"trailing data":              "json_syntax", // inside a span it is a missing comma
		"not an object":              "member_type",
		"NaN":                        "json_syntax",
		"leading zero":               "json_syntax",
		"comment":                    "json_syntax",
		"raw control character":      "json_syntax",
		"U+0000 in a string":         "json_nul",
		"invalid UTF-8":              "json_invalid_utf8",
	}
	require.Len(t, codes, len(v.Refuse), "a code for each vector")
	for _, c := range v.Refuse {
		t.Run(c.Why, func(t *testing.T) {
			payload := []byte(c.Input)
			if c.B64 != nil {
				var err error
				payload, err = span.ParseB64(*c.B64, -1)
				require.NoError(t, err)
			}
			y.requireRefusal(t, http.StatusBadRequest, codes[c.Why], withPayload(y.note(1), payload))
		})
	}
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

func testKeyEventVectors(t *testing.T, y *tenancy) {
	var v struct {
		Accept []struct {
			Events        []json.RawMessage `json:"events"`
			ClaimerEvents []json.RawMessage `json:"claimer_events"`
		} `json:"accept"`
		Refuse []struct {
			Why    string            `json:"why"`
			Events []json.RawMessage `json:"events"`
		} `json:"refuse"`
	}
	vectors(t, "key-events.json", &v)
	codes := map[string]string{
		"rotation to a key that was not pre-committed":         "rotation_not_committed",
		"rotation signed by the old key":                       "signer_wrong",
		"prev does not name the previous event":                "event_prev",
		"seq skips":                                            "event_seq",
		"delegation under an event that has been rotated away": "event_under",
		"the same key delegated again under the same event after its undelegation (a replay)": "delegation_ended",
		"delegation signed by a delegate":                          "signer_wrong",
		"undelegation of a key that is not delegated":              "delegation_unknown",
		"signature altered":                                        "signature_invalid",
		"signature with S not below L":                             "signature_invalid",
		"signature with padding":                                   "signature_malformed",
		"signed by a key that is not the event’s":                  "signer_wrong",
		"revocation by the primary although next is set":           "signer_wrong",
		"an event after the revocation":                            "identity_revoked",
		"an event after the claim":                                 "claimer_unknown",
		"claim without the claimer’s signature":                    "member_missing",
		"ghost without expires":                                    "ghost_expires",
		"person with expires":                                      "expires_not_ghost",
		"person without next":                                      "next_missing",
		"unknown member":                                           "member_unknown",
		"optional member null":                                     "member_null",
		"time without milliseconds":                                "member_malformed",
		"small-order key (checked before the signature): all zero": "key_small_order",
		"small-order key: the identity point":                      "key_small_order",
	}
	require.Len(t, codes, len(v.Refuse), "a code for each vector")
	for _, c := range v.Refuse {
		t.Run(c.Why, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"events": c.Events})
			require.NoError(t, err)
			status, p := y.post(t, "/v1/identities", "application/json", body)
			require.Equal(t, codes[c.Why], p.Code, p.Detail)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusConflict}, status)
			if first, err := id.ParseEvent(c.Events[0]); err == nil {
				_, err = y.api.KeyEvents(background(), first.IdentityID())
				require.Equal(t, "identity_unknown", client.CodeOf(err), "nothing was registered")
			}
		})
	}
	t.Run("what is accepted is registered", func(t *testing.T) {
		// The first of each identity: a later one is another future of the same.
		seen := map[string]bool{}
		for _, c := range v.Accept {
			first, err := id.ParseEvent(c.Events[0])
			require.NoError(t, err)
			if seen[first.IdentityID()] {
				continue
			}
			seen[first.IdentityID()] = true
			if len(c.ClaimerEvents) > 0 {
				_, _, err = y.api.Register(background(), client.Registration{Events: c.ClaimerEvents[:1]})
				require.Contains(t, []string{"", "identity_conflict"}, client.CodeOf(err))
			}
			_, _, err = y.api.Register(background(), client.Registration{Events: c.Events})
			require.NoError(t, err)
		}
	})
}

// requireRefusal posts a span that must be refused with a status and code, and
// checks that the timeline is as it was.
func (y *tenancy) requireRefusal(t *testing.T, status int, code string, raw []byte) client.Problem {
	t.Helper()
	before := y.checkpoint()
	got, p := y.post(t, "/v1/tenants/acme/spans", "application/json", raw)
	require.Equal(t, code, p.Code, "%d %s", got, p.Detail)
	require.Equal(t, status, got)
	require.Equal(t, before, y.checkpoint(), "the timeline changed")
	return p
}

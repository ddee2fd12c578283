package systemtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// What the rules say in process: the fault code, "" for what they take.

func reasonJSON(src []byte) string {
	_, err := span.Canonicalize(src)
	return codeOf(err)
}

// reasonAlone judges a span by itself: form, limits, hashes and signature.
func reasonAlone(raw []byte) string {
	sp, err := span.Parse(raw, span.Limits{})
	if err != nil {
		return codeOf(err)
	}
	public, err := span.ParseB64(sp.Signature.Key, 32)
	if err != nil {
		return codeOf(err)
	}
	value, err := span.ParseB64(sp.Signature.Value, 64)
	if err != nil {
		return codeOf(err)
	}
	if !id.StdVerifier().Verify(public, sp.Message(), value) {
		return "signature_invalid"
	}
	return ""
}

// reasonEvents folds events; the claimers of the vectors are known.
func reasonEvents[E ~[]byte](t *testing.T, v keyVectors, events []E) string {
	t.Helper()
	claimers := map[string]*id.Chain{}
	for _, c := range v.Accept {
		if len(c.ClaimerEvents) > 0 {
			chain, code := foldReason(c.ClaimerEvents, nil)
			require.Empty(t, code)
			claimers[chain.ID()] = chain
		}
	}
	if last := len(events) - 1; last > 0 {
		_, code := foldReason(events[:last], claimers)
		require.Empty(t, code, "only the last event is at fault")
	}
	_, code := foldReason(events, claimers)
	return code
}

func foldReason[E ~[]byte](events []E, claimers map[string]*id.Chain) (*id.Chain, string) {
	var chain *id.Chain
	for _, raw := range events {
		e, err := id.ParseEvent(raw)
		if err != nil {
			return nil, codeOf(err)
		}
		if chain == nil {
			chain, err = id.Begin(e, id.StdVerifier())
		} else {
			_, err = chain.Apply(e, id.StdVerifier(), claimers[e.By])
		}
		if err != nil {
			return nil, codeOf(err)
		}
	}
	return chain, ""
}

// reasonAtEnd judges a span where the vectors' timeline ends.
func reasonAtEnd(t *testing.T, v spanVectors, raw []byte) string {
	t.Helper()
	var entries []struct{ Line string }
	vectors(t, "entries.json", &entries)
	require.Len(t, entries, len(v.Spans))
	refs := map[string]standing.Ref{}
	look := func(spanID string) (standing.Ref, bool) { r, ok := refs[spanID]; return r, ok }
	tx := standing.New(id.StdVerifier()).Begin()
	var at standing.Position
	for i, l := range entries {
		e, err := span.ParseLine([]byte(l.Line))
		require.NoError(t, err)
		sp, err := span.Parse(v.Spans[i].Span, span.Limits{})
		require.NoError(t, err)
		_, err = tx.Apply(e, sp.Payload, look)
		require.NoError(t, err)
		refs[e.Span.ID] = standing.Ref{ID: e.Span.ID, Seq: e.Seq, Author: e.Span.Author, Type: e.Span.Type,
			Visibility: e.Span.Visibility, Status: e.Span.Status, HeaderHash: e.Span.Hash()}
		at = standing.Position{Seq: e.Seq + 1, RecordedAt: e.RecordedAt}
	}
	if code := reasonAlone(raw); code != "" {
		return code
	}
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(t, err)
	return codeOf(tx.Check(&sp.Header, sp.Payload, at, look))
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.CodeOf(err)
}

// TestReasonsByName is no vector test: it names the refusals that the vectors
// hold today and the reason each must have. Vectors added later are tested
// without a name by the vector tests; give them one here as well.
func TestReasonsByName(t *testing.T) {
	t.Parallel()
	var s spanVectors
	vectors(t, "spans.json", &s)
	var k keyVectors
	vectors(t, "key-events.json", &k)
	var j jsonVectors
	vectors(t, "canonical-json.json", &j)

	got := map[string]map[string]string{"canonical-json.json": {}, "spans.json alone": {}, "spans.json at the end": {}, "key-events.json": {}}
	for _, c := range j.Refuse {
		got["canonical-json.json"][c.Why] = reasonJSON(c.bytes(t))
	}
	for _, c := range s.RefuseAlone {
		got["spans.json alone"][c.Why] = reasonAlone(c.Span)
	}
	for _, c := range s.RefuseAtEnd {
		got["spans.json at the end"][c.Why] = reasonAtEnd(t, s, c.Span)
	}
	for _, c := range k.Refuse {
		got["key-events.json"][c.Why] = reasonEvents(t, k, c.Events)
	}
	for file, names := range reasons {
		for why, code := range names {
			t.Run(file+": "+why, func(t *testing.T) {
				require.Contains(t, got[file], why, "the file holds no such refusal any more; take its name out of the table")
				require.Equal(t, code, got[file][why])
			})
		}
	}
}

var reasons = map[string]map[string]string{
	"canonical-json.json": {
		"duplicate member":           "json_duplicate_member",
		"nested duplicate member":    "json_duplicate_member",
		"magnitude beyond 2^53-1":    "json_number_range",
		"the same, nested":           "json_number_range",
		"the same, with an exponent": "json_number_range",
		"number overflows a double":  "json_number_range",
		"lone surrogate":             "json_lone_surrogate",
		"trailing data":              "json_trailing_data",
		"not an object":              "json_not_object",
		"NaN":                        "json_syntax",
		"leading zero":               "json_syntax",
		"comment":                    "json_syntax",
		"raw control character":      "json_syntax",
		"U+0000 in a string":         "json_nul",
		"invalid UTF-8":              "json_invalid_utf8",
	},
	"spans.json alone": {
		"title altered after signing": "signature_invalid",
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
	},
	"spans.json at the end": {
		"old key after the rotation":            "key_rotated",
		"delegated key after the rotation":      "key_rotated",
		"key of another identity":               "key_unknown",
		"author never embedded":                 "author_unknown",
		"reserved type of the node by a member": "reserved_author",
		"another tenant":                        "tenant_mismatch",
	},
	"key-events.json": {
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
		"an event after the claim":                                 "identity_claimed",
		"claim without the claimer’s signature":                    "member_missing",
		"ghost without expires":                                    "ghost_expires",
		"person with expires":                                      "expires_not_ghost",
		"person without next":                                      "next_missing",
		"unknown member":                                           "member_unknown",
		"optional member null":                                     "member_null",
		"time without milliseconds":                                "member_malformed",
		"small-order key (checked before the signature): all zero": "key_small_order",
		"small-order key: the identity point":                      "key_small_order",
	},
}

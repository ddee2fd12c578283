package span_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func TestReservedTypes(t *testing.T) {
	t.Parallel()
	folded := []string{"genesis", "identity", "member", "contract", "approval", "resolution", "decision", "revert", "redaction", "handover", "epoch"}
	free := []string{"evidence", "task.offer", "task.result.late", "peer.verified"}
	nodeOnly := []string{"genesis", "identity", "resolution", "decision", "handover", "epoch", "evidence", "task.offer", "task.result.late", "peer.verified"}
	for _, name := range append(folded, free...) {
		typ := "logline." + name
		assert.True(t, span.IsReserved(typ), typ)
		assert.True(t, span.KnownReserved(typ), typ)
		assert.Equal(t, contains(free, name), span.Redactable(typ), typ)
		assert.Equal(t, contains(free, name), span.MayBePrivate(typ), typ)
		assert.Equal(t, contains(nodeOnly, name), span.NodeOnly(typ), typ)
		assert.Equal(t, name == "genesis" || name == "identity", span.MustBePublic(typ), typ)
	}
	for _, typ := range []string{"logline.api", "logline.log", "logline.witness", "logline.members", "logline.task", "logline.x.y"} {
		assert.True(t, span.IsReserved(typ), typ)
		assert.False(t, span.KnownReserved(typ), typ)
	}
	for _, typ := range []string{"logline", "loglines.x", "payment.requested"} {
		assert.False(t, span.IsReserved(typ), typ)
		assert.True(t, span.Redactable(typ) && span.MayBePrivate(typ) && !span.NodeOnly(typ) && !span.MustBePublic(typ), typ)
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestValidRole(t *testing.T) {
	t.Parallel()
	for role, ok := range map[string]bool{"owner": true, "finance": true, "a-b_c1": true, strings.Repeat("a", 64): true,
		"": false, "Owner": false, "1a": false, "a.b": false, "a b": false, strings.Repeat("a", 65): false} {
		assert.Equal(t, ok, span.ValidRole(role), role)
	}
}

// payloads are one good payload of each reserved type, all members present.
func payloads() map[string]object {
	source := "contract x {}"
	g := span.Genesis{Slug: "acme", Name: "Acme", Node: someIdentity, LogKey: logKey(), Owner: someIdentity, Nonce: someSalt}
	ref := func(more object) object {
		o := object{"span": someID, "header_hash": someHash}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	return map[string]object{
		"genesis":    {"slug": g.Slug, "name": g.Name, "node": g.Node, "log_key": g.LogKey, "owner": g.Owner, "nonce": g.Nonce, "tenant": g.TenantID()},
		"identity":   {"event": object{"v": 1, "kind": "inception"}},
		"member":     {"identity": someIdentity, "roles": []any{"owner", "finance"}, "action": "grant"},
		"contract":   {"name": "x", "version": "1.0.0", "hash": span.Sum([]byte(source)).String(), "source": source, "action": "activate"},
		"approval":   ref(object{"vote": "approve", "reason": "ok"}),
		"resolution": ref(object{"outcome": "expired"}),
		"decision":   ref(object{"type": "a.b", "author": someIdentity, "contract": "x@1.0.0#" + someHash, "rule": "x/r"}),
		"revert":     ref(object{"reason": "mistake"}),
		"redaction":  {"spans": []any{ref(nil)}, "reason": "asked"},
		"handover":   {"to": someIdentity},
		"tenant":     {"action": "suspend", "reason": "unpaid"},
		"epoch":      {"prev_origin": "logline/v1/t/n/0", "prev_size": 5, "prev_root": someHash, "log_key": logKey(), "authorisation": object{"a": 1}},
	}
}

func logKey() string { return span.B64(append([]byte{1}, make([]byte, 32)...)) }

// parsePayload calls the parser of a reserved type.
func parsePayload(name string, payload []byte) (any, error) {
	switch name {
	case "genesis":
		return span.ParseGenesis(payload)
	case "identity":
		return span.ParseIdentity(payload)
	case "member":
		return span.ParseMember(payload)
	case "contract":
		return span.ParseContract(payload)
	case "approval":
		return span.ParseApproval(payload)
	case "resolution":
		return span.ParseResolution(payload)
	case "decision":
		return span.ParseRefusal(payload)
	case "revert":
		return span.ParseRevert(payload)
	case "redaction":
		return span.ParseRedaction(payload)
	case "tenant":
		return span.ParseTenant(payload)
	case "handover":
		return span.ParseHandover(payload)
	}
	return span.ParseEpoch(payload)
}

func TestPayloadsAreStrict(t *testing.T) {
	t.Parallel()
	optional := map[string]bool{"approval/reason": true, "tenant/reason": true, "epoch/authorisation": true}
	for _, action := range []string{"activate", "shadow", "retire"} {
		_, err := span.ParseContract(encode(t, with(payloads()["contract"], "action", action)))
		require.NoError(t, err, action)
		_, err = span.ParseContract(encode(t, without(with(payloads()["contract"], "action", action), "source")))
		require.Equal(t, action == "retire", err == nil, "%s without its source", action)
	}
	for name := range payloads() {
		_, err := parsePayload(name, encode(t, payloads()[name]))
		require.NoError(t, err, name)
		_, err = parsePayload(name, encode(t, with(payloads()[name], "extra", 1)))
		requireFault(t, err, "member_unknown", "/extra")
		_, err = parsePayload(name, []byte("[]"))
		requireFault(t, err, "json_not_object", "")
		for member := range payloads()[name] {
			_, err = parsePayload(name, encode(t, without(payloads()[name], member)))
			if optional[name+"/"+member] {
				require.NoError(t, err, name+member)
			} else {
				requireFault(t, err, "member_missing", "/"+member)
			}
			_, err = parsePayload(name, encode(t, with(payloads()[name], member, true)))
			require.Error(t, err, name+"/"+member)
		}
	}
}

func TestPayloadsRefusedForTheirOwnReason(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	for _, c := range []struct {
		name, member  string
		value         any
		code, pointer string
	}{
		{"genesis", "slug", someID, "genesis_slug_invalid", "/slug"},
		{"genesis", "name", "", "member_empty", "/name"},
		{"genesis", "node", "@node", "genesis_node_invalid", "/node"},
		{"genesis", "log_key", someKey, "genesis_log_key_invalid", "/log_key"},
		{"genesis", "log_key", span.B64(make([]byte, 33)), "genesis_log_key_invalid", "/log_key"},
		{"genesis", "nonce", "A=", "genesis_nonce_invalid", "/nonce"},
		{"genesis", "tenant", someTenant, "genesis_tenant_mismatch", "/tenant"},
		{"genesis", "name", "Other", "genesis_tenant_mismatch", "/tenant"},
		{"identity", "event", object{"a": []any{object{"b": 1e20}}}, "json_number_range", "/event/a/0/b"},
		{"identity", "event", nil, "member_type", "/event"},
		{"member", "identity", "x", "member_identity_invalid", "/identity"},
		{"member", "roles", []any{}, "member_empty", "/roles"},
		{"member", "roles", []any{"owner", "Admin"}, "member_roles_invalid", "/roles/1"},
		{"member", "roles", []any{"owner", "owner"}, "member_roles_invalid", "/roles/1"},
		{"member", "action", "add", "member_action_invalid", "/action"},
		{"contract", "hash", someHash, "contract_hash_mismatch", "/hash"},
		{"contract", "source", "", "member_empty", "/source"},
		{"contract", "name", "a@b", "contract_name_invalid", "/name"},
		{"contract", "action", "delete", "contract_action_invalid", "/action"},
		{"approval", "span", someTenant, "approval_span_invalid", "/span"},
		{"approval", "vote", "maybe", "approval_vote_invalid", "/vote"},
		{"approval", "reason", long, "approval_reason_invalid", "/reason"},
		{"approval", "reason", "", "member_empty", "/reason"},
		{"resolution", "outcome", "done", "resolution_outcome_invalid", "/outcome"},
		{"resolution", "header_hash", "x", "resolution_header_hash_invalid", "/header_hash"},
		{"decision", "author", "x", "refusal_author_invalid", "/author"},
		{"decision", "type", "A", "refusal_type_invalid", "/type"},
		{"revert", "reason", long, "revert_reason_invalid", "/reason"},
		{"redaction", "spans", []any{}, "member_empty", "/spans"},
		{"redaction", "spans", []any{"x"}, "member_type", "/spans/0"},
		{"redaction", "spans", []any{object{"span": someID}}, "member_missing", "/spans/0/header_hash"},
		{"redaction", "spans", []any{object{"span": "x", "header_hash": someHash}}, "ref_span_invalid", "/spans/0/span"},
		{"redaction", "spans", []any{object{"span": someID, "header_hash": someHash}, object{"span": someID, "header_hash": someHash}}, "redaction_spans_invalid", "/spans/1"},
		{"redaction", "reason", "a\nb", "redaction_reason_invalid", "/reason"},
		{"handover", "to", "node", "handover_to_invalid", "/to"},
		{"epoch", "prev_size", -1, "epoch_prev_size_invalid", "/prev_size"},
		{"epoch", "prev_root", "x", "epoch_prev_root_invalid", "/prev_root"},
		{"epoch", "authorisation", object{}, "member_empty", "/authorisation"},
	} {
		_, err := parsePayload(c.name, encode(t, with(payloads()[c.name], c.member, c.value)))
		t.Run(c.name+" "+c.member, func(t *testing.T) { requireFault(t, err, c.code, c.pointer) })
	}
}

func TestValidSlug(t *testing.T) {
	t.Parallel()
	for slug, ok := range map[string]bool{"acme": true, "a": true, "a-1": true, "0x": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, someTenant: false, strings.Repeat("a", 64): false} {
		assert.Equal(t, ok, span.ValidSlug(slug), slug)
	}
}

func TestParsedPayloads(t *testing.T) {
	t.Parallel()
	c, err := span.ParseContract(encode(t, without(with(payloads()["contract"], "action", "retire"), "source")))
	require.NoError(t, err)
	assert.Equal(t, "retire", c.Action)

	e, err := span.ParseEpoch(encode(t, payloads()["epoch"]))
	require.NoError(t, err)
	assert.Equal(t, &span.Epoch{PrevOrigin: "logline/v1/t/n/0", PrevSize: 5, PrevRoot: someHash, LogKey: logKey(), Authorisation: []byte(`{"a":1}`)}, e)

	r, err := span.ParseRedaction(encode(t, payloads()["redaction"]))
	require.NoError(t, err)
	assert.Equal(t, &span.Redaction{Spans: []span.SpanRef{{Span: someID, HeaderHash: someHash}}, Reason: "asked"}, r)

	g, err := span.ParseGenesis(encode(t, payloads()["genesis"]))
	require.NoError(t, err)
	want, err := span.Canonical(payloads()["genesis"])
	require.NoError(t, err)
	assert.Equal(t, string(want), string(g.Canonical()))
	tagged, err := span.Canonical(g)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(tagged))
}

func FuzzPayloads(f *testing.F) {
	var v spanVectors
	load(f, "spans.json", &v)
	for _, c := range v.Spans {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(f, err)
		f.Add(strings.TrimPrefix(sp.Type, "logline."), sp.Payload)
	}
	for name, p := range payloads() {
		f.Add(name, encode(f, p))
	}
	f.Fuzz(func(t *testing.T, name string, payload []byte) {
		got, err := parsePayload(name, payload)
		if err != nil {
			return
		}
		canonical, err := span.Canonicalize(payload)
		require.NoError(t, err, "a payload is I-JSON")
		again, err := parsePayload(name, canonical)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

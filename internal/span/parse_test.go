package span_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

type object = map[string]any

const (
	someID       = "019b76da-f620-71ce-ac03-11d4302b0721"
	someTenant   = "d34e1747-5b14-88b1-a45b-f748568d1192"
	someIdentity = "logline-id://5hjpakgtwztk3a74oqwg2r6x3wa3ddxuf2lkpnq52s2gh3tqwtwa"
	someTime     = "2026-01-01T00:00:20.000Z"
)

var (
	someHash = span.Sum([]byte("x")).String()
	someSalt = span.B64([]byte("0123456789abcdef"))
	someKey  = span.B64(make([]byte, 32))
	someSig  = span.B64(make([]byte, 64))
)

// sample is a span with every member there is.
func sample() object {
	payload := object{"amount": 1, "items": []any{"a", nil, 2.5}}
	canonical, err := span.Canonical(payload)
	if err != nil {
		panic(err)
	}
	salt, _ := span.ParseB64(someSalt, 16)
	return object{
		"v": 1, "id": someID, "tenant": someTenant, "author": someIdentity, "type": "payment.requested",
		"title": "Ação \"x\"\n", "subject": "order/1", "tags": []any{"urgent", "eu"}, "time": someTime,
		"occurred_at": "2025-12-31T23:59:59.999Z", "on_behalf_of": someIdentity, "status": "executed",
		"visibility": "organization", "causes": []any{someID}, "payload": payload, "salt": someSalt,
		"payload_hash": span.PayloadHash(salt, canonical).String(),
		"signature":    object{"key": someKey, "value": someSig},
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}

func without(o object, name string) object {
	delete(o, name)
	return o
}

func with(o object, name string, value any) object {
	o[name] = value
	return o
}

func TestParseRefusesForItsOwnReason(t *testing.T) {
	t.Parallel()
	many := func(n int, s string) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = s
		}
		return list
	}
	optional := map[string]any{"title": "", "subject": "", "occurred_at": "", "on_behalf_of": "", "tags": []any{}, "causes": []any{}}
	for name, empty := range optional {
		_, err := span.Parse(encode(t, with(sample(), name, empty)), span.Limits{})
		requireFault(t, err, "member_empty", "/"+name)
		_, err = span.Parse(encode(t, with(sample(), name, nil)), span.Limits{})
		requireFault(t, err, "member_empty", "/"+name)
		_, err = span.Parse(encode(t, with(sample(), name, 1)), span.Limits{})
		requireFault(t, err, "member_type", "/"+name)
		_, err = span.Parse(encode(t, without(sample(), name)), span.Limits{})
		require.NoError(t, err, name)
	}
	for name := range sample() {
		if _, ok := optional[name]; !ok {
			_, err := span.Parse(encode(t, without(sample(), name)), span.Limits{})
			requireFault(t, err, "member_missing", "/"+name)
		}
	}
	for _, c := range []struct {
		why, member   string
		value         any
		code, pointer string
	}{
		{"payload altered", "payload", object{"amount": 2}, "payload_hash_mismatch", "/payload_hash"},
		{"salt altered", "salt", span.B64([]byte("0123456789abcdeX")), "payload_hash_mismatch", "/payload_hash"},
		{"payload hash altered", "payload_hash", someHash, "payload_hash_mismatch", "/payload_hash"},
		{"salt of 15 bytes", "salt", span.B64([]byte("0123456789abcde")), "span_salt_invalid", "/salt"},
		{"salt with spare bits", "salt", someSalt[:21] + "h", "span_salt_invalid", "/salt"},
		{"unknown member", "extra", 1, "member_unknown", "/extra"},
		{"withheld", "withheld", "private", "member_unknown", "/withheld"},
		{"type in capitals", "type", "Payment.Requested", "span_type_invalid", "/type"},
		{"type with an empty segment", "type", "a..b", "span_type_invalid", "/type"},
		{"type too long", "type", strings.Repeat("a", 129), "span_type_invalid", "/type"},
		{"empty type", "type", "", "member_empty", "/type"},
		{"empty tag", "tags", []any{"a", ""}, "member_empty", "/tags/1"},
		{"tag too long", "tags", []any{strings.Repeat("é", 129)}, "span_tags_invalid", "/tags/0"},
		{"33 tags", "tags", many(33, "a"), "list_too_long", "/tags"},
		{"65 causes", "causes", many(65, someID), "list_too_long", "/causes"},
		{"cause is no span id", "causes", []any{"x"}, "span_causes_invalid", "/causes/0"},
		{"tags is a text", "tags", "a", "member_type", "/tags"},
		{"title of 257 code points", "title", strings.Repeat("é", 257), "span_title_invalid", "/title"},
		{"subject of 257 bytes", "subject", strings.Repeat("é", 128) + "x", "span_subject_invalid", "/subject"},
		{"unknown status", "status", "done", "span_status_invalid", "/status"},
		{"unknown visibility", "visibility", "secret", "span_visibility_invalid", "/visibility"},
		{"id is not a UUIDv7", "id", "11111111-1111-4111-8111-111111111111", "span_id_invalid", "/id"},
		{"id of another variant", "id", "019b76da-f620-71ce-cc03-11d4302b0721", "span_id_invalid", "/id"},
		{"upper-case id", "id", strings.ToUpper(someID), "span_id_invalid", "/id"},
		{"tenant is a slug", "tenant", "acme", "span_tenant_invalid", "/tenant"},
		{"author without scheme", "author", strings.TrimPrefix(someIdentity, span.IdentityScheme), "span_author_invalid", "/author"},
		{"author with spare bits", "author", someIdentity[:len(someIdentity)-1] + "b", "span_author_invalid", "/author"},
		{"on_behalf_of is a handle", "on_behalf_of", "@ana", "span_on_behalf_of_invalid", "/on_behalf_of"},
		{"time with offset", "time", "2026-01-01T00:00:00.000+00:00", "span_time_invalid", "/time"},
		{"time without milliseconds", "time", "2026-01-01T00:00:00Z", "span_time_invalid", "/time"},
		{"30 February", "occurred_at", "2026-02-30T00:00:00.000Z", "span_occurred_at_invalid", "/occurred_at"},
		{"payload is a list", "payload", []any{1}, "member_type", "/payload"},
		{"payload is null", "payload", nil, "member_type", "/payload"},
		{"payload with a big number", "payload", object{"a": []any{object{"n": 1e21}}}, "json_number_range", "/payload/a/0/n"},
		{"v is 2", "v", 2, "span_v_invalid", "/v"},
		{"v is a text", "v", "1", "span_v_invalid", "/v"},
		{"no signature value", "signature", object{"key": someKey}, "member_missing", "/signature/value"},
		{"short key", "signature", object{"key": "AA", "value": someSig}, "signature_key_invalid", "/signature/key"},
		{"key with spare bits", "signature", object{"key": someKey[:42] + "B", "value": someSig}, "signature_key_invalid", "/signature/key"},
		{"signature with spare bits", "signature", object{"key": someKey, "value": someSig[:85] + "B"}, "signature_value_invalid", "/signature/value"},
		{"padded signature", "signature", object{"key": someKey, "value": someSig + "=="}, "signature_value_invalid", "/signature/value"},
		{"signature with more", "signature", object{"key": someKey, "value": someSig, "alg": "x"}, "member_unknown", "/signature/alg"},
		{"signature is a text", "signature", someSig, "member_type", "/signature"},
	} {
		_, err := span.Parse(encode(t, with(sample(), c.member, c.value)), span.Limits{})
		t.Run(c.why, func(t *testing.T) { requireFault(t, err, c.code, c.pointer) })
	}
}

func TestParseRefusesSources(t *testing.T) {
	t.Parallel()
	whole := string(encode(t, sample()))
	for _, c := range []struct{ why, src, code, pointer string }{
		{"duplicate", `{"status":"executed",` + whole[1:], "json_duplicate_member", "/status"},
		{"duplicate by escape", `{"\u0073tatus":"executed",` + whole[1:], "json_duplicate_member", "/status"},
		{"trailing data", whole + "{}", "json_trailing_data", ""},
		{"two values", whole + " 1", "json_trailing_data", ""},
		{"a list", "[" + whole + "]", "json_not_object", ""},
		{"cut short", whole[:len(whole)-1], "json_syntax", "-"},
		{"null byte in title", strings.Replace(whole, "order/1", `order\u0000`, 1), "json_nul", "/subject"},
		{"depth", strings.Replace(whole, `"amount":1`, `"amount":`+nested(63), 1), "json_too_deep", "-"},
		{"empty", "", "json_syntax", ""},
		{"empty object", "{}", "member_missing", "-"},
	} {
		_, err := span.Parse([]byte(c.src), span.Limits{})
		t.Run(c.why, func(t *testing.T) { requireFault(t, err, c.code, c.pointer) })
	}
	deepest := strings.Replace(whole, `"amount":1`, `"amount":`+nested(62), 1)
	_, err := span.Parse([]byte(deepest), span.Limits{})
	requireFault(t, err, "payload_hash_mismatch", "/payload_hash") // 64 levels are allowed
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	src := encode(t, sample())
	sp, err := span.Parse(src, span.Limits{})
	require.NoError(t, err)
	header, payload := len(sp.AppendCanonical(nil)), len(sp.Payload)

	_, err = span.Parse(src, span.Limits{Header: header, Payload: payload})
	require.NoError(t, err)
	_, err = span.Parse(src, span.Limits{Header: header - 1, Payload: payload})
	requireFault(t, err, "header_too_large", "")
	_, err = span.Parse(src, span.Limits{Header: header, Payload: payload - 1})
	requireFault(t, err, "payload_too_large", "/payload")
	_, err = span.Parse(src, span.Limits{Header: 10, Payload: 10})
	requireFault(t, err, "span_too_large", "")

	sealed := sp.AppendCanonical(nil)
	_, err = span.ParseHeader(sealed, span.Limits{Header: header})
	require.NoError(t, err)
	_, err = span.ParseHeader(sealed, span.Limits{Header: header - 1})
	requireFault(t, err, "header_too_large", "")
	_, err = span.ParseHeader(sealed, span.Limits{Header: 10})
	requireFault(t, err, "header_too_large", "")
	_, err = span.ParseHeader(src, span.Limits{})
	requireFault(t, err, "member_unknown", "-")

	// White space does not count, what is signed does.
	_, err = span.Parse([]byte(strings.Replace(string(src), ",", ",  ", -1)), span.Limits{Header: header, Payload: payload})
	require.NoError(t, err)
}

func TestParseGivesWhatWasSent(t *testing.T) {
	t.Parallel()
	src := encode(t, sample())
	sp, err := span.Parse(src, span.Limits{})
	require.NoError(t, err)
	want, err := span.Canonicalize(src)
	require.NoError(t, err)
	clear(src)
	assert.Equal(t, string(want), string(sp.Canonical()))
	assert.Equal(t, `{"amount":1,"items":["a",null,2.5]}`, string(sp.Payload))
	assert.Equal(t, "Ação \"x\"\n", sp.Title)
	assert.Equal(t, []string{"urgent", "eu"}, sp.Tags)

	h := sample()
	delete(h, "payload")
	delete(h, "salt")
	header, err := span.Canonical(h)
	require.NoError(t, err)
	assert.Equal(t, string(header), string(sp.AppendCanonical(nil)))
	assert.Equal(t, span.Sum(header), sp.Hash())
	delete(h, "signature")
	unsigned, err := span.Canonical(h)
	require.NoError(t, err)
	assert.Equal(t, "logline.span.v1\n"+string(unsigned), string(sp.Message()))

	withheld := span.Span{Header: sp.Header}
	assert.Equal(t, string(header), string(withheld.Canonical()))
}

// Spans are read in the same room, one after the other, and keep nothing of it.
func TestSpansDoNotShareRoom(t *testing.T) {
	t.Parallel()
	first, err := span.Parse(encode(t, sample()), span.Limits{})
	require.NoError(t, err)
	want := string(first.Payload)
	for range 100 {
		other := sample()
		payload := []byte(`{"x":"` + strings.Repeat("y", 40) + `"}`)
		salt, err := span.ParseB64(someSalt, 16)
		require.NoError(t, err)
		other["payload"], other["payload_hash"] = json.RawMessage(payload), span.PayloadHash(salt, payload).String()
		_, err = span.Parse(encode(t, other), span.Limits{})
		require.NoError(t, err)
	}
	require.Equal(t, want, string(first.Payload))
}

// TestParseKeepsMeaning: any order of members, any white space, any payload.
func TestParseKeepsMeaning(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := sample()
		o["payload"] = anyObject(t, 4)
		if s := anyText(t); s != "" {
			o["title"] = s
		}
		canonical, err := span.Canonical(o["payload"])
		if err != nil {
			t.Fatal(err)
		}
		salt, _ := span.ParseB64(someSalt, 16)
		o["payload_hash"] = span.PayloadHash(salt, canonical).String()
		for _, name := range []string{"title", "subject", "tags", "causes", "occurred_at", "on_behalf_of"} {
			if rapid.Bool().Draw(t, "without "+name) {
				delete(o, name)
			}
		}
		var b strings.Builder
		names := make([]string, 0, len(o))
		for name := range o {
			names = append(names, name)
		}
		sep := "{"
		for _, name := range rapid.Permutation(names).Draw(t, "order") {
			v, err := json.MarshalIndent(o[name], "", " ")
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(sep + ` "` + name + `" : ` + string(v) + "\n")
			sep = ","
		}
		b.WriteString("}")
		sp, err := span.Parse([]byte(b.String()), span.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want, err := span.Canonicalize([]byte(b.String()))
		if err != nil || string(want) != string(sp.Canonical()) {
			t.Fatalf("got %q, want %q (%v)", sp.Canonical(), want, err)
		}
		again, err := span.Parse(sp.Canonical(), span.Limits{})
		if err != nil || again.Hash() != sp.Hash() {
			t.Fatalf("reading its own form again: %v", err)
		}
	})
}

func FuzzParse(f *testing.F) {
	var v spanVectors
	load(f, "spans.json", &v)
	for _, c := range v.Spans {
		f.Add([]byte(c.Span))
	}
	for _, c := range v.RefuseAlone {
		f.Add([]byte(c.Span))
	}
	f.Add(encode(f, sample()))
	f.Fuzz(func(t *testing.T, src []byte) {
		sp, err := span.Parse(src, span.Limits{})
		if err != nil {
			var fe *fault.Error
			require.ErrorAs(t, err, &fe)
			return
		}
		canonical := sp.Canonical()
		want, err := span.Canonicalize(src)
		require.NoError(t, err, "a span is I-JSON")
		require.Equal(t, string(want), string(canonical))
		again, err := span.Parse(canonical, span.Limits{})
		require.NoError(t, err)
		require.Equal(t, sp, again)
	})
}

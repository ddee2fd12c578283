package jsonl

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const small = "name: n\nid: .id\ntime: .t\n"

func TestMapsAreRefusedWithThePlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ src, pointer, detail string }{
		"empty":        {"", "", "the map is empty"},
		"not yaml":     {"a: [", "", "line 1"},
		"a list":       {"- a\n", "", "must be members"},
		"two":          {small + "type: '\"a\"'\n---\nname: x\n", "", "one"},
		"unknown":      {small + "types: .a\n", "/types", "line 4, column 1: is not a member of a map"},
		"twice":        {small + "id: .b\n", "/id", "line 4, column 1: stands twice"},
		"syntax":       {small + "type: .a | |\n", "/type", `line 4, column 7: unexpected token "|" at byte 6 of the expression`},
		"unfinished":   {small + "type: .a |\n", "/type", "line 4, column 7: unexpected EOF at byte 4 of the expression"},
		"function":     {small + "type: .a | nope\n", "/type", "function not defined: nope/0"},
		"variable":     {small + "type: $x\n", "/type", "variable not defined: $x"},
		"input":        {small + "type: input\n", "/type", "input(s)/0 is not allowed"},
		"inputs":       {small + "type: inputs\n", "/type", "input(s)/0 is not allowed"},
		"module":       {small + "type: 'import \"a\" as a; a::b'\n", "/type", "a"},
		"list value":   {small + "type: [a]\n", "/type", "line 4, column 7: must be text"},
		"alias":        {small + "type: &a .x\ntitle: *a\n", "/title", "must be text"},
		"no expr":      {small + "type:\n", "/type", "has no expression"},
		"no type":      {small, "/type", "is missing"},
		"no time":      {"name: n\nid: .a\ntype: .b\n", "/time", "is missing"},
		"no name":      {"id: .a\ntype: .b\ntime: .c\n", "/name", "is missing"},
		"name":         {"name: No Good\n", "/name", "line 1, column 7: must be lower-case"},
		"undated":      {"undated: maybe\n", "/undated", "must be true or false"},
		"about":        {"about: \"a\\nb\"\n", "/about", "must be one line"},
		"control text": {small + "\"ty\\e[31m\": .a\n", "/ty [31m", "is not a member"},
		"large":        {small + "# " + strings.Repeat("x", maxMap), "", "more than 65536 bytes"},
	} {
		_, err := ParseMap([]byte(c.src))
		require.Error(t, err, name)
		f := fault.From(err)
		require.Equal(t, "map_invalid", f.Code, name)
		said := f.Detail
		if c.pointer != "" {
			require.Len(t, f.Fields, 1, name)
			require.Equal(t, c.pointer, f.Fields[0].Pointer, name)
			said = f.Fields[0].Detail
		}
		require.Contains(t, said, c.detail, name)
	}
	m := parseMap(t, "name: n\nundated: true\nid: .a\ntype: .b\n")
	require.True(t, m.Undated)
}

func TestEveryReadyMapIsGoodAndSaysWhatItIs(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"cloudevents", "cloudtrail", "github", "kubernetes-audit", "okta"}, ReadyNames())
	for _, name := range ReadyNames() {
		m, err := LoadMap(name)
		require.NoError(t, err, name)
		require.Equal(t, name, m.Name)
		require.NotEmpty(t, m.About)
	}
	_, err := LoadMap("../secret")
	require.Equal(t, "map_unknown", fault.CodeOf(err))
}

// one maps a record and gives the only reject's reason, "" without one.
func one(t *testing.T, m *Map, record string) string {
	t.Helper()
	items, rejects := importLines(t, m, []byte(record))
	require.Equal(t, 1, len(items)+len(rejects))
	if len(rejects) == 0 {
		return ""
	}
	return rejects[0].Reason
}

func TestExpressionsGiveAnItem(t *testing.T) {
	t.Parallel()
	m := parseMap(t, `
name: n
id: .id
time: .t
type: .kind | totype
author: .who
author_name: .name
title: .what
subject: .about
tags: .tags
causes: .after
visibility: .vis
payload: "{only: .data}"
`)
	items, rejects := importLines(t, m, []byte(`{"id":7,"t":1700000000.25,"kind":"OrderPlaced.V2","who":"ana@example.org","name":"Ana",`+
		`"what":"An order","about":99,"tags":["b",null,"a","b",3],"after":"6","vis":"public","data":[1,2],"more":true}`))
	require.Empty(t, rejects)
	require.Len(t, items, 1)
	item := items[0]
	require.Equal(t, "7", item.SourceID)
	require.Equal(t, time.UnixMilli(1700000000250).UTC(), item.Time)
	require.Equal(t, "order_placed.v2", item.Type)
	require.Equal(t, "ana@example.org", item.Actor)
	require.Equal(t, "Ana", item.ActorName)
	require.Equal(t, "An order", item.Title)
	require.Equal(t, "99", item.Subject)
	require.Equal(t, []string{"3", "a", "b"}, item.Tags)
	require.Equal(t, []string{"6"}, item.Causes)
	require.Equal(t, "public", item.Visibility)
	require.JSONEq(t, `{"only":[1,2]}`, string(item.Body))
}

func TestRecordsAreRejectedWithTheExpression(t *testing.T) {
	t.Parallel()
	const rest = "name: n\nid: .id // \"x\"\ntime: .t // 0\ntype: .k // \"a\"\n"
	for name, c := range map[string]struct{ expr, record, reason string }{
		"no id":         {"", `{"id":""}`, "id: the record has no id"},
		"id object":     {"", `{"id":{}}`, "id: {} is not text"},
		"time":          {"", `{"t":"2026-01-01"}`, `time: "2026-01-01" is not a time`},
		"time bool":     {"", `{"t":true}`, "time: true is not a time"},
		"time too far":  {"", `{"t":1e15}`, "time: 1000000000000000 is not a time"},
		"type":          {"", `{"k":"Not A Type"}`, `type: "Not A Type" is not a type`},
		"reserved":      {"", `{"k":"logline.member"}`, `type: "logline.member" is a type that LogLine reserves`},
		"title":         {"title: .x", `{"x":"` + strings.Repeat("é", 257) + `"}`, "title: it has more than 256 characters"},
		"subject":       {"subject: .x", `{"x":"` + strings.Repeat("é", 129) + `"}`, "subject: it has 258 bytes, and 256 are allowed"},
		"tags":          {"tags: '[range(33)|tostring]'", `{}`, "tags: there are more than 32"},
		"tag":           {"tags: '[{}]'", `{}`, "tags: {} is not text"},
		"visibility":    {"visibility: .x", `{"x":"all"}`, `visibility: "all" must be private`},
		"two values":    {"subject: .x[]", `{"x":["a","b"]}`, "subject: the expression gives more than one value"},
		"its error":     {"subject: error(\"a\\u001bb\")", `{}`, `subject: error: a b`},
		"now":           {"subject: now", `{}`, "subject: error: now is not available"},
		"halt":          {"subject: halt", `{}`, "subject: error: halt is not available"},
		"payload":       {"payload: .x", `{"x":[1]}`, "payload: [1] is not an object"},
		"payload big":   {"payload: '{a: 1e300}'", `{}`, "payload: /a: the number's magnitude"},
		"endless":       {"subject: '[repeat(1)|select(. > 1)]'", `{}`, "subject: the expression does not come to an end in time"},
		"not an object": {"", `[1]`, "id: expected an object but got: array ([1])"},
		"twice":         {"", `{"a":1,"a":2}`, "/a: the member stands twice in its object"},
		"not UTF-8":     {"", "{\"a\":\"\xff\"}", "/a: "},
		"injection":     {"", `1},"x":{`, "the line is not JSON"},
		"injection 2":   {"", `1,"x":2`, "the line is not JSON"},
	} {
		require.Contains(t, one(t, parseMap(t, rest+c.expr+"\n"), c.record), c.reason, name)
	}
	require.Contains(t, one(t, parseMap(t, "name: n\nid: .id\ntype: '\"a\"'\ntime: .t\n"), `{"id":1}`), "time: the record has no time")
}

func TestWhatNoExpressionCanSee(t *testing.T) {
	t.Setenv("LOGLINE_SECRET_FOR_THIS_TEST", "s")
	m := parseMap(t, "name: n\nundated: true\nid: '\"1\"'\ntype: '\"a\"'\npayload: '{env: env, env2: $ENV}'\n")
	items, rejects := importLines(t, m, []byte(`{}`))
	require.Empty(t, rejects)
	require.JSONEq(t, `{"env":{},"env2":{}}`, string(items[0].Body))
	require.True(t, items[0].Time.IsZero())
}

func TestTypesOfText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]any{
		"RebootDBInstance": "reboot_db_instance", "AWS.CloudTrail": "aws.cloud_trail", "repo.create": "repo.create",
		"com.example.Order V2!": "com.example.order_v2", "PushEvent": "push_event", "FINAL_APPROVED": "final_approved",
		"user.session.start": "user.session.start", "..a..b..": "a.b", "?": nil, "": nil, "Ünïcode": "n_code", "S3ServerAccess": "s3_server_access",
	} {
		require.Equal(t, want, toType(in), in)
	}
	require.Nil(t, toType(nil))
	require.Error(t, toType(1).(error))
}

func TestTimesOfTextAndNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   any
		want string
	}{
		{"2024-04-09 06:17:55.186000000", "2024-04-09T06:17:55.186Z"}, {"2024-04-09T06:17:55", "2024-04-09T06:17:55Z"},
		{"2017-01-09T00:00:00.000+01:00", "2017-01-08T23:00:00Z"}, {"2024-04-09", "2024-04-09T00:00:00Z"},
		{1700000000, "2023-11-14T22:13:20Z"}, {1700000000123, "2023-11-14T22:13:20.123Z"}, {1700000000123456, "2023-11-14T22:13:20.123Z"},
		{1700000000.5, "2023-11-14T22:13:20.5Z"}, {float64(1700000000123456789), "2023-11-14T22:13:20.123Z"},
	} {
		require.Equal(t, c.want, toTime(c.in), c.in)
	}
	require.Nil(t, toTime(nil))
	for _, bad := range []any{"yesterday", true, []any{}, -1e30} {
		_, isError := toTime(bad).(error)
		require.True(t, isError, bad)
	}
}

// The same record by the same map gives the same item, whatever the machine's load.
func TestTheBudgetIsCountedNotTimed(t *testing.T) {
	t.Parallel()
	e, err := compile("[range(1000)] | length")
	require.NoError(t, err)
	work := spend(t.Context(), 20_000)
	n, err := e.one(work, nil)
	require.NoError(t, err)
	require.Equal(t, 1000, n)
	_, err = e.one(spend(t.Context(), 500), nil)
	require.ErrorIs(t, err, errSteps)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e, err = compile("[repeat(1)|select(. > 1)]")
	require.NoError(t, err)
	_, err = e.one(spend(ctx, 1<<40), nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestBigNumbersBecomeTheirDigits(t *testing.T) {
	t.Parallel()
	m := parseMap(t, "name: n\nundated: true\nid: .id\ntype: '\"a\"'\n")
	items, rejects := importLines(t, m, []byte(`{"id":"1","a":377077835340488707,"b":[-9007199254740992,9007199254740991],"c":"\"1e400","d":1e400,"e":-1.5E-3}`))
	require.Empty(t, rejects)
	require.Equal(t, `{"a":"377077835340488707","b":["-9007199254740992",9007199254740991],"c":"\"1e400","d":"1e400","e":-0.0015,"id":"1"}`, string(items[0].Body))
}

// A type that totype makes is one that a span can have.
func FuzzToType(f *testing.F) {
	for _, s := range []string{"RebootDBInstance", "a..b", "É.x", "_-_", "9x", strings.Repeat("Ab", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, ok := toType(s).(string)
		if !ok {
			return
		}
		if prefixed := "x." + typ; len(prefixed) <= 128 {
			require.True(t, span.ValidType(prefixed), "%q of %q", prefixed, s)
		}
		if len(s) <= maxTypeText && len(typ) <= maxTypeText {
			require.Equal(t, any(typ), toType(typ), "what totype makes stays as it is")
		}
	})
}

// FuzzMap: a map is refused with map_invalid, or it can be used: every record
// gives items whose ids and payloads a span takes, or is rejected for a reason.
func FuzzMap(f *testing.F) {
	for _, name := range ReadyNames() {
		src, err := ReadySource(name)
		require.NoError(f, err)
		f.Add(src)
	}
	f.Add([]byte(small + "type: .a | totype\nrecords: .[]?\ntags: '[.. | scalars]'\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if strings.ContainsRune(string(src), '*') {
			t.Skip("multiplied text takes memory, which the author of a map may spend")
		}
		m, err := ParseMap(src)
		if err != nil {
			require.Equal(t, "map_invalid", fault.CodeOf(err))
			return
		}
		items, _ := importLines(t, m, []byte(`{"id":"x","t":1,"a":"B","actor":{"id":"p"},"Records":[{"eventID":"e"}]}`), []byte(`[1,"a",null,{}]`))
		for _, item := range items {
			requireUsable(t, item.SourceID, item.Type, item.Body)
		}
	})
}

func requireUsable(t *testing.T, id, typ string, body []byte) {
	t.Helper()
	require.NotEmpty(t, id)
	require.True(t, span.ValidType(typ), typ)
	canonical, err := span.Canonicalize(body)
	require.NoError(t, err)
	require.Equal(t, string(canonical), string(body), "a payload is canonical")
}

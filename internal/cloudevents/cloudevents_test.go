package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// The first example of the JSON event format's specification (section 3.3).
const specExample = `{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "subject": null,
    "id" : "A234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/xml",
    "data" : "<much wow=\"xml\"/>"
}`

func TestStructured(t *testing.T) {
	t.Parallel()
	e, err := ParseStructured([]byte(specExample))
	require.NoError(t, err)
	require.Equal(t, "A234-1234-1234", e.ID)
	require.Equal(t, "/mycontext", e.Source)
	require.Equal(t, time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC), e.Time)
	require.JSONEq(t, strings.Replace(specExample, `"subject": null,`, "", 1), string(e.Payload()), "null is absence")

	// The specification's batch (section 4.2), whose second event has base64.
	batch := `[` + specExample + `, {"specversion":"1.0","type":"com.example.someotherevent","source":"/mycontext/9","id":"C234-1234-1234",
		"time":"2018-04-05T19:31:00+02:00","comexampleothervalue":5,"datacontenttype":"application/vnd.apache.thrift.binary","data_base64":"AAE="}]`
	events, err := ParseBatch([]byte(batch))
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, e.Payload(), events[0].Payload())
	require.Equal(t, 17, events[1].Time.Hour())
	empty, err := ParseBatch([]byte(" []\n"))
	require.NoError(t, err)
	require.Empty(t, empty)
}

func TestBinary(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	for name, value := range map[string]string{
		"ce-specversion": "1.0", "ce-type": "com.example.someevent", "ce-time": "2018-04-05T03:56:24.5Z", "ce-id": "1234-1234-1234",
		"ce-source": "/mycontext/subcontext", "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-note": `"a \"b\" %25"`, "X-Other": "1",
	} {
		header.Set(name, value)
	}
	e, err := ParseBinary(header, "application/json; charset=utf-8", []byte(`{"n": 1.0}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"specversion":"1.0","type":"com.example.someevent","time":"2018-04-05T03:56:24.5Z","id":"1234-1234-1234",
		"source":"/mycontext/subcontext","subject":"Euro € 😀","note":"a \"b\" %","datacontenttype":"application/json; charset=utf-8","data":{"n":1}}`, string(e.Payload()))
	for _, typ := range []string{"text/plain", "application/json; charset=latin1", "image/png", ""} {
		e, err = ParseBinary(header, typ, []byte{0xff, 1})
		require.NoError(t, err)
		require.Contains(t, string(e.Payload()), `"data_base64":"/wE="`, typ)
	}
	e, err = ParseBinary(header, "application/problem+json", []byte(" [1] "))
	require.NoError(t, err)
	require.Contains(t, string(e.Payload()), `"data":[1]`)
	e, err = ParseBinary(header, "", nil)
	require.NoError(t, err)
	require.NotContains(t, string(e.Payload()), `"data`)

	_, err = ParseBinary(header, "application/json", []byte(`{"n":1},"source":"x"`))
	require.Error(t, err, "a body cannot bring attributes")
	for name, value := range map[string]string{"ce-Datacontenttype": "a/b", "ce-data": "x", "ce-data_base64": "aGk=", "ce-bad_name": "x", "ce-subject": "%zz", "ce-note": "%ff"} {
		h := header.Clone()
		h.Set(name, value)
		_, err = ParseBinary(h, "", nil)
		require.Equal(t, "event_malformed", fault.CodeOf(err), name)
	}
	header.Add("ce-id", "twice")
	_, err = ParseBinary(header, "", nil)
	require.Equal(t, "event_malformed", fault.CodeOf(err))
}

func TestWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	good := map[string]any{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
	for name, c := range map[string]struct {
		member string
		value  any // nil removes
		at     string
	}{
		"no id":                {"id", nil, "/id"},
		"empty id":             {"id", "", "/id"},
		"id is a number":       {"id", 1, "/id"},
		"no source":            {"source", nil, "/source"},
		"source has a space":   {"source", "a b", "/source"},
		"source breaks off":    {"source", "/a%2", "/source"},
		"no type":              {"type", nil, "/type"},
		"no version":           {"specversion", nil, "/specversion"},
		"old version":          {"specversion", "0.3", "/specversion"},
		"upper case name":      {"traceParent", "x", "/traceParent"},
		"name with a hyphen":   {"trace-parent", "x", "/trace-parent"},
		"name with a slash":    {"a/b", "x", "/a~1b"},
		"time without zone":    {"time", "2018-04-05T17:31:00", "/time"},
		"time with a comma":    {"time", "2018-04-05T17:31:00,5Z", "/time"},
		"time on no day":       {"time", "2018-02-30T17:31:00Z", "/time"},
		"time before year 0":   {"time", "0000-01-01T00:00:00+01:00", "/time"},
		"relative dataschema":  {"dataschema", "/schema", "/dataschema"},
		"empty subject":        {"subject", "", "/subject"},
		"no media type":        {"datacontenttype", "json", "/datacontenttype"},
		"broken base64":        {"data_base64", "AAE", "/data_base64"},
		"base64 of a number":   {"data_base64", 1, "/data_base64"},
		"extension an object":  {"ext", map[string]any{}, "/ext"},
		"extension a list":     {"ext", []any{}, "/ext"},
		"extension a fraction": {"ext", 1.5, "/ext"},
		"extension too large":  {"ext", 1 << 40, "/ext"},
		"control character":    {"ext", "a\nb", "/ext"},
		"noncharacter":         {"ext", "\ufffe", "/ext"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event := map[string]any{}
			for k, v := range good {
				event[k] = v
			}
			event[c.member] = c.value
			if c.value == nil {
				delete(event, c.member)
			}
			raw, err := json.Marshal(event)
			require.NoError(t, err)
			_, err = ParseStructured(raw)
			require.Equal(t, "event_malformed", fault.CodeOf(err), "%v", err)
			require.Equal(t, c.at, fault.From(err).Fields[0].Pointer)
			require.Len(t, fault.From(err).Fields, 1)

			// The same within a batch, and none is taken.
			rawGood, err := json.Marshal(good)
			require.NoError(t, err)
			_, err = ParseBatch([]byte(`[` + string(rawGood) + `,` + string(raw) + `]`))
			require.Equal(t, "/1"+c.at, fault.From(err).Fields[0].Pointer)
		})
	}
	_, err := ParseStructured([]byte(`{"specversion":"1.0"}`))
	require.Len(t, fault.From(err).Fields, 3, "everything that is wrong at once")
	both := `{"specversion":"1.0","id":"1","source":"/s","type":"t","data":1,"data_base64":"AA=="}`
	_, err = ParseStructured([]byte(both))
	require.Equal(t, "/data_base64", fault.From(err).Fields[0].Pointer)
	_, err = ParseStructured([]byte(strings.Replace(both, `"data":1,"data_base64":"AA=="`, `"data":{"n":12345678901234567890}`, 1)))
	require.Equal(t, "json_number_range", fault.CodeOf(err))
	require.Equal(t, "/data/n", fault.From(err).Fields[0].Pointer)

	for _, src := range []string{``, `null`, `{}`, `"x"`, `{"a":1`, `[1`, `[1]`, `[[]]`, `[],"x":[1]`} {
		_, err := ParseBatch([]byte(src))
		require.Equal(t, fault.Invalid, fault.KindOf(err), src)
	}
	_, err = ParseBatch([]byte("[" + strings.TrimSuffix(strings.Repeat(`{"specversion":"1.0","id":"1","source":"/s","type":"t"},`, MaxBatch+1), ",") + "]"))
	require.Equal(t, "batch_too_large", fault.CodeOf(err))
}

func TestSpanType(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200)
	for from, to := range map[string]string{
		"com.example.someevent":               "com.example.someevent",
		"com.GitHub.pull_request.opened":      "com.github.pull_request.opened",
		"io.k8s/audit v1":                     "io.k8s_audit_v1",
		"1.2":                                 "e_1.2",
		"-x":                                  "e_-x",
		"ä":                                   "e___",
		"a..b.":                               "a._.b._",
		".":                                   "e__._",
		"logline.member":                      "event.logline.member",
		"LOGLINE.member":                      "event.logline.member",
		"logline":                             "event.logline",
		"loglines.x":                          "loglines.x",
		long:                                  long[:111] + "-c2a908d98f5df987",
		strings.Repeat("a", 110) + "." + long: "",
	} {
		got := SpanType(from)
		require.True(t, span.ValidType(got), "%q becomes %q", from, got)
		if to != "" {
			require.Equal(t, to, got)
		}
	}
	require.NotEqual(t, SpanType(long), SpanType(long+"b"))
}

func TestSpanIDIsOfSourceAndID(t *testing.T) {
	t.Parallel()
	secret := []byte("of a")
	id := func(tenant, author, source, event string) string {
		return SpanID(secret, tenant, author, source, event)
	}
	first := id("t", "a", "/s", "1")
	require.True(t, span.IsUUIDv7(first))
	require.Equal(t, first, id("t", "a", "/s", "1"))
	for _, other := range []string{
		id("u", "a", "/s", "1"), id("t", "b", "/s", "1"), id("t", "a", "/t", "1"), id("t", "a", "/s", "2"), id("t", "a", "/s1", ""),
		SpanID(nil, "t", "a", "/s", "1"), SpanID([]byte("of b"), "t", "a", "/s", "1"), // nobody else can make it
	} {
		require.NotEqual(t, first, other)
	}
}

// FuzzStructured: whatever is taken is an event as the specification says, and
// reading what is recorded of it gives the same again.
func FuzzStructured(f *testing.F) {
	f.Add([]byte(specExample))
	f.Add([]byte(`[` + specExample + `]`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","data":null,"ext":null}`))
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"/s","type":"logline..","data_base64":"AA=="}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		if e, err := ParseStructured(src); err == nil {
			requireEvent(t, e)
		} else {
			require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
		}
		events, err := ParseBatch(src)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
		}
		for _, e := range events {
			requireEvent(t, e)
		}
	})
}

func requireEvent(t *testing.T, e *Event) {
	t.Helper()
	require.NotEmpty(t, e.ID)
	require.NotEmpty(t, e.Source)
	require.True(t, span.ValidType(SpanType(e.Type)), "%q", e.Type)
	require.False(t, span.IsReserved(SpanType(e.Type)), "%q", e.Type)
	again, err := ParseStructured(e.Payload())
	require.NoError(t, err)
	require.Equal(t, e, again)
	require.NotContains(t, string(e.Payload()), `"specversion":null`)
}

// FuzzBinary: headers and body of any bytes give an event whose data is the
// body, or a refusal.
func FuzzBinary(f *testing.F) {
	f.Add("1", "/s", "t", "x%20y", "application/json", []byte(`{"a":[1,2]}`))
	f.Add("1", "/s", "t", `"q\"uo"`, "text/plain", []byte("hello"))
	f.Add("1", "/s", "t", "", "", []byte{})
	f.Add("1", "/s", "t", "x", "application/json", []byte(`1},"id":2`))
	f.Fuzz(func(t *testing.T, id, source, typ, subject, contentType string, body []byte) {
		h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {typ}, "Ce-Subject": {subject}}
		e, err := ParseBinary(h, contentType, body)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
			return
		}
		requireEvent(t, e)
		var m map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(e.Payload(), &m))
		switch {
		case len(body) == 0:
			require.NotContains(t, m, "data")
			require.NotContains(t, m, "data_base64")
		case isJSON(contentType):
			want, err := span.Canonicalize(append(append([]byte(`{"d":`), body...), '}'))
			require.NoError(t, err)
			require.Equal(t, string(want), `{"d":`+string(m["data"])+`}`)
		default:
			var text string
			require.NoError(t, json.Unmarshal(m["data_base64"], &text))
			raw, err := base64.StdEncoding.DecodeString(text)
			require.NoError(t, err)
			require.True(t, bytes.Equal(body, raw))
		}
	})
}

package span_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// sampleEntry has every member there is, sampleDetail put beside it.
func sampleEntry(t testing.TB) (*span.Entry, *span.Span) {
	t.Helper()
	sp, err := span.Parse(encode(t, sample()), span.Limits{})
	require.NoError(t, err)
	return &span.Entry{
		Seq: 1<<53 - 1, RecordedAt: someTime, Span: sp.Header,
		Decision: span.Decision{
			Outcome: span.OutcomePending, Evaluator: "lll/1",
			Contracts: []string{"payments.approval@1.2.0#" + someHash}, Rules: []string{"payments.approval/two"}, Tags: []string{"x"},
			Transitions: []span.Transition{{Workflow: "payment", Key: "order/1", From: "a", To: "b"}, {Workflow: "w", Key: "k", From: "\"", To: "\\"}},
			Effects:     []byte(`{"quota":{"n":1}}`), Values: []byte(`{"amount":1e-7}`), DetailHash: sampleDetail().Hash().String(),
		},
	}, sp
}

func sampleDetail() *span.Detail {
	return &span.Detail{Salt: someSalt, Notes: []string{"n"}, Annotations: []byte(`{"risk":"low"}`), Reasons: []string{"because"}}
}

func TestLineRoundTrip(t *testing.T) {
	t.Parallel()
	e, sp := sampleEntry(t)
	line := e.AppendLine(nil)
	canonical, err := span.Canonicalize(line)
	require.NoError(t, err)
	assert.Equal(t, string(canonical), string(line))
	back, err := span.ParseLine(line)
	require.NoError(t, err)
	assert.Equal(t, e, back)

	least := &span.Entry{RecordedAt: someTime, Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
	back, err = span.ParseLine(least.AppendLine(nil))
	require.NoError(t, err)
	assert.Equal(t, least, back)
	assert.Contains(t, string(least.AppendLine([]byte("x"))), `x{"decision":{"outcome":"allow"},"recorded_at"`)
}

func TestParseLineRefusesForItsOwnReason(t *testing.T) {
	t.Parallel()
	e, _ := sampleEntry(t)
	line := string(e.AppendLine(nil))
	swap := func(old, with string) string {
		require.Contains(t, line, old)
		return strings.Replace(line, old, with, 1)
	}
	seq := strconv.Itoa(1<<53 - 1)
	for _, c := range []struct{ why, line, code, pointer string }{
		{"white space", swap(`,"span"`, `, "span"`), "line_not_canonical", ""},
		{"another order", `{"v":1,` + strings.TrimSuffix(line[1:], `,"v":1}`) + "}", "line_not_canonical", ""},
		{"needless escape", swap(`order/1`, `order\/1`), "line_not_canonical", ""},
		{"number form", swap(seq, "1e2"), "line_not_canonical", ""},
		{"values number form", swap("1e-7", "0.0000001"), "line_not_canonical", ""},
		{"seq negative", swap(seq, "-1"), "entry_seq_invalid", "/seq"},
		{"seq fraction", swap(seq, "1.5"), "entry_seq_invalid", "/seq"},
		{"seq too big", swap(seq, "9007199254740992"), "json_number_range", "/seq"},
		{"seq a text", swap(seq, `"1"`), "entry_seq_invalid", "/seq"},
		{"recorded_at", swap(`"recorded_at":"2026`, `"recorded_at":"26`), "entry_recorded_at_invalid", "/recorded_at"},
		{"simulated", swap(`"executed"`, `"simulated"`), "entry_simulated", "/span/status"},
		{"outcome reject", swap(`"outcome":"pending"`, `"outcome":"reject"`), "decision_outcome_invalid", "/decision/outcome"},
		{"no outcome", swap(`"outcome":"pending",`, ``), "member_missing", "/decision/outcome"},
		{"empty rules", swap(`"rules":["payments.approval/two"]`, `"rules":[]`), "member_empty", "/decision/rules"},
		{"empty effects", swap(`{"quota":{"n":1}}`, `{}`), "member_empty", "/decision/effects"},
		{"effects null", swap(`{"quota":{"n":1}}`, `null`), "member_empty", "/decision/effects"},
		{"effects list", swap(`{"quota":{"n":1}}`, `[]`), "member_type", "/decision/effects"},
		{"detail hash", swap(e.Decision.DetailHash, "x"), "decision_detail_hash_invalid", "/decision/detail_hash"},
		{"detail inside", swap(`"detail_hash"`, `"detail":{},"detail_hash"`), "member_unknown", "/decision/detail"},
		{"unknown in decision", swap(`"evaluator"`, `"evil":1,"evaluator"`), "member_unknown", "/decision/evil"},
		{"transition without to", swap(`"to":"b",`, ``), "member_missing", "/decision/transitions/0/to"},
		{"transition with more", swap(`"to":"b",`, `"to":"b","u":"c",`), "member_unknown", "/decision/transitions/0/u"},
		{"payload inside", swap(`"payload_hash"`, `"payload":{},"payload_hash"`), "member_unknown", "/span/payload"},
		{"withheld inside", swap(`"visibility":"organization"`, `"visibility":"organization","withheld":"private"`), "member_unknown", "/span/withheld"},
		{"version", swap(`"v":1,"visibility"`, `"v":2,"visibility"`), "span_v_invalid", "/span/v"},
		{"unknown at top", `{"a":1,` + line[1:], "member_unknown", "/a"},
		{"trailing", line + "\n{}", "json_trailing_data", "-"},
		{"too long", line[:1] + strings.Repeat(" ", span.MaxLine) + line[1:], "line_too_large", ""},
		{"decision too large", swap(`{"quota":{"n":1}}`, `{"q":"`+strings.Repeat("x", span.MaxDecision)+`"}`), "decision_too_large", "/decision"},
	} {
		_, err := span.ParseLine([]byte(c.line))
		t.Run(c.why, func(t *testing.T) { requireFault(t, err, c.code, c.pointer) })
	}
}

func TestOpenedRoundTrip(t *testing.T) {
	t.Parallel()
	e, sp := sampleEntry(t)
	full := &span.Opened{Entry: *e, Payload: sp.Payload, Salt: sp.Salt, Detail: sampleDetail().Canonical()}
	gone := &span.Opened{Entry: *e, Withheld: span.WithheldRedacted, DetailWithheld: span.WithheldPrivate}
	bare := &span.Opened{Entry: *e}
	for _, o := range []*span.Opened{full, gone, bare} {
		src := o.AppendLine(nil)
		canonical, err := span.Canonicalize(src)
		require.NoError(t, err)
		assert.Equal(t, string(canonical), string(src))
		back, err := span.ParseOpened(src, span.Limits{})
		require.NoError(t, err)
		assert.Equal(t, o, back)
		require.NoError(t, back.CheckHashes())
		assert.Equal(t, string(e.AppendLine(nil)), string(back.Entry.AppendLine(nil)), "the line is what is left")
	}
	assert.Equal(t, string(e.AppendLine(nil)), string(bare.AppendLine(nil)))

	altered := *full
	altered.Payload = []byte(`{"amount":2}`)
	requireFault(t, altered.CheckHashes(), "payload_hash_mismatch", "/span/payload_hash")
	altered = *full
	altered.Detail = []byte(`{"notes":["m"],"salt":"` + someSalt + `"}`)
	requireFault(t, altered.CheckHashes(), "detail_hash_mismatch", "/decision/detail_hash")
	altered.Detail = []byte(`{"x":1}`)
	requireFault(t, altered.CheckHashes(), "member_unknown", "/decision/detail/x")
}

func TestParseOpenedRefuses(t *testing.T) {
	t.Parallel()
	e, sp := sampleEntry(t)
	both := &span.Opened{Entry: *e, Payload: sp.Payload, Salt: sp.Salt, Withheld: span.WithheldPrivate}
	half := &span.Opened{Entry: *e, Payload: sp.Payload}
	wrong := &span.Opened{Entry: *e, Withheld: "lost"}
	details := &span.Opened{Entry: *e, Detail: sampleDetail().Canonical(), DetailWithheld: span.WithheldRedacted}
	unhashed := &span.Opened{Entry: *e, DetailWithheld: span.WithheldRedacted}
	unhashed.Decision.DetailHash = ""
	large := &span.Opened{Entry: *e, Payload: sp.Payload, Salt: sp.Salt}
	for _, c := range []struct {
		o             *span.Opened
		lim           span.Limits
		code, pointer string
	}{
		{both, span.Limits{}, "span_withheld_invalid", "/span"},
		{half, span.Limits{}, "span_withheld_invalid", "/span"},
		{wrong, span.Limits{}, "span_withheld_invalid", "/span/withheld"},
		{details, span.Limits{}, "decision_detail_invalid", "/decision"},
		{unhashed, span.Limits{}, "decision_detail_invalid", "/decision"},
		{large, span.Limits{Payload: 5}, "payload_too_large", "/span/payload"},
	} {
		_, err := span.ParseOpened(c.o.AppendLine(nil), c.lim)
		requireFault(t, err, c.code, c.pointer)
	}
}

func TestDetail(t *testing.T) {
	t.Parallel()
	d := sampleDetail()
	want := `{"annotations":{"risk":"low"},"notes":["n"],"reasons":["because"],"salt":"` + someSalt + `"}`
	assert.Equal(t, want, string(d.Canonical()))
	assert.Equal(t, span.Sum([]byte("0123456789abcdef"), []byte(`{"annotations":{"risk":"low"},"notes":["n"],"reasons":["because"]}`)), d.Hash())
	assert.Equal(t, span.Sum([]byte("0123456789abcdef"), []byte(`{}`)), (&span.Detail{Salt: someSalt}).Hash())

	d.Actions = []byte(`{"0":{"data":{}}}`)
	parsed, canonical, err := span.ParseDetail(d.Canonical())
	require.NoError(t, err)
	assert.Equal(t, d, parsed)
	assert.Equal(t, `{"actions":{"0":{"data":{}}},`+want[1:], string(canonical))

	for _, c := range []struct{ src, code, pointer string }{
		{`{"notes":["n"]}`, "member_missing", "/salt"},
		{`{"salt":"` + someSalt + `","actions":[]}`, "member_type", "/actions"},
		{`{"salt":"AA"}`, "detail_salt_invalid", "/salt"},
		{`{"salt":"` + someSalt + `","notes":[]}`, "member_empty", "/notes"},
		{`{"salt":"` + someSalt + `","notes":[1]}`, "member_type", "/notes/0"},
		{`{"salt":"` + someSalt + `","annotations":{}}`, "member_empty", "/annotations"},
		{`{"salt":"` + someSalt + `","annotations":{"n":1e30}}`, "json_number_range", "/annotations/n"},
		{`{"salt":"` + someSalt + `","reasons":null}`, "member_empty", "/reasons"},
		{`{"salt":"` + someSalt + `","why":"x"}`, "member_unknown", "/why"},
		{`[]`, "json_not_object", ""},
		{strings.Repeat(" ", 5<<20), "detail_too_large", ""},
	} {
		_, _, err := span.ParseDetail([]byte(c.src))
		requireFault(t, err, c.code, c.pointer)
	}
}

func FuzzParseLine(f *testing.F) {
	var entries []entryVector
	load(f, "entries.json", &entries)
	for _, c := range entries {
		f.Add([]byte(c.Line))
	}
	e, sp := sampleEntry(f)
	f.Add(e.AppendLine(nil))
	full := &span.Opened{Entry: *e, Payload: sp.Payload, Salt: sp.Salt, Detail: sampleDetail().Canonical()}
	f.Add(full.AppendLine(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		if e, err := span.ParseLine(src); err == nil {
			require.Equal(t, string(src), string(e.AppendLine(nil)))
			canonical, err := span.Canonicalize(src)
			require.NoError(t, err)
			require.Equal(t, string(src), string(canonical))
		} else {
			var fe *fault.Error
			require.ErrorAs(t, err, &fe)
		}
		o, err := span.ParseOpened(src, span.Limits{})
		if err != nil {
			return
		}
		want, err := span.Canonicalize(src)
		require.NoError(t, err)
		require.Equal(t, string(want), string(o.AppendLine(nil)))
		_ = o.CheckHashes()
	})
}

func FuzzParseDetail(f *testing.F) {
	var entries []entryVector
	load(f, "entries.json", &entries)
	for _, c := range entries {
		if c.Detail != nil {
			f.Add([]byte(c.Detail))
		}
	}
	f.Add(sampleDetail().Canonical())
	f.Fuzz(func(t *testing.T, src []byte) {
		d, canonical, err := span.ParseDetail(src)
		if err != nil {
			return
		}
		want, err := span.Canonicalize(src)
		require.NoError(t, err)
		require.Equal(t, string(want), string(canonical))
		again, _, err := span.ParseDetail(canonical)
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}

package span

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spliced is an entry without a payload.
func spliced() Entry {
	return Entry{
		Seq: 7, RecordedAt: "2026-01-01T00:00:00.000Z", Decision: Decision{Outcome: OutcomeAllow},
		Span: Header{
			ID: "0198d2a0-0000-7000-8000-000000000001", Tenant: "d34e1747-5b14-88b1-a45b-f748568d1192", Author: IdentityScheme + strings.Repeat("a", 52),
			Type: "payment.made", Time: "2026-01-01T00:00:00.000Z", Status: StatusExecuted, Visibility: VisibilityPublic,
			PayloadHash: Sum(nil).String(), Signature: Signature{Key: B64(make([]byte, 32)), Value: B64(make([]byte, 64))},
		},
	}
}

// Putting a payload back without parsing gives what writing the parsed entry does.
func TestAppendWithPayload(t *testing.T) {
	t.Parallel()
	base := Opened{Entry: spliced()}
	tricky := `,"payload_hash":"` + strings.Repeat("A", 43) + `","salt":"x"`
	for name, change := range map[string]func(*Opened){
		"plain": func(*Opened) {},
		"texts like keys": func(o *Opened) {
			o.Span.Title, o.Span.Subject, o.Span.Tags = tricky, tricky, []string{tricky, `\` + tricky}
		},
		"keys before": func(o *Opened) {
			o.Decision.Values = []byte(`{"a":1,"payload_hash":"` + strings.Repeat("A", 43) + `"}`)
		},
		"no optional": func(o *Opened) { o.Span.Causes = []string{o.Span.ID} },
	} {
		o := base
		change(&o)
		line := o.AppendLine(nil)
		o.Payload, o.Salt = []byte(`{"a":"`+strings.ReplaceAll(tricky, `"`, `\"`)+`"}`), B64(make([]byte, 16))
		got, ok := AppendWithPayload([]byte("before"), line, o.Payload, o.Salt)
		require.True(t, ok, name)
		require.Equal(t, "before"+string(o.AppendLine(nil)), string(got), name)
	}
	detailed := base
	detailed.Decision.DetailHash = Sum(nil).String()
	contracted := detailed
	contracted.Decision.Contracts = []string{`"outcome":`, "c@1.0.0"}
	for _, line := range [][]byte{detailed.AppendLine(nil), contracted.AppendLine(nil), []byte(`{}`), nil, []byte(`{"a":1,"payload_hash":"short"}`)} {
		got, ok := AppendWithPayload([]byte("before"), line, []byte(`{}`), "s")
		require.False(t, ok, "%s", line)
		require.Equal(t, "before", string(got))
	}
}

// What a line says at its end is what parsing it says; of what is no public or
// organization-visible entry it says nothing.
func TestLineVisibility(t *testing.T) {
	t.Parallel()
	for _, visibility := range []string{VisibilityPrivate, VisibilityOrganization, VisibilityPublic} {
		want := visibility
		if visibility == VisibilityPrivate {
			want = ""
		}
		e := spliced()
		e.Span.Visibility = visibility
		for _, like := range []string{"", `,"v":1,"visibility":"public"},"v":1}`, `\`, `"`} {
			e.Span.Title, e.Span.Subject, e.Span.Type = like, like, "t"
			line := e.AppendLine(nil)
			require.Equal(t, want, LineVisibility(line), "%s", line)
			for cut := range line {
				require.Empty(t, LineVisibility(line[:cut]))
			}
			opened := Opened{Entry: e, Payload: []byte(`{"v":1,"visibility":"public"}`), Salt: "s"}
			require.Equal(t, want, LineVisibility(opened.AppendLine(nil)))
		}
	}
	for _, line := range []string{``, `"},"v":1}`, `{"visibility":"public"},"v":1}`, `{"a":1,"visibility":"public"},"v":1}`, `{"v":1,"visibility":"PUBLIC"},"v":1}`} {
		require.Empty(t, LineVisibility([]byte(line)), line)
	}
}

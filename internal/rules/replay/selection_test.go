package replay

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const somebody = "logline-id://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestSelection(t *testing.T) {
	t.Parallel()
	e := &span.Opened{}
	e.Span.ID, e.Span.Type, e.Span.Author, e.Span.Subject, e.Span.Tags = "01890a5d-ac96-774b-bcce-b302099a8057", "payment.requested.late", somebody, "p:1", []string{"red"}
	e.Decision.Tags, e.Decision.Contracts = []string{"auto"}, []string{"payments.approval@1.0.0#x"}
	for conditions, chosen := range map[string]bool{
		"payment.**": true, "payment.*": false, "type:payment.*.late": true, "other|payment.**": true,
		somebody: true, "author:" + somebody: true, "author:" + strings.TrimPrefix(somebody, span.IdentityScheme): true,
		"author:" + somebody[:len(somebody)-1] + "q": false, "subject:p:1": true, "subject:p": false,
		"tag:red": true, "tag:auto": true, "tag:r": false, "tag:auto|payment.*": false, "tag:blue|tag:red": true,
		"span:01890a5d-ac96-774b-bcce-b302099a8057": true, "span:01890a5d-ac96-774b-bcce-b302099a8058": false,
		"contract:payments.approval": true, "contract:payments": false,
	} {
		s, err := ParseSelection(strings.Split(conditions, "|"))
		require.NoError(t, err, conditions)
		require.Equal(t, chosen, s.Chooses(e), conditions)
	}
	for _, wrong := range []string{"", "colour:red", "tag:", "author:ana", "span:7", "Type", "type:a..b", "subject:" + strings.Repeat("x", 257)} {
		_, err := ParseSelection([]string{wrong})
		require.Equal(t, "selection_invalid", fault.CodeOf(err), wrong)
	}
	_, err := ParseSelection(make([]string, 65))
	require.Equal(t, "selection_invalid", fault.CodeOf(err))
}

// FuzzSelection: what is read chooses at least whom it is about.
func FuzzSelection(f *testing.F) {
	for _, seed := range []string{"payment.**", "author:" + somebody, "subject:a:b", "tag:red", "contract:x", "span:01890a5d-ac96-774b-bcce-b302099a8057", "x:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelection([]string{text})
		if err != nil {
			require.True(t, s.Empty())
			return
		}
		require.False(t, s.Empty())
		e := &span.Opened{}
		for _, list := range []struct {
			of   []string
			into *string
		}{{s.Authors, &e.Span.Author}, {s.Subjects, &e.Span.Subject}, {s.Spans, &e.Span.ID}} {
			if len(list.of) > 0 {
				*list.into = list.of[0]
			}
		}
		e.Span.Tags = s.Tags
		for _, name := range s.Contracts {
			e.Decision.Contracts = append(e.Decision.Contracts, name+"@1.0.0#x")
		}
		if len(s.Types) > 0 { // a type of the pattern
			e.Span.Type = strings.ReplaceAll(s.Types[0], "*", "a")
		}
		require.True(t, s.Chooses(e), "%q", text)
	})
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	some := Selection{Types: []string{"**"}}
	for code, o := range map[string]Options{
		"mode_unknown": {Mode: "half"}, "selection_missing": {Mode: Selective}, "selection_unused": {Select: some}, "range_invalid": {From: 5, To: 5},
	} {
		_, err := New(o)
		require.Equal(t, code, fault.CodeOf(err))
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, text string
		fits          bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"", "", true}, {nameless, "", true}, {nameless, "x", true},
		{"a" + nameless + "b", "ab", true}, {"a" + nameless + "b", "axxb", true}, {"a" + nameless + "b", "b", false},
		{"ab" + nameless + "bc", "abc", false}, {nameless + " and " + nameless + ".", "ana and rui.", true},
		{nameless + " and " + nameless + ".", "ana or rui.", false}, {"a" + nameless + "b" + nameless, "ac", false},
	} {
		require.Equal(t, test.fits, fits([]byte(test.pattern), []byte(test.text)), "%q %q", test.pattern, test.text)
	}
}

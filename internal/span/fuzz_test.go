package span_test

import (
	"bytes"
	"encoding/base32"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

var (
	typeForm    = regexp.MustCompile(`\A[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*\z`)
	patternForm = regexp.MustCompile(`\A(\*\*|([a-z][a-z0-9_-]*|\*)(\.([a-z0-9_-]+|\*))*(\.\*\*)?)\z`)
)

// FuzzTypes holds types, patterns and their match against regular expressions.
func FuzzTypes(f *testing.F) {
	for _, s := range [][2]string{
		{"a.b", "a.b"}, {"a.*", "a.b"}, {"a.*", "a.b.c"}, {"a.**", "a"}, {"a.**", "a.b.c"}, {"**", "a"}, {"*", "a.b"}, {"*.b", "a.b"},
		{"a.**.b", "a.b"}, {"a.**.b", "a.x.b"}, {"1.a", "1.a"}, {"a..b", "a..b"}, {"a.1-_", "a.1-_"}, {"", ""}, {".", "."}, {"a.", "a."}, {"a*", "ab"}, {"A", "A"},
		{strings.Repeat("a", 128), strings.Repeat("a", 129)},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, typ string) {
		require.Equal(t, len(typ) <= 128 && typeForm.MatchString(typ), span.ValidType(typ), "%q", typ)
		require.Equal(t, len(pattern) <= 128 && patternForm.MatchString(pattern), span.ValidPattern(pattern), "%q", pattern)
		if span.ValidType(typ) {
			require.True(t, span.ValidPattern(typ))
			require.True(t, span.MatchType(typ, typ))
			require.True(t, span.MatchType("**", typ))
		}
		got := span.MatchType(pattern, typ)
		if !span.ValidType(typ) || len(pattern) > 128 {
			return
		}
		if !span.ValidPattern(pattern) {
			require.False(t, got, "%q matches nothing that it does not spell out", pattern)
			return
		}
		form := regexp.QuoteMeta(pattern)
		if rest, ok := strings.CutSuffix(form, `\*\*`); ok {
			form = rest + `.+`
		}
		form = strings.ReplaceAll(form, `\*`, `[^.]+`)
		require.Equal(t, regexp.MustCompile(`\A`+form+`\z`).MatchString(typ), got, "%q %q", pattern, typ)
	})
}

// FuzzNames: a time, UUID or LogLine ID is taken exactly where reading and
// writing it by other means gives the same text.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"2026-01-31T12:00:00.000Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00.000Z", "1900-02-29T00:00:00.000Z", "2000-02-29T00:00:00.000Z",
		"0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "2026-06-30T23:59:60.000Z", "2026-01-31t12:00:00.000Z", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000+00:00",
		"2026-00-01T00:00:00.000Z", "2026-04-31T00:00:00.000Z", "2026-01-01T24:00:00.000Z",
		"01890a5d-ac96-774b-bcce-b302099a8057", "01890A5D-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-474b-bcce-b302099a8057", "01890a5d-ac96-774b-7cce-b302099a8057", "01890a5dac96774bbcceb302099a8057",
		"logline-id://vlns7bajzgm33ozhez3umhtmgh5igxkhn2s2gjn2vu3bgqyhbluq", "logline-id://vlns7bajzgm33ozhez3umhtmgh5igxkhn2s2gjn2vu3bgqyhblub", "logline-id://", "",
	} {
		f.Add(s)
	}
	const layout = "2006-01-02T15:04:05.000Z"
	f.Fuzz(func(t *testing.T, s string) {
		at, err := span.ParseTime(s)
		want, wantErr := time.Parse(layout, s)
		exact := wantErr == nil && want.Format(layout) == s
		require.Equal(t, exact, err == nil, "%q", s)
		if exact {
			require.True(t, want.Equal(at))
			require.Equal(t, s, span.FormatTime(at))
		}
		u, err := uuid.Parse(s)
		known := err == nil && u.String() == s
		require.Equal(t, known, span.IsUUID(s), "%q", s)
		require.Equal(t, known && u.Version() == 7 && u.Variant() == uuid.RFC4122, span.IsUUIDv7(s), "%q", s)

		rest, scheme := strings.CutPrefix(s, span.IdentityScheme)
		coding := base32.StdEncoding.WithPadding(base32.NoPadding)
		raw, err := coding.DecodeString(strings.ToUpper(rest))
		identity := scheme && err == nil && len(raw) == 32 && strings.ToLower(coding.EncodeToString(raw)) == rest
		require.Equal(t, identity, span.IsIdentity(s), "%q", s)
	})
}

// FuzzNewID: an id tells the millisecond it was made of, and sorts by it.
func FuzzNewID(f *testing.F) {
	f.Add(int64(1767225600000), []byte("0123456789"))
	f.Add(int64(0), []byte{})
	f.Add(int64(253402300799999), bytes.Repeat([]byte{255}, 10))
	f.Fuzz(func(t *testing.T, ms int64, random []byte) {
		ms = int64(uint64(ms) % 253402300799999)
		var r [10]byte
		copy(r[:], random)
		made := span.NewID(time.UnixMilli(ms), r)
		require.True(t, span.IsUUIDv7(made), made)
		require.Equal(t, made, span.NewID(time.UnixMilli(ms), r))
		u, err := uuid.Parse(made)
		require.NoError(t, err)
		sec, nsec := u.Time().UnixTime()
		require.Equal(t, ms, time.Unix(sec, nsec).UnixMilli())
		require.Less(t, made, span.NewID(time.UnixMilli(ms+1), [10]byte{}))
		if len(random) >= 10 {
			again, err := span.RandomID(time.UnixMilli(ms), bytes.NewReader(random))
			require.NoError(t, err)
			require.Equal(t, made, again)
		}
	})
}

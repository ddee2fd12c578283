package span_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

func TestB64(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 70).Draw(t, "bytes")
		s := span.B64(b)
		for _, size := range []int{-1, len(b)} {
			got, err := span.ParseB64(s, size)
			if err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%q: %v", s, err)
			}
		}
		if _, err := span.ParseB64(s, len(b)+1); err == nil {
			t.Fatal("wrong size accepted")
		}
	})
	for _, s := range []string{"A", "AA==", "AB", "A A", "AA\n", "A+AA", "A/AA", "AAé"} {
		_, err := span.ParseB64(s, -1)
		assert.Equal(t, "base64_invalid", fault.CodeOf(err), s)
	}
}

func TestParseHashIsStrict(t *testing.T) {
	t.Parallel()
	strict := base64.RawURLEncoding.Strict()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[A-Za-z0-9_-]{43}`).Draw(t, "text")
		h, err := span.ParseHash(s)
		want, wantErr := strict.DecodeString(s)
		if (err == nil) != (wantErr == nil) || err == nil && (!bytes.Equal(h[:], want) || h.String() != s) {
			t.Fatalf("%q: %v, encoding/base64 says %v", s, err, wantErr)
		}
	})
	for _, s := range []string{"", someHash + "A", someHash[:42], someHash[:42] + "\n"} {
		_, err := span.ParseHash(s)
		assert.Equal(t, "base64_invalid", fault.CodeOf(err), s)
	}
}

func TestTimeAgreesWithTimePackage(t *testing.T) {
	t.Parallel()
	const layout = "2006-01-02T15:04:05.000Z"
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`(19|20|00|99)\d\d-(0[0-9]|1[0-3])-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d[.,]\d{2,3}Z?`).Draw(t, "text")
		want, wantErr := time.Parse(layout, s)
		if wantErr == nil && want.Format(layout) != s {
			wantErr = errors.New("another form") // time.Parse takes a comma, for one
		}
		got, err := span.ParseTime(s)
		if (err == nil) != (wantErr == nil) || err == nil && !got.Equal(want) {
			t.Fatalf("%q: %v, time.Parse says %v", s, err, wantErr)
		}
		if err == nil && span.FormatTime(got) != s {
			t.Fatalf("%q comes back as %q", s, span.FormatTime(got))
		}
	})
	for _, s := range []string{"", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+00:00", "2026-01-01T24:00:00.000Z", "2026-01-01T00:00:60.000Z", "1900-02-29T00:00:00.000Z"} {
		_, err := span.ParseTime(s)
		assert.Equal(t, "time_invalid", fault.CodeOf(err), s)
	}
	zone := time.FixedZone("", 3600)
	assert.Equal(t, "2025-12-31T23:00:00.123Z", span.FormatTime(time.Date(2026, 1, 1, 0, 0, 0, 123_999_999, zone)))
	for _, s := range []string{"2000-02-29T00:00:00.000Z", "2024-02-29T23:59:59.999Z", "0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"} {
		_, err := span.ParseTime(s)
		assert.NoError(t, err, s)
	}
}

func TestUUID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(0, 1<<48-1).Draw(t, "ms")
		var r [10]byte
		copy(r[:], rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "random"))
		s := span.NewID(time.UnixMilli(ms), r)
		if !span.IsUUIDv7(s) || !span.IsUUID(s) {
			t.Fatalf("%q", s)
		}
		u, err := uuid.Parse(s)
		if err != nil || u.Version() != 7 || u.Variant() != uuid.RFC4122 {
			t.Fatalf("%q: %v", s, err)
		}
		if sec, nsec := u.Time().UnixTime(); sec*1000+nsec/1e6 != ms {
			t.Fatalf("%q: made at %d ms, says %d s %d ns", s, ms, sec, nsec)
		}
	})
	for _, s := range []string{"", someID[:35], someID + "0", strings.ToUpper(someID), strings.ReplaceAll(someID, "-", "0"), "{" + someID[1:], "019b76da-f620-71ce-ac03-11d4302b072g"} {
		assert.False(t, span.IsUUID(s), s)
	}
	assert.True(t, span.IsUUID(someTenant))
	assert.False(t, span.IsUUIDv7(someTenant))

	a, err := span.RandomID(time.UnixMilli(1), bytes.NewReader(make([]byte, 10)))
	require.NoError(t, err)
	assert.Equal(t, "00000000-0001-7000-8000-000000000000", a)
	_, err = span.RandomID(time.UnixMilli(1), iotest.ErrReader(errors.New("no entropy")))
	assert.Equal(t, "random_unavailable", fault.CodeOf(err))
}

func TestIsIdentity(t *testing.T) {
	t.Parallel()
	enc := base32.StdEncoding.WithPadding(base32.NoPadding)
	rapid.Check(t, func(t *rapid.T) {
		rest := rapid.StringMatching(`[a-z2-7]{52}`).Draw(t, "rest")
		if rapid.Bool().Draw(t, "real") {
			rest = strings.ToLower(enc.EncodeToString(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")))
		}
		raw, err := enc.DecodeString(strings.ToUpper(rest))
		want := err == nil && len(raw) == 32 && strings.ToLower(enc.EncodeToString(raw)) == rest
		if got := span.IsIdentity(span.IdentityScheme + rest); got != want {
			t.Fatalf("%q: %v", rest, got)
		}
	})
	for _, s := range []string{"", span.IdentityScheme, someIdentity[13:], someIdentity + "a", strings.ToUpper(someIdentity), strings.Replace(someIdentity, "5", "1", 1)} {
		assert.False(t, span.IsIdentity(s), s)
	}
}

func TestValidTypeIsTheGrammar(t *testing.T) {
	t.Parallel()
	grammar := regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[a-zA0-9_.\-é]{0,12}`).Draw(t, "type")
		if got := span.ValidType(s); got != grammar.MatchString(s) {
			t.Fatalf("%q: %v", s, got)
		}
	})
	assert.True(t, span.ValidType(strings.Repeat("a", 128)))
	assert.False(t, span.ValidType(strings.Repeat("a", 129)))
	assert.False(t, span.ValidType("a\n"))
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for pattern, valid := range map[string]bool{
		"a": true, "a.b": true, "*": true, "**": true, "a.*": true, "*.b": true, "a.**": true, "a.*.c": true, "a.0": true, "*.0-_": true,
		"": false, ".": false, "a.": false, ".a": false, "**.a": false, "a.**.b": false, "a*": false, "A": false, "0": false, "a..b": false, "***": false, "a b": false,
	} {
		assert.Equal(t, valid, span.ValidPattern(pattern), "%q", pattern)
	}
	for _, c := range []struct {
		pattern, typ string
		match        bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false},
		{"*", "a", true}, {"*", "a.b", false}, {"*.*", "a.b", true}, {"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false},
		{"*.b", "a.b", true}, {"*.b", "a.c", false}, {"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false},
		{"**", "a", true}, {"**", "a.b.c", true}, {"a.**", "a.b", true}, {"a.**", "a.b.c", true}, {"a.**", "a", false}, {"a.**", "b.c", false},
		{"", "", true}, {"*", "", false}, {"**", "", false},
	} {
		assert.Equal(t, c.match, span.MatchType(c.pattern, c.typ), "%q %q", c.pattern, c.typ)
	}
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.StringMatching(`[a-c](\.[a-c]){0,3}`).Draw(t, "type")
		pattern := rapid.StringMatching(`([a-c]|\*)(\.([a-c]|\*)){0,3}(\.\*\*)?`).Draw(t, "pattern")
		re := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\.\*\*`, `(\.[a-c])+`)
		re = strings.ReplaceAll(re, `\*`, `[a-c]`)
		if want := regexp.MustCompile("^" + re + "$").MatchString(typ); span.MatchType(pattern, typ) != want {
			t.Fatalf("%q %q: want %v", pattern, typ, want)
		}
	})
}

func TestSum(t *testing.T) {
	t.Parallel()
	assert.Equal(t, span.Sum([]byte("abc")), span.Sum([]byte("a"), []byte("bc")))
	assert.Equal(t, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU", span.Sum().String())
	assert.Equal(t, span.Sum([]byte("\x00line")), span.LeafHash([]byte("line")))
}

package webhook

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestByStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		outcome Outcome
		code    string
		kind    fault.Kind
	}{
		101: {GiveUp, CodeRefused, fault.Invalid}, 200: {Delivered, "", ""}, 204: {Delivered, "", ""}, 299: {Delivered, "", ""},
		301: {GiveUp, CodeRedirected, fault.Invalid}, 302: {GiveUp, CodeRedirected, fault.Invalid}, 304: {GiveUp, CodeRedirected, fault.Invalid}, 308: {GiveUp, CodeRedirected, fault.Invalid},
		400: {GiveUp, CodeRefused, fault.Invalid}, 401: {GiveUp, CodeRefused, fault.Invalid}, 404: {GiveUp, CodeRefused, fault.Invalid},
		408: {Retry, CodeFailing, fault.Unavailable}, 410: {GiveUp, CodeGone, fault.Gone}, 425: {Retry, CodeFailing, fault.Unavailable},
		429: {Retry, CodeBusy, fault.Unavailable}, 499: {GiveUp, CodeRefused, fault.Invalid},
		500: {Retry, CodeFailing, fault.Unavailable}, 503: {Retry, CodeFailing, fault.Unavailable}, 599: {Retry, CodeFailing, fault.Unavailable}, 999: {Retry, CodeFailing, fault.Unavailable},
	} {
		r := byStatus(status, http.Header{"Retry-After": {"7"}}, time.Now())
		require.Equal(t, want.outcome, r.Outcome, status)
		require.Equal(t, want.code, r.Code, status)
		require.Equal(t, status, r.Status)
		require.NotEmpty(t, r.Why, status)
		require.Equal(t, want.outcome == Retry, r.RetryAfter == 7*time.Second, status)
		require.Equal(t, want.kind, fault.KindOf(r.Err()), status)
		require.Equal(t, want.code, fault.CodeOf(r.Err()), status)
		if want.outcome == Retry {
			require.Equal(t, r.RetryAfter, fault.From(r.Err()).RetryAfter)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for text, want := range map[string]time.Duration{
			"": 0, "0": 0, "1": time.Second, " 120 ": 2 * time.Minute, "3600": time.Hour, "3601": MaxRetryAfter, "99999999999999999999999": MaxRetryAfter,
			"-1": 0, "+5": 0, "1.5": 0, "1e9": 0, "soon": 0, "0x10": 0, "5, 6": 0, "\x00": 0, strings.Repeat("9", 65): 0,
			now.Add(90 * time.Second).UTC().Format(http.TimeFormat): 90 * time.Second,
			now.Add(90 * time.Second).UTC().Format(time.RFC850):     90 * time.Second,
			now.Add(90 * time.Second).UTC().Format(time.ANSIC):      90 * time.Second,
			now.Add(-time.Hour).UTC().Format(http.TimeFormat):       0,
			now.Add(48 * time.Hour).UTC().Format(http.TimeFormat):   MaxRetryAfter,
			now.UTC().Format(time.RFC3339):                          0,
			"Fri, 31 Dec 9999 23:59:59 GMT":                         MaxRetryAfter,
			"Mon, 01 Jan 0001 00:00:00 GMT":                         0,
		} {
			require.Equal(t, want, retryAfter(text, now), "%q", text)
		}
		at := now.Add(90 * time.Second).UTC().Format(http.TimeFormat)
		time.Sleep(80 * time.Second) // of the bubble's clock
		require.Equal(t, 10*time.Second, retryAfter(at, time.Now()))
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "1", "9999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "soon"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := retryAfter(text, time.Unix(1_800_000_000, 0))
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, MaxRetryAfter)
	})
}

func FuzzBeginning(f *testing.F) {
	for _, s := range []string{"", "ok", "\x1b[31mred", "a\r\nb\tc", "\xff\xfe", strings.Repeat("é", 300), "\u202edrow", "\u2028"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := beginning(body)
		require.LessOrEqual(t, len(got), MaxAnswerBytes)
		require.True(t, utf8.ValidString(got))
		for _, r := range got {
			require.True(t, r == unicode.ReplacementChar || unicode.IsPrint(r), "%q", r)
		}
		if len(body) < MaxAnswerBytes && strings.IndexFunc(string(body), func(r rune) bool { return r <= ' ' || r > '~' }) < 0 {
			require.Equal(t, string(body), got)
		}
	})
}

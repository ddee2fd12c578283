package cron_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/cron"
)

func TestNext(t *testing.T) {
	t.Parallel()
	const form = "2006-01-02 15:04 Mon"
	for _, test := range []struct{ line, after, want string }{
		{"0 3 * * *", "2026-01-01 09:00 Thu", "2026-01-02 03:00 Fri"},
		{"0 3 * * *", "2026-01-01 02:59 Thu", "2026-01-01 03:00 Thu"},
		{"0 3 * * *", "2026-01-01 03:00 Thu", "2026-01-02 03:00 Fri"},
		{"*/15 * * * *", "2026-01-01 09:01 Thu", "2026-01-01 09:15 Thu"},
		{"5/20 8-9 * * *", "2026-01-01 08:46 Thu", "2026-01-01 09:05 Thu"},
		{"0 0 29 feb *", "2026-01-01 00:00 Thu", "2028-02-29 00:00 Tue"},
		{"0 0 * * mon-FRI", "2026-01-02 00:00 Fri", "2026-01-05 00:00 Mon"},
		{"0 0 13 * fri", "2026-01-03 00:00 Sat", "2026-01-09 00:00 Fri"},
		{"0 0 1,15 * *", "2026-01-01 00:00 Thu", "2026-01-15 00:00 Thu"},
		{"30 23 31 12 *", "2026-12-31 23:30 Thu", "2027-12-31 23:30 Fri"},
	} {
		l, err := cron.Parse(test.line)
		require.NoError(t, err, test.line)
		after, err := time.Parse(form, test.after)
		require.NoError(t, err)
		got, ok := l.Next(after)
		require.True(t, ok, test.line)
		require.Equal(t, test.want, got.Format(form), test.line)
	}
	never, err := cron.Parse("0 0 31 2 *")
	require.NoError(t, err)
	_, ok := never.Next(time.Unix(0, 0))
	require.False(t, ok)
}

func TestClocksThatAreChanged(t *testing.T) {
	t.Parallel()
	lisbon, err := time.LoadLocation("Europe/Lisbon")
	if err != nil {
		t.Skip("this machine has no time zones")
	}
	l, err := cron.Parse("30 1 * * *")
	require.NoError(t, err)
	got, ok := l.Next(time.Date(2026, 3, 28, 12, 0, 0, 0, lisbon))
	require.True(t, ok)
	require.Equal(t, "2026-03-30T01:30:00+01:00", got.Format(time.RFC3339), "half past one is skipped on 29 March")
	first, _ := l.Next(time.Date(2026, 10, 24, 12, 0, 0, 0, lisbon))
	require.Equal(t, 25, first.Day())
	second, _ := l.Next(first)
	require.Equal(t, 26, second.Day(), "and repeated on 25 October, for one run")
}

func TestLinesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "a * * * *",
		"5-1 * * * *", "*/0 * * * *", "1- * * * *", "@daily", "* * * * * *", "TZ=UTC 0 3 * * *", "CRON_TZ="} {
		_, err := cron.Parse(line)
		require.Equal(t, "cron_invalid", fault.CodeOf(err), line)
	}
}

// FuzzNext: what follows a time is after it, at a minute, and nothing lies
// between.
func FuzzNext(f *testing.F) {
	f.Add("0 3 * * *", int64(0))
	f.Add("*/7 1-5 1,31 feb-dec/2 sun,3", int64(1767225600))
	f.Fuzz(func(t *testing.T, line string, at int64) {
		l, err := cron.Parse(line)
		if err != nil {
			return
		}
		after := time.Unix(at%(1<<33), 0).UTC()
		got, ok := l.Next(after)
		if !ok {
			return
		}
		require.True(t, got.After(after))
		require.Zero(t, got.Second())
		between, ok := l.Next(got.Add(-time.Minute))
		require.True(t, ok)
		if !got.Add(-time.Minute).Before(after) {
			require.Equal(t, got, between)
		}
	})
}

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

func TestLinesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"", "* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7", "a * * * *",
		"5-1 * * * *", "*/0 * * * *", "1- * * * *", "@daily", "* * * * * *", "TZ=UTC 0 3 * * *", "CRON_TZ="} {
		_, err := cron.Parse(line)
		require.Equal(t, "cron_invalid", fault.CodeOf(err), line)
	}
}

// FuzzNext: what follows a time is after it, at a minute, nothing lies between, and
// both ways to ask say the same, whatever the clocks of the zone do.
func FuzzNext(f *testing.F) {
	f.Add("0 3 * * *", int64(0))
	f.Add("*/7 1-5 1,31 feb-dec/2 sun,3", int64(1767225600))
	f.Add("*/15 * * * *", int64(1774746000))
	zones := []string{"", "Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Asia/Tehran"}
	f.Fuzz(func(t *testing.T, line string, at int64) {
		zone := zones[uint64(at)%uint64(len(zones))]
		after := time.Unix(at%(1<<33), 0).UTC()
		got, err := cron.NextIn(line, zone, after)
		if err != nil {
			return
		}
		require.True(t, got.After(after))
		require.Zero(t, got.Second())
		all, n, err := cron.BetweenIn(line, zone, after, got, 10)
		require.NoError(t, err)
		if got.Sub(after) < 8*365*24*time.Hour { // further apart than what is searched
			require.Equal(t, 1, n)
			require.Equal(t, []time.Time{got}, all)
		}
		next, err := cron.NextIn(line, zone, got)
		require.NoError(t, err)
		_, n, err = cron.BetweenIn(line, zone, after, next, 1)
		require.NoError(t, err)
		if next.Sub(after) < 8*365*24*time.Hour {
			require.Equal(t, 2, n)
		}
	})
}

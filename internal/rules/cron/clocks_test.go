package cron_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/cron"
)

// The table has, for both changes of clocks in several zones, every time at which
// a line runs between two.
func TestClocksThatAreChanged(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/clocks.txt")
	require.NoError(t, err)
	defer f.Close()
	zone, line, cases := "", "", 0
	var from, to time.Time
	var want []string
	check := func() {
		if line == "" {
			return
		}
		cases++
		var got []string
		for at := from; ; {
			next, err := cron.NextIn(line, zone, at)
			require.NoError(t, err)
			if next.After(to) {
				break
			}
			got = append(got, next.In(from.Location()).Format("Mon 2006-01-02 15:04 -0700"))
			at = next
		}
		require.Equal(t, want, got, "%s %s", zone, line)
		all, n, err := cron.BetweenIn(line, zone, from, to, 1000)
		require.NoError(t, err)
		require.Equal(t, len(want), n)
		for i := range all {
			require.Equal(t, want[i], all[i].In(from.Location()).Format("Mon 2006-01-02 15:04 -0700"))
		}
		line, want = "", nil
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text := lines.Text()
		switch word, rest, _ := strings.Cut(text, " "); {
		case text == "" || word == "#":
		case word == "zone":
			check()
			name, days, _ := strings.Cut(rest, " ")
			zone = name
			in, err := time.LoadLocation(zone)
			require.NoError(t, err)
			a, b, _ := strings.Cut(days, " ")
			from, err = time.ParseInLocation(time.DateOnly, a, in)
			require.NoError(t, err)
			from = from.Add(-time.Nanosecond)
			to, err = time.ParseInLocation(time.DateOnly, b, in)
			require.NoError(t, err)
			to = to.Add(-time.Nanosecond)
		case word == "line":
			check()
			line = rest
		default:
			want = append(want, strings.TrimSpace(text))
		}
	}
	check()
	require.Greater(t, cases, 20)
}

// The program has tables of its own, for machines that have none.
func TestZones(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Atlantis/Capital", "Local", "../etc/passwd"} {
		_, err := cron.NextIn("0 3 * * *", zone, time.Unix(0, 0))
		require.Equal(t, "timezone_unknown", fault.CodeOf(err), zone)
		_, _, err = cron.BetweenIn("0 3 * * *", zone, time.Unix(0, 0), time.Unix(1, 0), 1)
		require.Equal(t, "timezone_unknown", fault.CodeOf(err), zone)
	}
	_, err := cron.NextIn("0 0 30 2 *", "", time.Unix(0, 0))
	require.Equal(t, "cron_never", fault.CodeOf(err))
	_, _, err = cron.BetweenIn("no", "", time.Unix(0, 0), time.Unix(1, 0), 1)
	require.Equal(t, "cron_invalid", fault.CodeOf(err))
}

// What lies between two times is bounded, however far apart they are.
func TestBetween(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last, n, err := cron.BetweenIn("* * * * *", "Europe/Lisbon", from, from.AddDate(1, 0, 0), 3)
	require.NoError(t, err)
	require.Equal(t, 365*24*60, n, "clocks are put forward and back")
	require.Equal(t, []time.Time{from.AddDate(1, 0, 0).Add(-2 * time.Minute), from.AddDate(1, 0, 0).Add(-time.Minute), from.AddDate(1, 0, 0)}, last)
	last, n, err = cron.BetweenIn("0 0 1 1 *", "", from, time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC), 100)
	require.NoError(t, err)
	require.LessOrEqual(t, n, 10)
	require.Equal(t, 9000, last[len(last)-1].Year())
	last, n, err = cron.BetweenIn("0 3 * * *", "", from, from, 5)
	require.NoError(t, err)
	require.Empty(t, last)
	require.Zero(t, n)
}

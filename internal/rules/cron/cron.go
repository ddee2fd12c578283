// Package cron reads cron lines of five fields: minute, hour, day of the month,
// month and day of the week, each a `*`, a number, a range, or several of them
// with commas, and each of these with a /step. Months and days have names too.
// As everywhere, a day will do where either kind of day matches, once both are
// restricted; `7` and the words @daily and the like are not read.
//
// It reads no clock and knows no time zone but that of the time it is given.
package cron

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// field is a set of numbers below 64.
type field uint64

func (f field) has(n int) bool { return f&(1<<n) != 0 }

// limits are those of the five fields, with the words that stand for numbers.
var limits = [5]struct {
	least, most int
	words       []string
}{
	{0, 59, nil}, {0, 23, nil}, {1, 31, nil},
	{1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{0, 6, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

// Line is a cron line. It is immutable.
type Line struct {
	minute, hour, day, month, weekday field
	anyDay, anyWeekday                bool
}

// Parse reads a line; it fails with cron_invalid.
func Parse(line string) (*Line, error) {
	parts := strings.Fields(line)
	if len(parts) != 5 {
		return nil, invalid(line)
	}
	var fields [5]field
	for i, part := range parts {
		for _, one := range strings.Split(part, ",") {
			f, ok := parse(one, i)
			if !ok {
				return nil, invalid(line)
			}
			fields[i] |= f
		}
	}
	return &Line{fields[0], fields[1], fields[2], fields[3], fields[4],
		strings.HasPrefix(parts[2], "*"), strings.HasPrefix(parts[4], "*")}, nil
}

func invalid(line string) error {
	return fault.Newf(fault.Invalid, "cron_invalid", "%q is no cron line; write minute, hour, day, month and weekday, such as \"0 3 * * *\"", line)
}

// parse reads `*`, `a`, `a-z`, each with `/step` behind it.
func parse(part string, i int) (field, bool) {
	part, by, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(by); err != nil || step < 1 {
			return 0, false
		}
	}
	from, to := limits[i].least, limits[i].most
	if part != "*" {
		a, z, ranged := strings.Cut(part, "-")
		var ok, ok2 bool
		from, ok = number(a, i)
		switch {
		case ranged:
			to, ok2 = number(z, i)
		case stepped:
			ok2 = true // to the end
		default:
			to, ok2 = from, true
		}
		if !ok || !ok2 || from > to {
			return 0, false
		}
	}
	var f field
	for n := from; n <= to && n >= from; n += step {
		f |= 1 << n
	}
	return f, true
}

func number(s string, i int) (int, bool) {
	if n := slices.Index(limits[i].words, strings.ToLower(s)); n >= 0 {
		return n + limits[i].least, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= limits[i].least && n <= limits[i].most
}

// horizon is how many days are searched: 29 February comes at least every
// eight years.
const horizon = 366 * 9

// Next is the first time after another at which the line runs, in the time zone
// of that time; false where there is none. An hour that a clock skips brings no
// run, one that it repeats brings one.
func (l *Line) Next(after time.Time) (time.Time, bool) {
	year, month, day := after.Date()
	for n := range horizon {
		at := time.Date(year, month, day+n, 12, 0, 0, 0, after.Location())
		if !l.names(at) {
			continue
		}
		for hour := range 24 {
			if !l.hour.has(hour) {
				continue
			}
			for minute := range 60 {
				if !l.minute.has(minute) {
					continue
				}
				y, m, d := at.Date()
				t := time.Date(y, m, d, hour, minute, 0, 0, after.Location())
				if t.Hour() == hour && t.Minute() == minute && t.After(after) {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

// names says that the line runs on a day.
func (l *Line) names(day time.Time) bool {
	if !l.month.has(int(day.Month())) {
		return false
	}
	inMonth, inWeek := l.day.has(day.Day()), l.weekday.has(int(day.Weekday()))
	if l.anyDay || l.anyWeekday {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

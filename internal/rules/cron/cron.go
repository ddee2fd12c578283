// Package cron says when cron lines of five fields run: minute, hour, day of the
// month, month and day of the week, as github.com/robfig/cron reads them. As
// everywhere, a day will do where either kind of day matches, once both are
// restricted. What differs from that library is where clocks are changed: Next.
package cron

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/danvoulez/logline/internal/fault"
)

// Line is a cron line. It is immutable.
type Line struct{ at *cron.SpecSchedule }

var fields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Parse reads a line; it fails with cron_invalid. Words such as @daily are not
// read, nor a time zone before the fields.
func Parse(line string) (*Line, error) {
	if !strings.Contains(line, "=") {
		if parsed, err := fields.Parse(line); err == nil {
			if at, ok := parsed.(*cron.SpecSchedule); ok {
				return &Line{at}, nil
			}
		}
	}
	return nil, fault.Newf(fault.Invalid, "cron_invalid", "%q is no cron line; write minute, hour, day, month and weekday, such as \"0 3 * * *\"", line)
}

// has says that a field names a number.
func has(field uint64, n int) bool { return field&(1<<n) != 0 }

// unrestricted says that a field is a star.
func unrestricted(field uint64) bool { return has(field, 63) }

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
			if !has(l.at.Hour, hour) {
				continue
			}
			for minute := range 60 {
				if !has(l.at.Minute, minute) {
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
	if !has(l.at.Month, int(day.Month())) {
		return false
	}
	inMonth, inWeek := has(l.at.Dom, day.Day()), has(l.at.Dow, int(day.Weekday()))
	if unrestricted(l.at.Dom) || unrestricted(l.at.Dow) {
		return inMonth && inWeek
	}
	return inMonth || inWeek
}

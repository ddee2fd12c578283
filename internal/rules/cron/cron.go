// Package cron says when cron lines of five fields run: minute, hour, day of the
// month, month and day of the week, as github.com/robfig/cron reads them. As
// everywhere, a day will do where either kind of day matches, once both are
// restricted. What differs from that library is where clocks are changed:
//
// A line that names hours runs once for each time that it names. What falls into
// an hour that a clock skips runs as it is put forward; what falls into one that
// is repeated runs the first time. A line for every hour goes by the clock as
// people see it: it runs in both of the repeated hours, and in none that is not.
package cron

import (
	"slices"
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
// of that time; false where there is none.
func (l *Line) Next(after time.Time) (time.Time, bool) {
	year, month, day := after.Date()
	for n := range horizon {
		for _, t := range l.on(noon(year, month, day+n, after.Location())) {
			if t.After(after) {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// Between are the times after one and not after another at which the line runs,
// in the time zone of the first, in order: the last of them, at most keep, and how
// many there are. Where the two are further apart than what is searched, those of
// the end are counted.
func (l *Line) Between(after, until time.Time, keep int) (last []time.Time, n int) {
	until = until.In(after.Location())
	if begin := until.AddDate(0, 0, -horizon); after.Before(begin) {
		after = begin
	}
	year, month, day := after.Date()
	for d := 0; ; d++ {
		at := noon(year, month, day+d, after.Location())
		for _, t := range l.on(at) {
			if t.After(after) && !t.After(until) {
				n++
				last, after = append(last, t), t // a day that a zone has left out is its neighbour
			}
		}
		if len(last) > 2*keep {
			last = append(last[:0], last[len(last)-keep:]...)
		}
		if at.After(until.AddDate(0, 0, 1)) {
			return last[max(0, len(last)-keep):], n
		}
	}
}

func noon(year int, month time.Month, day int, in *time.Location) time.Time {
	return time.Date(year, month, day, 12, 0, 0, 0, in)
}

// aroundNoon is further from noon than either end of its day, however clocks are
// changed.
const aroundNoon = 16 * time.Hour

// on are the times at which the line runs on a day, in order.
func (l *Line) on(noon time.Time) (out []time.Time) {
	if !l.names(noon) {
		return nil
	}
	begin, end := noon.ZoneBounds()
	changed := !begin.IsZero() && noon.Sub(begin) < aroundNoon || !end.IsZero() && end.Sub(noon) < aroundNoon
	for hour := range 24 {
		if !has(l.at.Hour, hour) {
			continue
		}
		for minute := range 60 {
			switch {
			case !has(l.at.Minute, minute):
			case changed:
				out = append(out, l.changed(noon, hour, minute)...)
			default:
				out = append(out, noon.Add(time.Duration(hour-12)*time.Hour+time.Duration(minute)*time.Minute))
			}
		}
	}
	if changed {
		slices.SortFunc(out, time.Time.Compare)
		out = slices.CompactFunc(out, time.Time.Equal)
	}
	return out
}

// changed are the times at which the line runs for one that it names, on a day on
// which the clock is changed.
func (l *Line) changed(noon time.Time, hour, minute int) []time.Time {
	year, month, day := noon.Date()
	t := time.Date(year, month, day, hour, minute, 0, 0, noon.Location())
	begin, end := t.ZoneBounds()
	everyHour := unrestricted(l.at.Hour)
	if t.Hour() != hour || t.Minute() != minute { // the clock skips it
		switch {
		case everyHour:
			return nil
		case wall(t).After(time.Date(year, month, day, hour, minute, 0, 0, time.UTC)):
			return []time.Time{begin}
		}
		return []time.Time{end}
	}
	first, second := t, t
	if back := shift(begin); back > 0 && t.Sub(begin) < back {
		first = t.Add(-back)
	}
	if back := shift(end); back > 0 && end.Sub(t) <= back {
		second = t.Add(back)
	}
	if everyHour && !first.Equal(second) {
		return []time.Time{first, second}
	}
	return []time.Time{first}
}

// wall is what the clock shows at a time, as if it were UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// shift is how far the clock is put back at a time; below zero, forward.
func shift(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	_, before := at.Add(-time.Nanosecond).Zone()
	_, after := at.Zone()
	return time.Duration(before-after) * time.Second
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

package cron

import (
	"time"
	_ "time/tzdata" // not every machine has the tables

	"github.com/danvoulez/logline/internal/fault"
)

// NextIn is the first time after another that a line names in a time zone of the
// IANA database, "" being UTC. It is in UTC. Fails with cron_invalid,
// timezone_unknown, or cron_never where no such time is to come.
func NextIn(line, zone string, after time.Time) (time.Time, error) {
	l, at, err := in(line, zone)
	if err != nil {
		return time.Time{}, err
	}
	next, ok := l.Next(after.In(at))
	if !ok {
		return next, fault.Newf(fault.Invalid, "cron_never", "the cron line %q names no time to come", line)
	}
	return next.UTC(), nil
}

// BetweenIn are the last times, at most keep, after one and not after another that
// a line names in a time zone, in UTC, and how many there are (Line.Between). Fails
// with cron_invalid and timezone_unknown.
func BetweenIn(line, zone string, after, until time.Time, keep int) (last []time.Time, n int, err error) {
	l, at, err := in(line, zone)
	if err != nil {
		return nil, 0, err
	}
	last, n = l.Between(after.In(at), until, keep)
	for i := range last {
		last[i] = last[i].UTC()
	}
	return last, n, nil
}

func in(line, zone string) (*Line, *time.Location, error) {
	at, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // which is another on each machine
		return nil, nil, fault.Newf(fault.Invalid, "timezone_unknown",
			"there is no time zone %q; write a name of the IANA database, such as \"Europe/Lisbon\"", zone).Because(err)
	}
	l, err := Parse(line)
	return l, at, err
}

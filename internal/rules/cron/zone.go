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
	at, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, fault.Newf(fault.Invalid, "timezone_unknown", "there is no time zone %s", zone).Because(err)
	}
	l, err := Parse(line)
	if err != nil {
		return time.Time{}, err
	}
	next, ok := l.Next(after.In(at))
	if !ok {
		return next, fault.Newf(fault.Invalid, "cron_never", "the cron line %q names no time to come", line)
	}
	return next.UTC(), nil
}

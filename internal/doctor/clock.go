package doctor

import (
	"time"

	"github.com/danvoulez/logline/internal/span"
)

// How far clocks may be apart.
const (
	smallSkew = 2 * time.Second // beside what the answer took
	largeSkew = 30 * time.Second
)

// Clock checks this machine's clock against the last time that was recorded ("" for
// none): what is recorded is never in the future.
func (r *Report) Clock(now time.Time, lastRecorded string) {
	if lastRecorded == "" {
		r.OK("clock", "it is %s here; nothing is recorded yet to compare it with", span.FormatTime(now))
		return
	}
	last, err := span.ParseTime(lastRecorded)
	if err != nil {
		r.Fail("clock", "run logline fsck", "the time of the last entry cannot be read")
		return
	}
	const do = "set the clock, and keep it by NTP; times recorded are never earlier than the last, so that a clock that was ahead goes on in them"
	if ahead := last.Sub(now); ahead > largeSkew {
		r.Fail("clock", do, "this machine's clock is %s behind what was recorded last (%s)", About(ahead), lastRecorded)
		return
	}
	r.OK("clock", "it is %s here, and the last entry is of %s", span.FormatTime(now), lastRecorded)
}

// Skew checks this machine's clock against a server's, whose answer, with its date,
// took as long as took.
func (r *Report) Skew(now, theirs time.Time, took time.Duration) {
	skew := now.Sub(theirs).Abs() - took - time.Second // a Date header tells no parts of a second
	const do = "set the clocks of both machines by NTP: tokens live for minutes, and spans' times may be minutes off at most"
	switch {
	case skew > largeSkew:
		r.Fail("clock of the server", do, "the server's clock and this one are %s apart", About(skew))
	case skew > smallSkew:
		r.Warn("clock of the server", do, "the server's clock and this one are %s apart", About(skew))
	default:
		r.OK("clock of the server", "it agrees with this one")
	}
}

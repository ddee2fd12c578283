package ui

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Bar shows how far a long operation is: on a terminal one line that is drawn
// again in place, elsewhere a plain line now and then. Not for concurrent use.
type Bar struct {
	w     io.Writer
	label string
	live  bool
	width int
	now   func() time.Time

	drawn time.Time // when the last line was written
	last  string    // what stands on the terminal now
}

// NewBar makes a bar. live says that w is a terminal; width is its width in
// columns, 0 when unknown.
func NewBar(w io.Writer, label string, live bool, width int, now func() time.Time) *Bar {
	if width <= 0 {
		width = 80
	}
	return &Bar{w: w, label: label, live: live, width: width, now: now, drawn: now()}
}

// How often a bar is drawn again at most, and how often a plain line is written.
const (
	liveEvery  = 80 * time.Millisecond
	plainEvery = 5 * time.Second
)

// Update shows done of total (negative: unknown) after elapsed. Calls that come
// too soon after the last drawing show nothing.
func (b *Bar) Update(done, total int64, elapsed time.Duration) {
	every := plainEvery
	if b.live {
		every = liveEvery
	}
	if now := b.now(); now.Sub(b.drawn) >= every || (b.live && b.last == "") {
		b.drawn = now
		b.draw(done, total, elapsed)
	}
}

// Finish takes the bar off a terminal; elsewhere it does nothing. What came of
// the operation is for the caller to say.
func (b *Bar) Finish() {
	if b.live && b.last != "" {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", utf8.RuneCountInString(b.last)))
		b.last = ""
	}
}

func (b *Bar) draw(done, total int64, elapsed time.Duration) {
	rate := 0.0
	if s := elapsed.Seconds(); s > 0 {
		rate = float64(done) / s
	}
	if !b.live {
		if total > 0 {
			fmt.Fprintf(b.w, "%s: %s of %s (%d%%), %s/s%s\n", b.label,
				Count(done), Count(total), done*100/total, Count(int64(rate)), eta(done, total, rate))
		} else {
			fmt.Fprintf(b.w, "%s: %s, %s/s\n", b.label, Count(done), Count(int64(rate)))
		}
		return
	}
	line := fmt.Sprintf("%s  %s  %s/s", b.label, Count(done), Count(int64(rate)))
	if total > 0 {
		tail := fmt.Sprintf("%3d%%  %s/%s  %s/s%s", done*100/total, Count(done), Count(total), Count(int64(rate)), eta(done, total, rate))
		room := min(40, b.width-1-utf8.RuneCountInString(b.label)-utf8.RuneCountInString(tail)-4)
		bar := ""
		if room >= 5 {
			full := int(float64(room) * math.Min(1, float64(done)/float64(total)))
			bar = strings.Repeat("█", full) + strings.Repeat("░", room-full) + "  "
		}
		line = b.label + "  " + bar + tail
	}
	line = Cut(line, b.width-1)
	pad := max(0, utf8.RuneCountInString(b.last)-utf8.RuneCountInString(line))
	fmt.Fprintf(b.w, "\r%s%s", line, strings.Repeat(" ", pad))
	b.last = line
}

// eta is the time left, "" when it cannot be told.
func eta(done, total int64, rate float64) string {
	if rate <= 0 || done >= total || done == 0 {
		return ""
	}
	return ", " + Duration(time.Duration(float64(total-done)/rate*float64(time.Second))) + " left"
}

// Duration is d as people say it: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min.
func Duration(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Count is n with its thousands apart: 13,019.
func Count(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Plural is "1 entry" or "13,019 entries".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

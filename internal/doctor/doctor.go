// Package doctor looks at a node and says what is wrong, or will be, and what to
// do about it: its database, its files, the age of its keys and backups, its clock,
// and how it answers. It changes nothing, and shows no secret.
package doctor

import (
	"fmt"
	"time"
)

// State is how a check came out.
type State string

// The states, from good to bad.
const (
	OK   State = "ok"
	Warn State = "warn" // it works, and something should be changed
	Fail State = "fail" // it does not work, will not much longer, or others can get at what is secret
)

// Finding is what one check found.
type Finding struct {
	Check string `json:"check"`        // its name, stable
	State State  `json:"state"`        //
	Found string `json:"found"`        // in a sentence
	Do    string `json:"do,omitempty"` // what to change; "" for nothing
}

// Report is all findings, in the order in which they were made.
type Report struct {
	Findings []Finding `json:"findings"`
}

// OK adds what is as it should be.
func (r *Report) OK(check, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, State: OK, Found: fmt.Sprintf(format, args...)})
}

// Warn adds what should be changed.
func (r *Report) Warn(check, do, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, State: Warn, Found: fmt.Sprintf(format, args...), Do: do})
}

// Fail adds what has to be changed.
func (r *Report) Fail(check, do, format string, args ...any) {
	r.Findings = append(r.Findings, Finding{Check: check, State: Fail, Found: fmt.Sprintf(format, args...), Do: do})
}

// Count is how many findings are in a state.
func (r *Report) Count(s State) (n int) {
	for _, f := range r.Findings {
		if f.State == s {
			n++
		}
	}
	return n
}

// About is a span of time for people, in its largest unit.
func About(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

package replay

import "encoding/json"

// Report is what came out otherwise.
type Report struct {
	Mode      Mode     `json:"mode"`
	From      uint64   `json:"from"`
	To        uint64   `json:"to"`                  // the first entry that was not taken
	Contracts []string `json:"contracts,omitempty"` // given, name@version#hash

	Entries    int `json:"entries"`    // of the range
	Decided    int `json:"decided"`    // again
	Same       int `json:"same"`       // of these
	Unselected int `json:"unselected"` // Selective: not chosen
	Attempts   int `json:"attempts"`   // refused then: the record has no content to decide again
	// Of those that are the same: in whose texts names stand, which are not
	// recorded; and whose texts are erased, so that the rest was compared.
	Named  int `json:"named"`
	Unread int `json:"unread"`
	// Uncounted entries, whose payloads are gone, are missing in what the given
	// contracts sum up.
	Uncounted int `json:"uncounted"`

	UndecidedCount int         `json:"undecided_count"`
	Undecided      []Undecided `json:"undecided,omitempty"` // the first

	DifferenceCount int            `json:"difference_count"`
	Differing       map[string]int `json:"differing"`             // entries, by what is otherwise
	Differences     []Difference   `json:"differences,omitempty"` // the first

	// Full: what the node would have done by itself and the record has not.
	ExtraCount int     `json:"extra_count"`
	Extra      []Extra `json:"extra,omitempty"` // the first
}

// Differs says that something came out otherwise.
func (r *Report) Differs() bool { return r.DifferenceCount+r.ExtraCount > 0 }

// Difference is an entry that comes out otherwise.
type Difference struct {
	Seq        uint64   `json:"seq"`
	Span       string   `json:"span"`
	Type       string   `json:"type"`
	Author     string   `json:"author"`
	Subject    string   `json:"subject,omitempty"`
	RecordedAt string   `json:"recorded_at"`
	Was        string   `json:"was"` // outcome
	Now        string   `json:"now"`
	Rule       string   `json:"rule,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Changes    []Change `json:"changes"`
}

// Change is a member of a decision or of its detail that is otherwise: outcome,
// rules, tags, transitions, effects.quotas, detail.reasons, …
type Change struct {
	What string          `json:"what"`
	Was  json.RawMessage `json:"was,omitempty"` // absent: there was none
	Now  json.RawMessage `json:"now,omitempty"`
}

// Undecided is an entry that cannot be decided again.
type Undecided struct {
	Seq  uint64 `json:"seq"`
	Span string `json:"span"`
	Type string `json:"type"`
	Why  string `json:"why"` // redacted, private
}

// Extra is something that the node would have done by itself.
type Extra struct {
	At   uint64 `json:"at"` // before the entry of this seq
	What string `json:"what"`
}

func (r *Replay) extra(x Extra) {
	r.report.ExtraCount++
	if len(r.report.Extra) < r.opt.Keep {
		r.report.Extra = append(r.report.Extra, x)
	}
}

package bundle

import (
	"fmt"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Cosigned is what the checkpoint has of what the options' policy asks for.
type Cosigned struct {
	Quorum    string        `json:"quorum"` // its name in the policy, "none" if it asks for no cosignature
	QuorumMet bool          `json:"quorum_met"`
	LogListed bool          `json:"log_listed"` // the checkpoint is by a log that the policy names
	By        []Cosignature `json:"by"`
}

// Cosignature is one witness's, and verifies.
type Cosignature struct {
	Witness string `json:"witness"` // its name in the policy
	Key     string `json:"key"`     // name of its key
	Time    string `json:"time"`    // when it says that it saw the checkpoint
}

// words is what a verdict says of a policy that holds.
func (c *Cosigned) words() string {
	switch {
	case c == nil || c.Quorum == policy.None:
		return ""
	case len(c.By) == 1:
		return fmt.Sprintf("; cosigned by 1 witness, quorum %s met", c.Quorum)
	}
	return fmt.Sprintf("; cosigned by %d witnesses, quorum %s met", len(c.By), c.Quorum)
}

// ofPins are the problems that say nothing against the bundle itself: it is
// not what the caller asked to believe.
var ofPins = map[string]bool{
	"cosignatures_missing": true, "cosignature_invalid": true, "log_not_in_policy": true,
	"node_not_pinned": true, "checkpoint_not_pinned": true, "checkpoint_not_comparable": true, "checkpoint_stale": true,
}

// endPolicy holds the checkpoint against the policy: by one of its logs where
// it names any, and cosigned by its quorum. A policy that asks for neither pins
// nothing, and so do cosignatures of size 0, which say nothing about any entry.
func (v *verification) endPolicy() {
	p := v.opt.Policy
	if p == nil {
		return
	}
	if v.note == nil { // a problem already
		v.rep.Cosigned = &Cosigned{Quorum: printable(p.Quorum()), By: []Cosignature{}}
		return
	}
	c, r := CosignedBy(p, v.note)
	v.rep.Cosigned = c
	for _, name := range r.Invalid {
		v.bad("cosignature_invalid", fmt.Sprintf("a signature under the key of witness %s is not a cosignature of this checkpoint of %d entries", name, v.note.Size))
	}
	if !r.QuorumMet {
		v.bad("cosignatures_missing", fmt.Sprintf("the policy's quorum has not cosigned the checkpoint of %d entries: %s", v.note.Size, shortages(r.Missing)))
	}
	if r.Unknown > 0 {
		v.remark(fmt.Sprintf("%d signatures of the checkpoint are by keys that the policy does not name, and were ignored", r.Unknown))
	}
	switch {
	case !p.NamesLogs():
		v.vouched = p.Quorum() != policy.None && v.note.Size > 0
	case c.LogListed:
		v.pinned = true
	default:
		v.bad("log_not_in_policy", fmt.Sprintf("the checkpoint is by %s; that log, with the key that signed, is none of those the policy names", v.note.Origin))
	}
}

// CosignedBy is what a checkpoint has of what a policy asks for, as a report says
// it, and as the policy does.
func CosignedBy(p *policy.Policy, n *tree.Note) (*Cosigned, policy.Result) {
	r := p.Evaluate(n)
	c := &Cosigned{Quorum: printable(p.Quorum()), By: []Cosignature{}, QuorumMet: r.QuorumMet, LogListed: r.Log != ""}
	for _, by := range r.Cosigned {
		c.By = append(c.By, Cosignature{Witness: printable(by.Witness), Key: printable(by.Key), Time: span.FormatTime(by.Time)})
	}
	return c, r
}

// shortages puts the first few into words.
func shortages(list []policy.Shortage) string {
	const most = 10
	var words []string
	for i, s := range list {
		if i == most {
			words = append(words, fmt.Sprintf("and %d groups more", len(list)-most))
			break
		}
		words = append(words, s.String())
	}
	return strings.Join(words, "; ")
}

package policy

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/timeline/tree"
)

// maxTime is the last second of the year 9999. The specification lets a verifier
// refuse cosignatures of the future; these are, by any clock.
const maxTime = 253402300799

// Result is what a checkpoint has of what a policy asks for.
type Result struct {
	Log       string        // verifier key of the policy's log that signed it; "" for none of them
	Cosigned  []Cosignature // that verify, one for each witness, in the policy's order
	Invalid   []string      // witnesses under whose key there is a signature that does not verify
	Unknown   int           // signature lines by keys that are neither the log's nor in the policy
	QuorumMet bool          // true for the quorum none
	Missing   []Shortage    // what the quorum lacks, from the quorum down; nil if it is met
}

// Cosignature is a witness's statement that at Time this was the largest
// checkpoint of the log it had seen, and consistent with all it saw before.
type Cosignature struct {
	Witness string // its name in the policy: any octets
	Key     string // name of its key
	Time    time.Time
}

// Shortage is a group, or a single witness, that has not cosigned.
type Shortage struct {
	Name       string
	Have, Need int
	Wanting    []string // members that have not; nil for a witness
}

// String is the shortage in words.
func (s Shortage) String() string {
	if s.Wanting == nil {
		return "there is no cosignature by " + s.Name
	}
	names := s.Wanting
	more := ""
	if cut := len(names) - maxNames; cut > 0 {
		names, more = names[:maxNames], fmt.Sprintf(" and %d more", cut)
	}
	return fmt.Sprintf("group %s has %d of the %d it needs (without %s%s)", s.Name, s.Have, s.Need, strings.Join(names, ", "), more)
}

// maxNames is how many members a Shortage puts into words.
const maxNames = 10

// Evaluate holds a checkpoint against the policy. A witness that cosigned
// several times counts once, with its latest time. Signatures by keys that the
// policy does not name are ignored, as signed notes ask; more signatures never
// make a quorum that was met fail.
func (p *Policy) Evaluate(n *tree.Note) Result {
	var r Result
	for _, log := range p.logs {
		if log.name == n.Origin.String() && n.Verify(log.vkey) == nil {
			r.Log = log.vkey
			break
		}
	}
	known := 0
	met := make([]bool, len(p.nodes))
	shortages := make([]Shortage, len(p.nodes))
	for i, at := range p.nodes {
		if at.witness != nil {
			times, invalid := at.witness.cosignatures(n)
			known += len(times) + invalid
			met[i] = len(times) > 0
			if met[i] {
				r.Cosigned = append(r.Cosigned, Cosignature{Witness: at.name, Key: at.witness.name, Time: latest(times)})
			}
			if invalid > 0 {
				r.Invalid = append(r.Invalid, at.name)
			}
			shortages[i] = Shortage{Name: at.name, Need: 1}
			continue
		}
		s := Shortage{Name: at.name, Need: at.need}
		for _, m := range at.members {
			if met[m] {
				s.Have++
			} else {
				s.Wanting = append(s.Wanting, p.nodes[m].name)
			}
		}
		met[i], shortages[i] = s.Have >= s.Need, s
	}
	for _, sig := range n.Signatures {
		if sig.Name == n.Origin.String() {
			known++
		}
	}
	r.Unknown = max(0, len(n.Signatures)-known)
	r.QuorumMet = p.quorum < 0 || met[p.quorum]
	if !r.QuorumMet {
		r.Missing = p.missing(met, shortages)
	}
	return r
}

// missing walks from the quorum down through what is not met. Members lie before
// their group, so one way back over the nodes meets every group before its members.
func (p *Policy) missing(met []bool, shortages []Shortage) []Shortage {
	var out []Shortage
	asked := make([]bool, len(p.nodes))
	asked[p.quorum] = true
	for i := p.quorum; i >= 0; i-- {
		if !asked[i] || met[i] || p.nodes[i].witness != nil && i != p.quorum {
			continue
		}
		out = append(out, shortages[i])
		for _, m := range p.nodes[i].members {
			asked[m] = true
		}
	}
	return out
}

// cosignatures gives the times of the witness's cosignatures that verify, and
// how many under its key do not.
func (w *witness) cosignatures(n *tree.Note) (times []uint64, invalid int) {
	for _, sig := range n.Signatures {
		if sig.Name != w.name || sig.KeyHash != w.hash {
			continue
		}
		if !w.verifier.Verify([]byte(n.Text()), sig.Value) {
			invalid++
			continue
		}
		t := binary.BigEndian.Uint64(sig.Value) // a signature that verifies begins with its time
		if t > maxTime {
			invalid++
			continue
		}
		times = append(times, t)
	}
	return times, invalid
}

func latest(times []uint64) time.Time {
	var last uint64
	for _, t := range times {
		last = max(last, t)
	}
	return time.Unix(int64(last), 0).UTC()
}

package systemtest

import (
	"fmt"
	"slices"
)

// figures are what rounds of one kind came to.
type figures struct {
	Rounds       int            `json:"rounds"`
	Kills        int            `json:"kills"`
	Counts       map[string]int `json:"counts"` // of moments and ways to kill
	Entries      uint64         `json:"entries"`
	Acknowledged int            `json:"acknowledged"`
	Lost         int            `json:"lost"`
	Resent       int            `json:"resent"` // unanswered, and sent again
	Refused      int            `json:"refused"`
	Redactions   int            `json:"redactions"`
	Reverts      int            `json:"reverts"`
	Roles        int            `json:"roles"`
	Rotations    int            `json:"rotations"`
	Checkpoints  int            `json:"checkpoints"` // different ones
	Proofs       int            `json:"proofs"`      // of consistency
	Monitored    int            `json:"monitored"`   // logline verify at the node
	Verified     int            `json:"verified"`    // logline verify of a bundle
	Fsck         int            `json:"fsck"`
	Ready        []int          `json:"ready_ms"` // until a span was acknowledged again
	Seconds      float64        `json:"seconds"`
}

func (f *figures) count(what string, n int) {
	if f.Counts == nil {
		f.Counts = map[string]int{}
	}
	f.Counts[what] += n
}

// tally adds what the ledgers of a tenant hold.
func (f *figures) tally(w *ward) {
	l := w.ledger
	f.Entries += w.socket.size()
	f.Acknowledged += len(l.acks)
	f.Refused += len(l.refused)
	f.Roles += w.changes.roles
	f.Checkpoints += len(w.seen.roots)
	f.count("deals paid", len(w.deals.paid))
	f.count("deals voted through", len(w.deals.settled))
	for by := range w.changes.redacted {
		if l.acks[by] != nil {
			f.Redactions++
		}
	}
	for by := range w.changes.reverted {
		if l.acks[by] != nil {
			f.Reverts++
		}
	}
}

func (f *figures) add(g *figures) {
	for what, n := range g.Counts {
		f.count(what, n)
	}
	f.Rounds += g.Rounds
	f.Kills += g.Kills
	f.Entries += g.Entries
	f.Acknowledged += g.Acknowledged
	f.Lost += g.Lost
	f.Resent += g.Resent
	f.Refused += g.Refused
	f.Redactions += g.Redactions
	f.Reverts += g.Reverts
	f.Roles += g.Roles
	f.Rotations += g.Rotations
	f.Checkpoints += g.Checkpoints
	f.Proofs += g.Proofs
	f.Monitored += g.Monitored
	f.Verified += g.Verified
	f.Fsck += g.Fsck
	f.Ready = append(f.Ready, g.Ready...)
	f.Seconds += g.Seconds
}

// ready is the middle and the longest time until spans were taken again.
func (f *figures) ready() (p50, most int) {
	if len(f.Ready) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(f.Ready))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}

func (f *figures) String() string {
	p50, most := f.ready()
	return fmt.Sprintf("%d rounds, %d kills, %d acknowledged, %d lost, %d sent again, %d checkpoints, %d proofs, ready again p50 %d ms, max %d ms, %.0f s",
		f.Rounds, f.Kills, f.Acknowledged, f.Lost, f.Resent, f.Checkpoints, f.Proofs, p50, most, f.Seconds)
}

package policy

import (
	"encoding/binary"
	"time"

	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Line says whose a signature line of a note is.
type Line struct {
	Witness string // its name in the policy; "" for a key that the policy does not name
	Valid   bool   // it is that witness's cosignature of the note
	Time    time.Time
}

// Line judges one signature of a note: whether it is under the key of a witness
// of the policy, and is that witness's cosignature.
func (p *Policy) Line(n *tree.Note, sig tree.NoteSignature) Line {
	for _, at := range p.nodes {
		if at.witness == nil || at.witness.name != sig.Name || at.witness.hash != sig.KeyHash {
			continue
		}
		l := Line{Witness: at.name}
		if !at.witness.verifier.Verify([]byte(n.Text()), sig.Value) {
			return l
		}
		if t := binary.BigEndian.Uint64(sig.Value); t <= maxTime {
			l.Valid, l.Time = true, time.Unix(int64(t), 0).UTC()
		}
		return l
	}
	return Line{}
}

// Witnesses is how many witnesses the policy names.
func (p *Policy) Witnesses() (n int) {
	for _, at := range p.nodes {
		if at.witness != nil {
			n++
		}
	}
	return n
}

package bundle

import (
	"fmt"

	"github.com/danvoulez/logline/internal/span"
)

// endRedactions looks for the redaction of what is withheld as redacted: a
// payload that nobody recorded the erasure of was not erased by right. It can be
// told only where all of the timeline up to the checkpoint could be read.
func (v *verification) endRedactions() {
	if v.note == nil || v.h.To != v.note.Size || v.f.standing == nil || v.f.hidden {
		return
	}
	seqs := v.f.unexplained()
	if v.opt.LiveRedactions {
		v.rep.unexplained = seqs
		return
	}
	for _, seq := range seqs {
		line := 1
		if seq >= v.h.From {
			line = int(seq-v.h.From) + 2
		}
		v.errs.add(RedactionMissing(seq, line, v.note.Size))
	}
}

// RedactionMissing is the problem of an entry withheld as redacted where none of
// the size entries redacts it.
func RedactionMissing(seq uint64, line int, size uint64) Problem {
	return Problem{Line: line, Seq: seq, Code: "redaction_missing", Reason: fmt.Sprintf(
		"entry %d is withheld as redacted, yet no %s among the %d entries names it: it is withheld without right, unless it was redacted while this was being exported; export again", seq, span.TypeRedaction, size)}
}

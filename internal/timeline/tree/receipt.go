package tree

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const (
	proofHeader  = "c2sp.org/tlog-proof@v1"
	maxExtra     = 128 << 10 // bytes; a line is at most 65,535
	maxProofPath = 63        // hashes of an inclusion proof
)

// ProofFile is a receipt as a file (C2SP tlog-proof v1, extension .tlog-proof).
// Extra is unauthenticated by itself: LogLine puts the entry's line there, whose
// leaf hash the proof then vouches for.
type ProofFile struct {
	Extra      []byte // nil when absent
	Index      uint64
	Hashes     []span.Hash
	Checkpoint []byte // signed note
}

// Marshal writes the file.
func (p *ProofFile) Marshal() []byte {
	var b bytes.Buffer
	b.WriteString(proofHeader + "\n")
	if p.Extra != nil {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Extra))
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h[:]))
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProofFile reads what Marshal writes, strictly, and checks the form of the
// checkpoint in it. It verifies nothing: see Verify. The error's code is
// proof_file_invalid or checkpoint_invalid.
func ParseProofFile(src []byte) (*ProofFile, error) {
	if len(src) > 2*maxExtra+MaxNoteSize {
		return nil, proofFileInvalid("it is too large")
	}
	head, checkpoint, ok := bytes.Cut(src, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != proofHeader {
		return nil, proofFileInvalid("it does not begin with the line %s, or has no checkpoint after an empty line", proofHeader)
	}
	p := &ProofFile{Checkpoint: checkpoint}
	lines = lines[1:]
	if len(lines) > 0 {
		if b64, ok := strings.CutPrefix(lines[0], "extra "); ok {
			extra, err := base64.StdEncoding.Strict().DecodeString(b64)
			if err != nil || len(extra) > maxExtra || strings.Contains(b64, "\r") {
				return nil, proofFileInvalid("its extra data is not base64 of at most %d bytes", maxExtra)
			}
			p.Extra, lines = extra, lines[1:]
		}
	}
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "index ") {
		return nil, proofFileInvalid("it has no index line")
	}
	var err error
	if p.Index, err = parseDecimal(strings.TrimPrefix(lines[0], "index ")); err != nil {
		return nil, proofFileInvalid("its index is not a decimal number")
	}
	if len(lines)-1 > maxProofPath {
		return nil, proofFileInvalid("it has more than %d hashes", maxProofPath)
	}
	for _, line := range lines[1:] {
		h, ok := decodeHash(line)
		if !ok {
			return nil, proofFileInvalid("a hash is not base64 of 32 bytes")
		}
		p.Hashes = append(p.Hashes, h)
	}
	if _, err := ParseNote(p.Checkpoint); err != nil {
		return nil, err
	}
	return p, nil
}

// Verify checks that the leaf is at p.Index under p.Checkpoint and that the
// log's key vkey signed it.
func (p *ProofFile) Verify(leaf span.Hash, vkey string) (Checkpoint, error) {
	c, err := OpenNote(p.Checkpoint, vkey)
	if err != nil {
		return Checkpoint{}, err
	}
	return c, VerifyInclusion(leaf, p.Index, c.Size, p.Hashes, c.Root)
}

func proofFileInvalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "proof_file_invalid", "this is not a proof file: "+fmt.Sprintf(format, args...))
}

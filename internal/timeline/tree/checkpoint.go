package tree

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Limits of a checkpoint note. A log signs once, the rest are cosignatures.
const (
	MaxNoteSize   = 64 << 10 // bytes
	MaxSignatures = 100
)

const signaturePrefix = "— "

// Checkpoint is the head of a timeline (C2SP tlog-checkpoint). A LogLine
// checkpoint has no extension lines.
type Checkpoint struct {
	Origin Origin
	Size   uint64
	Root   span.Hash
}

// Text is the note text: origin, size, root in standard base64, a line each.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// Sign makes the signed note of c, by a Signer made for it alone.
func (c Checkpoint) Sign(key ed25519.PublicKey, sign func(message []byte) []byte) ([]byte, error) {
	s, err := NewSigner(c.Origin, key, sign)
	if err != nil {
		return nil, err
	}
	return s.Sign(c)
}

// Signer signs the checkpoints of one origin. Not safe for concurrent use.
type Signer struct {
	origin   Origin
	key      ed25519.PublicKey
	sign     func(message []byte) []byte
	verifier note.Verifier
	proven   bool // a signature verified: sign has the private half of key
}

// NewSigner makes a signer of an origin's checkpoints. sign gives the Ed25519
// signature, by the private half of key, of exactly the bytes it is handed.
func NewSigner(origin Origin, key ed25519.PublicKey, sign func(message []byte) []byte) (*Signer, error) {
	vkey, err := VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fault.New(fault.Invalid, "log_key_invalid", "the log key does not make a note verifier").Because(err)
	}
	return &Signer{origin: origin, key: slices.Clone(key), sign: sign, verifier: verifier}, nil
}

// Is says whether s signs for an origin under a key; a nil one does not.
func (s *Signer) Is(origin Origin, key ed25519.PublicKey) bool {
	return s != nil && s.origin == origin && s.key.Equal(key)
}

// Sign makes the signed note of a checkpoint of the origin. The first signature
// is verified: one that is not the key's is refused as internal, code
// log_signature_invalid. From then on the key is known to be the right one, and
// verifying, which takes twice as long as signing, would only repeat that.
func (s *Signer) Sign(c Checkpoint) ([]byte, error) {
	if c.Origin != s.origin {
		return nil, fault.Newf(fault.Internal, "log_signature_invalid", "a checkpoint of %s was given to the signer of %s", c.Origin, s.origin)
	}
	text := c.Text()
	sig := s.sign([]byte(text))
	if !s.proven && !s.verifier.Verify([]byte(text), sig) {
		return nil, fault.New(fault.Internal, "log_signature_invalid", "the signer's signature does not verify under the log key")
	}
	s.proven = true
	raw := binary.BigEndian.AppendUint32(nil, s.verifier.KeyHash())
	raw = append(raw, sig...)
	return []byte(text + "\n" + signaturePrefix + s.verifier.Name() + " " + base64.StdEncoding.EncodeToString(raw) + "\n"), nil
}

// Note is a signed checkpoint, taken apart but not believed: see Verify.
type Note struct {
	Checkpoint
	Signatures []NoteSignature
	text       string
}

// Text is the signed text, as received: what a cosignature is over.
func (n *Note) Text() string { return n.text }

// NoteSignature is one signature line of a note.
type NoteSignature struct {
	Name    string // of the key: the origin for the log's own
	KeyHash uint32
	Value   []byte
}

// AppendSignatures adds signature lines to a signed note, leaving out those of a
// key that has signed it already, and those beyond the limits of a note.
func (n *Note) AppendSignatures(note []byte, sigs []NoteSignature) []byte {
	out := note[:len(note):len(note)]
	count := len(n.Signatures)
	for _, sig := range sigs {
		same := func(s NoteSignature) bool { return s.Name == sig.Name && s.KeyHash == sig.KeyHash }
		if count >= MaxSignatures || slices.ContainsFunc(n.Signatures, same) {
			continue
		}
		raw := append(binary.BigEndian.AppendUint32(nil, sig.KeyHash), sig.Value...)
		line := signaturePrefix + sig.Name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
		if len(out)+len(line) > MaxNoteSize {
			break
		}
		out = append(out, line...)
		count++
	}
	return out
}

// ParseNote reads a signed checkpoint and checks its form, strictly: one
// spelling for each value, so that no byte can change unnoticed. It verifies no
// signature. The error's code is checkpoint_invalid.
func ParseNote(src []byte) (*Note, error) {
	if len(src) > MaxNoteSize {
		return nil, checkpointInvalid("it is larger than %d bytes", MaxNoteSize)
	}
	if !utf8.Valid(src) || bytes.ContainsFunc(src, func(r rune) bool { return r < ' ' && r != '\n' }) {
		return nil, checkpointInvalid("a note is UTF-8 text without control characters")
	}
	head, tail, ok := bytes.Cut(src, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || len(lines) != 3 {
		return nil, checkpointInvalid("it does not consist of origin, size and root, an empty line and signatures")
	}
	n := &Note{text: string(head) + "\n"}
	var err error
	if n.Origin, err = ParseOrigin(lines[0]); err != nil {
		return nil, checkpointInvalid("its first line is not an origin logline/v1/<tenant>/<node>/<epoch>")
	}
	if n.Size, err = parseDecimal(lines[1]); err != nil {
		return nil, checkpointInvalid("its second line is not a size")
	}
	if n.Root, ok = decodeHash(lines[2]); !ok {
		return nil, checkpointInvalid("its third line is not the base64 of a root")
	}
	sigs, ok := strings.CutSuffix(string(tail), "\n")
	if !ok {
		return nil, checkpointInvalid("it does not end with a signature line")
	}
	for i, line := range strings.Split(sigs, "\n") {
		sig, ok := parseSignature(line)
		if !ok || i >= MaxSignatures {
			return nil, checkpointInvalid("signature line %d is malformed, or beyond the limit of %d", i+1, MaxSignatures)
		}
		n.Signatures = append(n.Signatures, sig)
	}
	return n, nil
}

func parseSignature(line string) (NoteSignature, bool) {
	rest, ok := strings.CutPrefix(line, signaturePrefix)
	name, b64, cut := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.Strict().DecodeString(b64)
	if !ok || !cut || name == "" || err != nil || len(raw) < 5 || strings.ContainsFunc(name, unfitForName) {
		return NoteSignature{}, false
	}
	return NoteSignature{Name: name, KeyHash: binary.BigEndian.Uint32(raw), Value: raw[4:]}, true
}

// unfitForName are the characters a key name of a signed note does not have.
func unfitForName(r rune) bool { return r == '+' || unicode.IsSpace(r) }

// Verify checks that the log's key vkey signed the note, that vkey's name is
// the note's origin and that the log signed once. It does not say whether vkey
// is the right key. The error's code is checkpoint_signature_invalid or
// verifier_key_invalid.
func (n *Note) Verify(vkey string) error {
	origin, _, err := ParseVerifierKey(vkey)
	if err != nil {
		return err
	}
	if origin != n.Origin {
		return n.signatureInvalid("the key is for %s, the checkpoint is of %s", origin, n.Origin)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return n.signatureInvalid("the key is not usable")
	}
	var found int
	for _, sig := range n.Signatures {
		if sig.Name != verifier.Name() {
			continue
		}
		if found++; found > 1 {
			return n.signatureInvalid("it has several signatures under its own origin")
		}
		if sig.KeyHash != verifier.KeyHash() || !verifier.Verify([]byte(n.text), sig.Value) {
			return n.signatureInvalid("the signature under its own origin does not verify with the log's key")
		}
	}
	if found == 0 {
		return n.signatureInvalid("no signature is by the log's key")
	}
	return nil
}

// OpenNote is ParseNote and Verify.
func OpenNote(src []byte, vkey string) (Checkpoint, error) {
	n, err := ParseNote(src)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := n.Verify(vkey); err != nil {
		return Checkpoint{}, err
	}
	return n.Checkpoint, nil
}

func checkpointInvalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "checkpoint_invalid", "this is not a LogLine checkpoint: "+fmt.Sprintf(format, args...))
}

func (n *Note) signatureInvalid(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "checkpoint_signature_invalid", "the signature of the checkpoint of %d entries does not hold: %s", n.Size, fmt.Sprintf(format, args...))
}

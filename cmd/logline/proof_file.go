package main

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/ui"
)

// proofOptions say whom to believe about a proof file.
type proofOptions struct {
	logKey string         // note verifier key; "" for none
	policy *policy.Policy // nil for none
	node   string         // LogLine ID; "" for any
}

// proofReport is what a proof file shows, and what is wrong with it.
type proofReport struct {
	OK      bool   `json:"ok"`
	Verdict string `json:"verdict"`

	Tenant string `json:"tenant,omitempty"`
	Node   string `json:"node,omitempty"`
	Origin string `json:"origin,omitempty"`
	Span   string `json:"span,omitempty"`
	Type   string `json:"type,omitempty"`
	Author string `json:"author,omitempty"`
	At     string `json:"recorded_at,omitempty"`
	Index  uint64 `json:"index"`
	Size   uint64 `json:"size"`
	Root   string `json:"root,omitempty"`
	Leaf   string `json:"leaf_hash,omitempty"`

	LogSigned bool             `json:"log_signed"` // the signature is by the log key that is believed
	Cosigners []string         `json:"cosigners"`  // names of the keys of the other signature lines, checked or not
	Cosigned  *bundle.Cosigned `json:"cosigned,omitempty"`
	Problems  []proofProblem   `json:"problems,omitempty"`
}

type proofProblem struct {
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// maxProofFile bounds a proof file, in bytes.
const maxProofFile = 512 << 10

// proofFirstLine is how every tlog-proof begins.
const proofFirstLine = "c2sp.org/tlog-proof@"

// proofFileIn reads a file that begins as a proof file does; nil for any other,
// and for standard input, which a bundle comes through.
func proofFileIn(env *environment, path string) ([]byte, error) {
	if path == "-" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError("read", path, err)
	}
	defer f.Close()
	start := make([]byte, len(proofFirstLine))
	if n, err := io.ReadFull(f, start); n < len(start) || string(start) != proofFirstLine || err != nil {
		return nil, nil // whoever reads it as a bundle says what it is instead
	}
	return readInput(env, path, maxProofFile)
}

// verifyProof says whether a proof file holds.
func verifyProof(env *environment, path string, raw []byte, opt proofOptions, asJSON bool) error {
	if opt.logKey == "" {
		opt.logKey = profileLogKey(env, raw)
	}
	if opt.logKey == "" && opt.policy == nil {
		return usagef("nothing says whose signature to believe: give the log's key with --log-key, or a --policy")
	}
	report, err := checkProof(raw, opt)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(env.Stdout, report)
	} else {
		report.print(env.Stdout, path)
	}
	if err == nil && !report.OK {
		err = &exitError{code: exitFailed}
	}
	return err
}

// profileLogKey is the key that a profile keeps of the proof's tenant.
func profileLogKey(env *environment, raw []byte) string {
	file, err := tree.ParseProofFile(raw)
	if err != nil {
		return ""
	}
	note, err := tree.ParseNote(file.Checkpoint)
	all, allErr := loadProfiles(env)
	if err != nil || allErr != nil {
		return ""
	}
	for _, p := range all.Profiles {
		if p.Tenant == note.Origin.Tenant && p.LogKey != "" {
			return p.LogKey
		}
	}
	return ""
}

// checkProof checks a proof file with no server: the entry in it, the way to the
// root, and who signed that. An error means that it is no proof file.
func checkProof(raw []byte, opt proofOptions) (*proofReport, error) {
	file, err := tree.ParseProofFile(raw)
	if err != nil {
		return nil, err
	}
	note, err := tree.ParseNote(file.Checkpoint)
	if err != nil {
		return nil, err
	}
	r := &proofReport{
		Tenant: note.Origin.Tenant, Node: note.Origin.Node, Origin: note.Origin.String(),
		Index: file.Index, Size: note.Size, Root: note.Root.String(), Cosigners: cosignerNames(note),
	}
	r.checkEntry(file, note)
	r.checkSigners(note, opt)
	r.conclude(opt)
	return r, nil
}

func (r *proofReport) bad(err error) {
	f := fault.From(err)
	r.Problems = append(r.Problems, proofProblem{f.Code, f.Detail})
}

// checkEntry checks the line in the extra data and its place under the root.
func (r *proofReport) checkEntry(file *tree.ProofFile, note *tree.Note) {
	if file.Extra == nil {
		r.bad(fault.Newf(fault.Invalid, "entry_missing", "the proof of entry %d has no extra data, where LogLine's proofs have the entry; nothing says what is proved", file.Index))
		return
	}
	leaf := span.LeafHash(file.Extra)
	r.Leaf = leaf.String()
	if err := tree.VerifyInclusion(leaf, file.Index, note.Size, file.Hashes, note.Root); err != nil {
		r.bad(err)
	}
	entry, err := span.ParseLine(file.Extra)
	if err != nil {
		r.bad(err)
		return
	}
	h := &entry.Span
	r.Span, r.Type, r.Author, r.At = h.ID, h.Type, h.Author, entry.RecordedAt
	if entry.Seq != file.Index {
		r.bad(fault.Newf(fault.Invalid, "seq_mismatch", "the entry says that it is entry %d, the proof is of %d", entry.Seq, file.Index))
	}
	if h.Tenant != note.Origin.Tenant {
		r.bad(fault.Newf(fault.Invalid, "tenant_mismatch", "the span belongs to tenant %s, the checkpoint to %s", h.Tenant, note.Origin.Tenant))
	}
	key, keyErr := span.ParseB64(h.Signature.Key, ed25519.PublicKeySize)
	value, valueErr := span.ParseB64(h.Signature.Value, ed25519.SignatureSize)
	if keyErr != nil || valueErr != nil || !id.DefaultVerifier().Verify(key, h.Message(), value) {
		r.bad(fault.New(fault.Invalid, "signature_invalid", "the span's own signature does not verify"))
	}
}

// checkSigners checks the log's signature where its key is known, and the
// cosignatures where a policy asks for some.
func (r *proofReport) checkSigners(note *tree.Note, opt proofOptions) {
	if opt.node != "" && note.Origin.Node != opt.node {
		r.bad(fault.Newf(fault.Invalid, "node_not_pinned", "the checkpoint is by node %s; you asked to believe only %s", note.Origin.Node, opt.node))
	}
	if opt.logKey != "" {
		if err := note.Verify(inEpochOf([]byte(note.Text()), opt.logKey)); err != nil {
			r.bad(err)
		} else {
			r.LogSigned = true
		}
	}
	if opt.policy == nil {
		return
	}
	cosigned, result := bundle.CosignedBy(opt.policy, note)
	r.Cosigned = cosigned
	r.LogSigned = r.LogSigned || cosigned.LogListed
	for _, name := range result.Invalid {
		r.bad(fault.Newf(fault.Invalid, "cosignature_invalid", "a signature under the key of witness %s is not a cosignature of this checkpoint", name))
	}
	if !result.QuorumMet {
		words := make([]string, len(result.Missing))
		for i, m := range result.Missing {
			words[i] = m.String()
		}
		r.bad(fault.New(fault.Invalid, "cosignatures_missing", "the policy's quorum has not cosigned the checkpoint: "+strings.Join(words, "; ")))
	}
	if opt.policy.NamesLogs() && !cosigned.LogListed {
		r.bad(fault.Newf(fault.Invalid, "log_not_in_policy", "the checkpoint is by %s, which is no log of the policy, or not signed with its key", note.Origin))
	}
}

// conclude finds the verdict. A file that nobody who is believed has signed
// proves nothing.
func (r *proofReport) conclude(opt proofOptions) {
	vouched := r.Cosigned != nil && r.Cosigned.QuorumMet && len(r.Cosigned.By) > 0
	if len(r.Problems) == 0 && !r.LogSigned && !vouched {
		r.bad(fault.New(fault.Invalid, "signer_unknown", "the policy names neither this log nor a witness that cosigned; give the log's key with --log-key"))
	}
	r.OK = len(r.Problems) == 0
	switch {
	case !r.OK && len(r.Problems) == 1:
		r.Verdict = "not proved: 1 problem"
	case !r.OK:
		r.Verdict = fmt.Sprintf("not proved: %d problems", len(r.Problems))
	default:
		r.Verdict = fmt.Sprintf("entry %d is in the timeline of %s", r.Index, r.Tenant)
		if r.LogSigned {
			r.Verdict += "; signed by its log"
		} else {
			r.Verdict += "; the log's own signature was not checked"
		}
		if vouched {
			r.Verdict += fmt.Sprintf("; cosigned by %s, quorum %s met", ui.Plural(int64(len(r.Cosigned.By)), "witness", "witnesses"), r.Cosigned.Quorum)
		}
	}
}

// print says what was found, the verdict last.
func (r *proofReport) print(w io.Writer, name string) {
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s (%s)\n", ui.Clean(p.Reason), p.Code)
	}
	if len(r.Problems) > 0 {
		fmt.Fprintln(w)
	}
	facts(w,
		"proof", name,
		"tenant", r.Tenant,
		"node", r.Node,
		"span", r.Span,
		"type", r.Type,
		"author", r.Author,
		"entry", fmt.Sprintf("%d of %d, recorded %s", r.Index, r.Size, r.At),
		"leaf", r.Leaf,
		"root", r.Root,
		"cosigned", r.cosignedWords(),
	)
	verdict := "OK"
	if !r.OK {
		verdict = "BAD"
	}
	fmt.Fprintf(w, "\n%s: %s\n", verdict, ui.Clean(r.Verdict))
}

func (r *proofReport) cosignedWords() string {
	if r.Cosigned != nil {
		return cosignedBy(r.Cosigned)
	}
	return uncheckedCosigners(r.Cosigners)
}

// cosigners names the keys of a checkpoint's cosignatures, which nothing here
// says how to check.
func cosigners(checkpoint []byte) string {
	note, err := tree.ParseNote(bytes.Clone(checkpoint))
	if err != nil {
		return ""
	}
	return uncheckedCosigners(cosignerNames(note))
}

func uncheckedCosigners(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ", ") + " (not checked: no policy)"
}

func cosignerNames(note *tree.Note) []string {
	names := []string{}
	for _, sig := range note.Signatures {
		if sig.Name != note.Origin.String() {
			names = append(names, sig.Name)
		}
	}
	return names
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/ui"
)

// checkedReceipt is a receipt whose proof this program has checked itself.
type checkedReceipt struct {
	openapi.Receipt
	entry      entryView
	checkpoint tree.Checkpoint
}

func receiptInvalid(code, format string, args ...any) error {
	return fault.Newf(fault.Invalid, code, "the node's receipt does not hold: "+format+
		"; what it is of may not be recorded: keep the span, ask again, and see logline verify", args...)
}

// checkReceipt checks, without trusting the node, that the entry is the span
// with this id (and header, unless zero), that its line is the leaf, that the
// leaf is in the tree, and that the tree's root is signed by the log key.
func checkReceipt(r openapi.Receipt, spanID string, header span.Hash, logKey string) (*checkedReceipt, error) {
	line, err := span.ParseLine(r.Entry)
	if err != nil {
		return nil, receiptInvalid("receipt_line", "its entry is not a canonical line (%v)", err)
	}
	if line.Span.ID != spanID {
		return nil, receiptInvalid("receipt_other_span", "it is about span %s, not %s", line.Span.ID, spanID)
	}
	if header != (span.Hash{}) && line.Span.Hash() != header {
		return nil, receiptInvalid("receipt_other_header", "its entry %d holds another header of span %s than the one that was signed", line.Seq, spanID)
	}
	leaf := span.LeafHash(r.Entry)
	if leaf.String() != r.LeafHash || line.Seq != r.Inclusion.Index {
		return nil, receiptInvalid("receipt_leaf", "its entry %d (span %s) is not the leaf it names", line.Seq, spanID)
	}
	note, err := tree.OpenNote([]byte(r.Checkpoint), inEpochOf([]byte(r.Checkpoint), logKey))
	if err != nil {
		return nil, receiptInvalid("receipt_unsigned", "its checkpoint is not signed by the tenant's log key (%v)", err)
	}
	if note.Size != r.Inclusion.Size {
		return nil, receiptInvalid("receipt_size", "proof and checkpoint are about trees of different sizes, %d and %d entries", r.Inclusion.Size, note.Size)
	}
	hashes := make([]span.Hash, len(r.Inclusion.Hashes))
	for i, s := range r.Inclusion.Hashes {
		if hashes[i], err = span.ParseHash(s); err != nil {
			return nil, receiptInvalid("receipt_proof_malformed", "hash %d of its proof is malformed", i)
		}
	}
	if err := tree.VerifyInclusion(leaf, r.Inclusion.Index, r.Inclusion.Size, hashes, note.Root); err != nil {
		if fault.CodeOf(err) == "proof_incomplete" {
			return nil, receiptInvalid("receipt_proof_incomplete", "its proof of entry %d is not whole (%v)", line.Seq, err)
		}
		return nil, receiptInvalid("receipt_proof", "its proof of entry %d does not lead to the signed root of %d entries", line.Seq, note.Size)
	}
	entry, err := parseEntry(r.Entry)
	return &checkedReceipt{Receipt: r, entry: entry, checkpoint: note}, err
}

// inEpochOf is the pinned log key under the origin of the note's epoch: a
// timeline that goes on under a new epoch keeps tenant, node and key, and what
// is pinned is those. Where they differ it is the pinned key itself, under
// which the note will not open.
func inEpochOf(note []byte, pinned string) string {
	origin, key, err := tree.ParseVerifierKey(pinned)
	if err != nil {
		return pinned
	}
	line, _, _ := bytes.Cut(note, []byte("\n"))
	got, err := tree.ParseOrigin(string(line))
	if err != nil || got.Tenant != origin.Tenant || got.Node != origin.Node {
		return pinned
	}
	if renewed, err := tree.VerifierKey(got, key); err == nil {
		return renewed
	}
	return pinned
}

// print says what the receipt proves.
func (c *checkedReceipt) print(env *environment, margin string) {
	facts(env.Stdout,
		margin+"span", c.entry.Span.ID,
		margin+"entry", fmt.Sprintf("%d of the timeline, recorded %s", c.entry.Seq, c.entry.RecordedAt),
		margin+"leaf", c.LeafHash,
		margin+"proof", "checked here: "+c.proofWords(),
		margin+"root", c.checkpoint.Root.String(),
		margin+"cosigned", cosigners([]byte(c.Checkpoint)),
	)
}

func (c *checkedReceipt) proofWords() string {
	return fmt.Sprintf("%s from the leaf to the root that the log signed for %s",
		ui.Plural(int64(len(c.Inclusion.Hashes)), "hash", "hashes"), ui.Plural(int64(c.Inclusion.Size), "entry", "entries"))
}

// json is the receipt's shape for programs.
func (c *checkedReceipt) json() any {
	return struct {
		openapi.Receipt
		Entry   json.RawMessage `json:"entry"`
		Checked bool            `json:"checked"`
	}{c.Receipt, c.Receipt.Entry, true}
}

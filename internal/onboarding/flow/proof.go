package flow

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// FirstSpan is the step in which the first span of one's own is appended.
type FirstSpan struct {
	Span string `json:"span"` // id
}

func (in *FirstSpan) step() string           { return StepFirstSpan }
func (in *FirstSpan) skips() bool            { return false }
func (in *FirstSpan) ready(m *memory) string { return inTenant(m) }

func (in *FirstSpan) check() error {
	if !span.IsUUID(in.Span) {
		return fault.New(fault.Invalid, "span_id_malformed", "name the span by its id").At("/span", "is no id")
	}
	return nil
}

func (in *FirstSpan) do(ctx context.Context, t *turn) error {
	rec, err := t.s.Log.Get(ctx, t.memory().Tenant, in.Span)
	// Another's span answers like none: the session's holder may not be able to read it.
	if fault.KindOf(err) == fault.NotFound || err == nil && (rec.Entry.Span.Author != t.memory().Identity || span.IsReserved(rec.Entry.Span.Type)) {
		return fault.New(fault.NotFound, "span_unknown",
			"no such span of this identity, of a type of your own, is in the tenant; append it first, and then name it here").At("/span", "is not there")
	}
	if err != nil {
		return err
	}
	return t.record(ctx, Done, func(_ *memory, step *Step) { step.Span, step.Seq, step.Leaf = in.Span, rec.Seq, rec.Leaf.String() })
}

// Proof is the step in which the client tells what it has verified by itself: that
// the leaf stands under a root that the node signed. It is held against the timeline,
// so that a client that verified something else learns of it at once.
type Proof struct {
	Seq      uint64 `json:"seq"`
	LeafHash string `json:"leaf_hash"` // b64u
	Root     string `json:"root"`      // b64u
	Size     uint64 `json:"size"`
}

func (in *Proof) step() string           { return StepProof }
func (in *Proof) skips() bool            { return false }
func (in *Proof) ready(m *memory) string { return after(m, StepFirstSpan) }

func (in *Proof) check() error {
	for at, text := range map[string]string{"/leaf_hash": in.LeafHash, "/root": in.Root} {
		if _, err := span.ParseHash(text); err != nil {
			return fault.New(fault.Invalid, "hash_malformed", "a hash is 32 bytes in base64url").At(at, "is no hash")
		}
	}
	if in.Seq >= in.Size {
		return fault.New(fault.Invalid, "range_invalid", "a tree of that size has no such leaf").At("/size", "is not larger than seq")
	}
	return nil
}

func (in *Proof) do(ctx context.Context, t *turn) error {
	first := t.memory().step(StepFirstSpan)
	if first.Span != "" && first.Seq != in.Seq {
		return fault.Newf(fault.Invalid, "proof_of_another", "the first span is entry %d of the timeline; prove that one", first.Seq).At("/seq", "is of another entry")
	}
	leaf, hashes, err := t.s.Log.Inclusion(ctx, t.memory().Tenant, in.Seq, in.Size)
	if err != nil {
		return err
	}
	said, _ := span.ParseHash(in.LeafHash)
	root, _ := span.ParseHash(in.Root)
	if leaf != said || tree.VerifyInclusion(leaf, in.Seq, in.Size, hashes, root) != nil {
		return fault.New(fault.Conflict, "proof_differs",
			"what you verified is not what this timeline holds: keep the receipt and the checkpoint that you have as evidence, and tell whoever runs the node, and others, before you trust it")
	}
	return t.record(ctx, Done, func(_ *memory, step *Step) {
		step.Seq, step.Leaf, step.Root, step.Size = in.Seq, in.LeafHash, in.Root, in.Size
	})
}

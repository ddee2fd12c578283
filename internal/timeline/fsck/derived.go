package fsck

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// end checks what there is one of: head, state, record, identities held, and
// what redactions have ended.
func (c *check) end(ctx context.Context) error {
	if c.trustworthy() {
		c.checkHead()
		c.res.Root = c.lines.Root().String()
	}
	if c.unfolded || c.missing || c.next == 0 {
		if c.next == 0 {
			c.res.at(0, KindLine, "the timeline has no entry")
		}
		return nil
	}
	c.checkErased()
	c.checkState()
	if err := c.checkTenant(); err != nil {
		return err
	}
	stored, err := c.snap.Embedded(ctx, c.tenant.ID)
	if err != nil {
		return err
	}
	want := slices.Sorted(maps.Keys(c.embedded))
	for _, identity := range want {
		if !slices.Contains(stored, identity) {
			c.res.derived(KindIndex, "the timeline holds the identity %s, which is not noted", identity)
		}
	}
	for _, identity := range stored {
		if !c.embedded[identity] {
			c.res.derived(KindIndex, "the timeline is noted to hold the identity %s, which it does not", identity)
		}
	}
	return nil
}

func (c *check) checkHead() {
	want := c.derivedHead()
	have := c.head
	if have.Size != want.Size || have.Root != want.Root {
		c.res.derived(KindHead, "the head is at %d entries, root %s; the lines make %d, root %s", have.Size, have.Root, want.Size, want.Root)
	}
	if have.RecordedAt != want.RecordedAt {
		c.res.derived(KindHead, "the head's time is %q, the last entry's %s", have.RecordedAt, want.RecordedAt)
	}
	if !slices.Equal(have.Edge, want.Edge) {
		c.res.derived(KindHead, "the head's edge of the tree is not the one that the lines make")
	}
	if !bytes.Equal(have.Checkpoint, want.Checkpoint) {
		c.res.derived(KindHead, "the head's checkpoint is not the stored one of %d entries", want.Size)
	}
}

// checkErased: what a redaction names is gone, and nothing else is.
func (c *check) checkErased() {
	for _, seq := range slices.Sorted(maps.Keys(c.gone)) {
		if !c.res.redacted[seq] {
			c.res.at(seq, KindPayload, "payload or detail is gone, and no redaction says so")
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(c.wrong)) {
		if c.wrong[seq] && !c.res.redacted[seq] {
			c.res.at(seq, KindPayload, timeline.WrongPayload+", or the detail is not")
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(c.res.redacted)) {
		if c.kept[seq] {
			c.res.add(Finding{Seq: &seq, Kind: KindErased, Repairable: true, Detail: "a redaction erased this entry's payload, and it is still there"})
		}
	}
}

func (c *check) checkState() {
	want := map[string][]byte{}
	for _, row := range c.fold.State() {
		want[row.Key] = row.Value
	}
	for _, row := range c.state {
		value, ok := want[row.Key]
		switch {
		case !ok:
			c.res.derived(KindState, "the state has a row %q that does not follow from the lines", row.Key)
		case !bytes.Equal(value, row.Value):
			c.res.derived(KindState, "the state's row %q is not what the lines make", row.Key)
		}
		delete(want, row.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		c.res.derived(KindState, "the state lacks the row %q", key)
	}
}

// record is the tenant's record as the lines make it.
func (c *check) record() (timeline.Tenant, error) {
	v := c.fold.View()
	g := v.Genesis()
	if g == nil {
		return timeline.Tenant{}, fault.New(fault.Internal, "genesis_missing", "there is no genesis")
	}
	origin, vkey, err := timeline.Writer(v)
	t := c.tenant
	if c.opt.Node == "" || c.opt.Node == v.Node() { // an imported timeline may have another slug here
		t.Slug = g.Slug
	}
	t.ID, t.Name, t.Node, t.Owner, t.Origin, t.LogKey = g.Tenant, g.Name, g.Node, g.Owner, origin.String(), vkey
	return t, err
}

func (c *check) checkTenant() error {
	want, err := c.record()
	if err != nil {
		return err
	}
	have := c.tenant
	if have.ID != want.ID {
		c.res.at(0, KindTenant, "the timeline is stored under the tenant id %s and is that of %s", have.ID, want.ID)
		c.unfolded = true
		return nil
	}
	for _, f := range []struct{ name, have, want string }{
		{"slug", have.Slug, want.Slug}, {"name", have.Name, want.Name}, {"node", have.Node, want.Node},
		{"owner", have.Owner, want.Owner}, {"origin", have.Origin, want.Origin}, {"log key", have.LogKey, want.LogKey},
	} {
		if f.have != f.want {
			c.res.derived(KindTenant, "the tenant's %s is stored as %q; the lines say %q", f.name, f.have, f.want)
		}
	}
	return nil
}

// checkTree compares the stored roots of subtrees.
func (c *check) checkTree(ctx context.Context) error {
	if !c.trustworthy() {
		return nil
	}
	type node struct {
		level int
		index uint64
	}
	want := make(map[node]span.Hash, len(c.subtrees))
	for _, s := range c.subtrees {
		want[node{s.Level, s.Index}] = s.Hash
	}
	err := c.snap.Subtrees(ctx, c.tenant.ID, func(s tree.Subtree) error {
		at := node{s.Level, s.Index}
		hash, ok := want[at]
		delete(want, at)
		switch {
		case !ok:
			c.res.derived(KindTree, "a root is stored for the subtree of level %d that begins at entry %d, which is not complete or stored twice", s.Level, s.Index<<s.Level)
		case hash != s.Hash:
			c.res.derived(KindTree, "the stored root of the subtree of level %d that begins at entry %d is not that of the lines", s.Level, s.Index<<s.Level)
		}
		return nil
	})
	for at := range want {
		c.res.derived(KindTree, "the root of the subtree of level %d that begins at entry %d is not stored", at.level, at.index<<at.level)
	}
	return err
}

// rebuilt is everything derived, for a repair.
func (c *check) rebuilt() *timeline.Rebuilt {
	record, err := c.record()
	if err != nil {
		return nil // unreachable: checkTenant made it
	}
	return &timeline.Rebuilt{
		Tenant: record, Head: c.derivedHead(), State: c.fold.State(), Subtrees: c.subtrees,
		Embedded: slices.Sorted(maps.Keys(c.embedded)),
	}
}

package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// end checks what needs all lines: genesis, log key, root, checkpoint, pins.
func (v *verification) end() {
	v.endGenesis()
	v.endLogKey()
	v.endRoot()
	v.endCheckpoint()
	v.endPolicy()
	v.endFresh(v.lastRecorded())
	v.endPins()
	v.endRedactions()
	v.endIdentities()
	v.endAuthors()
	v.endRemarks()
	v.rep.conclude(v.errs, v.pinned, v.vouched)
	if v.rep.OK && v.f.standing != nil && v.f.whole != nil && v.f.standing.Genesis() != nil {
		v.rep.state = v.f.stateAfter(v.h.Tenant.ID)
	}
}

// endGenesis holds the header against genesis, which standing has checked.
func (v *verification) endGenesis() {
	if v.f.standing == nil {
		return
	}
	g := v.f.standing.Genesis()
	if g == nil {
		if v.h.To > 0 {
			v.bad("genesis_missing", "the timeline has no valid genesis")
		}
		return
	}
	if g.Tenant != v.h.Tenant.ID || g.TenantID() != v.h.Tenant.ID {
		v.bad("tenant_mismatch", fmt.Sprintf("genesis makes tenant %s, the header's is %s", g.TenantID(), v.h.Tenant.ID))
	}
	if g.Slug != v.h.Tenant.Slug || g.Name != v.h.Tenant.Name {
		v.bad("header_invalid", fmt.Sprintf("the header calls the tenant %q (%q), genesis %q (%q)", v.h.Tenant.Slug, v.h.Tenant.Name, g.Slug, g.Name))
	}
}

// endLogKey judges the header's log key at the checkpoint's size: it must be
// delegated by the node that the origin names, and, as far as the lines show,
// be the key of genesis or of the latest epoch.
func (v *verification) endLogKey() {
	origin, key, err := tree.ParseVerifierKey(v.h.LogKey)
	if err != nil {
		v.bad(because(err))
		return
	}
	if v.note == nil {
		return
	}
	if origin != v.note.Origin {
		v.bad("origin_mismatch", fmt.Sprintf("the log key is for %s, the checkpoint of %s", origin, v.note.Origin))
	}
	chain := v.nodeChain
	if s := v.f.standing; s != nil && s.Genesis() != nil {
		atHead := v.h.To == v.note.Size
		epoch, _ := s.Epoch()
		sameEpoch := origin.Epoch == epoch
		if embedded, ok := s.Identity(origin.Node); ok && atHead {
			chain = embedded
		}
		if origin.Epoch < epoch || atHead && !sameEpoch {
			v.bad("epoch_mismatch", fmt.Sprintf("the checkpoint is of epoch %d, the timeline is in epoch %d", origin.Epoch, epoch))
		} else if sameEpoch && s.Node() != origin.Node {
			v.bad("origin_mismatch", fmt.Sprintf("the checkpoint is by node %s; the timeline is written by %s", origin.Node, s.Node()))
		} else if sameEpoch && s.LogKey() != tree.EncodeLogKey(key) {
			v.bad("log_key_mismatch", "the header's log key is not the one of genesis or of the latest epoch")
		} else if s.Node() != origin.Node {
			v.remark(fmt.Sprintf("the entries are written by node %s, the checkpoint by %s in a later epoch that is not in the bundle", s.Node(), origin.Node))
		}
		v.checkNodeEvents(origin.Node)
	}
	v.checkLogKey(chain, span.B64(key))
}

func (v *verification) checkLogKey(chain *id.Chain, key string) {
	if chain == nil {
		return // its absence is a problem already
	}
	grant, ok := chain.Key(key)
	if !ok || grant.Primary || !slices.Contains(grant.Types, id.TypeLog) {
		v.bad("log_key_not_delegated", fmt.Sprintf("the node %s has not delegated the log key for %s, or not any more", chain.ID(), id.TypeLog))
		return
	}
	if err := chain.MaySign(key, id.TypeLog, v.f.recordedAt); err != nil {
		_, reason := because(err)
		v.bad("log_key_not_delegated", "the log key is not valid at the checkpoint's size: "+reason)
	}
}

// checkNodeEvents holds the header's key events against those in the lines: the
// header has all of them, in the same order.
func (v *verification) checkNodeEvents(node string) {
	lines := v.f.embedded.events[node]
	if v.nodeChain == nil || node != v.h.Node.ID {
		return
	}
	same := len(lines) <= len(v.nodeEvents)
	for i := 0; same && i < len(lines); i++ {
		same = lines[i].Hash == v.nodeEvents[i].Hash
	}
	if !same {
		v.bad("node_events_conflict", "the node's key events in the header are not those in the entries")
	} else if more := len(v.nodeEvents) - len(lines); more > 0 && v.note != nil && v.h.To == v.note.Size {
		v.remark(fmt.Sprintf("the header has %d key events of the node that are not in the entries: they came after the checkpoint, or were withheld from the timeline", more))
	}
}

// endRoot computes the root and says which lines are to blame for another.
func (v *verification) endRoot() {
	f := v.f
	v.rootHolds = false
	if f.whole != nil && v.note != nil {
		root, err := f.whole.Enclose(nil, v.right, v.note.Size)
		if err != nil {
			_, reason := because(err)
			v.bad("range_proof_invalid", "the range proof does not fit: "+reason)
		} else {
			v.rep.Root = root.String()
			v.rootHolds = root == v.note.Root
			if !v.rootHolds {
				v.blame(root)
			}
		}
	}
	for _, d := range f.packages.differing {
		switch {
		case v.rootHolds:
			v.bad("packages_invalid", fmt.Sprintf("the header's root of the package of entry %d is wrong; the entries themselves are those of the checkpoint's root", d.Seq))
		case !d.explained:
			v.errs.add(d.Problem)
		}
	}
	if cut := f.packages.count - len(f.packages.differing); cut > 0 {
		v.errs.count += cut
	}
}

// blame reports a root that is not the checkpoint's, unless bad lines or
// packages explain it.
func (v *verification) blame(root span.Hash) {
	if v.f.packages.count > 0 && v.f.packages.roots != nil {
		return
	}
	reason := fmt.Sprintf("the entries lead to root %s, the checkpoint has %s", root, v.note.Root)
	if v.f.packages.roots == nil && v.f.lastLine > 1 {
		v.errs.add(Problem{Line: 2, LineTo: v.f.lastLine, Seq: v.h.From, Code: "root_mismatch", Reason: reason + ", and the header does not narrow down where"})
		return
	}
	v.bad("root_mismatch", reason+"; every package agrees with the header, so the checkpoint, the range proof or the packages are of other entries")
}

func (v *verification) endCheckpoint() {
	if v.note == nil {
		return
	}
	if err := v.note.Verify(v.h.LogKey); err != nil {
		v.bad(because(err))
	} else {
		v.rep.logKey = v.h.LogKey
	}
	if more := len(v.note.Signatures) - 1; more > 0 && v.opt.Policy == nil {
		v.remark(fmt.Sprintf("%d cosignatures were not checked: no policy says whose to believe", more))
	}
}

func (v *verification) endPins() {
	if v.opt.Node != "" {
		v.pinned = true
		if v.note != nil && v.note.Origin.Node != v.opt.Node || v.note == nil && v.h.Node.ID != v.opt.Node {
			v.bad("node_not_pinned", fmt.Sprintf("this timeline was signed by node %s; you asked to believe only %s", v.rep.Node, v.opt.Node))
		}
	}
	if v.pin == nil {
		return
	}
	v.pinned = true
	pin := v.pin
	if pin.Origin.Tenant != v.h.Tenant.ID {
		v.bad("checkpoint_not_pinned", fmt.Sprintf("the checkpoint you believe is of tenant %s, the bundle of %s", pin.Origin.Tenant, v.h.Tenant.ID))
		return
	}
	if pin.Size == 0 { // every timeline has this root
		v.bad("checkpoint_not_comparable", "the checkpoint you believe is of size 0, which says nothing about any entry")
		return
	}
	root, known := v.pinRoot, v.pinReached
	if !known && v.note != nil && v.rootHolds && pin.Size == v.note.Size {
		root, known = v.note.Root, true
	}
	if !known {
		v.bad("checkpoint_not_comparable", fmt.Sprintf("the checkpoint you believe is of size %d; this bundle can be compared at sizes %d to %d, and at its checkpoint's", pin.Size, v.h.From, v.h.To))
		return
	}
	if root != pin.Root {
		v.bad("checkpoint_not_pinned", fmt.Sprintf("at size %d this timeline has root %s, the checkpoint you believe has %s: one of the two is of a fork", pin.Size, root, pin.Root))
		return
	}
	if pin.Origin.Node != v.rep.Node && (!v.pinReached || v.pinLogKey == "") {
		v.bad("checkpoint_not_pinned", fmt.Sprintf("the checkpoint you believe is by node %s, this one by %s, and the entries do not show how the one took over from the other", pin.Origin.Node, v.rep.Node))
		return
	}
	v.checkPinSignature()
}

// checkPinSignature verifies the pinned note itself with the log key at its
// size, where the bundle knows it.
func (v *verification) checkPinSignature() {
	vkey := v.h.LogKey
	if v.pinLogKey != "" {
		key, err := tree.ParseLogKey(v.pinLogKey)
		if err == nil {
			vkey, err = tree.VerifierKey(v.pin.Origin, key)
		}
		if err != nil {
			v.bad(because(err))
			return
		}
	} else if v.note == nil || v.pin.Origin != v.note.Origin {
		v.remark("the signature of the checkpoint you believe was not checked: its epoch's key is not in the bundle")
		return
	}
	if err := v.pin.Verify(vkey); err != nil {
		_, reason := because(err)
		v.bad("checkpoint_not_pinned", "the checkpoint you believe is not signed by this timeline's log key: "+reason)
	}
}

func (v *verification) endIdentities() {
	if v.known == nil {
		return
	}
	if len(v.f.embedded.events[v.h.Node.ID]) == 0 && v.nodeChain != nil {
		for _, e := range v.nodeEvents {
			v.f.embedded.addRef(v.h.Node.ID, e)
		}
	}
	var compared int
	for _, identity := range sortedKeys(v.known) {
		if len(v.f.embedded.events[identity]) == 0 {
			continue
		}
		compared++
		if p := v.f.embedded.compare(identity, v.known[identity]); p != nil {
			v.errs.add(*p)
		}
	}
	v.remark(fmt.Sprintf("%d of the %d identities you gave have key events in this bundle and were compared", compared, len(v.known)))
}

func (v *verification) endAuthors() {
	for _, identity := range sortedKeys(v.f.authors) {
		v.rep.Authors = append(v.rep.Authors, Author{
			ID: identity, Entries: v.f.authors[identity], LastEvent: v.f.embedded.last(identity),
		})
	}
	slices.SortStableFunc(v.rep.Authors, func(a, b Author) int { return b.Entries - a.Entries })
}

func (v *verification) endRemarks() {
	if v.f.unfound {
		v.remark("genesis or the node's first key events are withheld whole, so keys, roles and the tenant's founding were not checked; ask for a bundle as a member of the tenant")
	} else if v.f.standing == nil {
		v.remark(fmt.Sprintf("keys and roles rest on the entries before %d and were not checked; verify those first and give their state (--state)", v.h.From))
	}
	if v.opt.State != nil && v.opt.State.spans == nil {
		v.remark("span ids spent before this bundle, and targets of reverts and redactions there, were not checked")
	}
	if n := v.rep.WithheldRedacted + v.rep.WithheldPrivate; n > 0 {
		v.remark(fmt.Sprintf("%d entries have a payload or detail withheld, which was not checked", n))
	}
	if v.rep.Hidden > 0 {
		v.remark(fmt.Sprintf("%d entries are withheld whole; roles after them were checked only as far as they do not rest on these", v.rep.Hidden))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

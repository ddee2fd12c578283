package standing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// judgeFounding judges entries 0 to 2: genesis, the node's inception, the
// delegation of the log key that genesis names. The key of all three is that
// of the inception in entry 1.
func (t *Tx) judgeFounding(h *span.Header, payload []byte, at Position) (*effect, error) {
	if at.Seq == 0 {
		return t.judgeGenesis(h, payload)
	}
	if t.genesis == nil {
		return nil, errNoGenesis()
	}
	if err := t.checkTenant(h); err != nil {
		return nil, err
	}
	if h.Type != span.TypeIdentity {
		return nil, fault.Newf(fault.Conflict, "founding_incomplete", "entry %d is a logline.identity span of the node: entry 1 its inception, entry 2 the delegation of its log key", at.Seq).
			At("/type", "must be logline.identity")
	}
	if h.Author != t.node {
		return nil, fault.New(fault.Forbidden, "reserved_author", "only the timeline's node authors its first entries").At("/author", "must be "+t.node)
	}
	if at.Seq == 2 {
		if err := t.checkKey(h, at); err != nil {
			return nil, err
		}
	}
	e, err := t.embed(payload)
	if err != nil {
		return nil, beneath("/payload", err)
	}
	if e == nil || e.chain == nil || e.chain.ID() != t.node {
		return nil, errFounding("the event is not one of the node that genesis names")
	}
	if at.Seq == 2 {
		if !mayLog(e.chain, t.logKey) {
			return nil, errFounding("entry 2 delegates the log key that genesis names, for logline.log")
		}
		return e, nil
	}
	if e.chain.Subject() != id.SubjectNode {
		return nil, errFounding("the identity that genesis names as node is not of subject node")
	}
	if e.chain.Primary() != t.genesisKey {
		return nil, errFounding("entry 0 is not signed by the key of the inception in entry 1")
	}
	return e, e.chain.MaySign(h.Signature.Key, h.Type, at.RecordedAt)
}

func errFounding(detail string) error {
	return fault.New(fault.Invalid, "founding_mismatch", detail).At("/payload/event", detail)
}

func (t *Tx) judgeGenesis(h *span.Header, payload []byte) (*effect, error) {
	if h.Type != span.TypeGenesis {
		return nil, errNoGenesis()
	}
	if t.genesis != nil {
		return nil, fault.New(fault.Conflict, "genesis_repeated", "logline.genesis is entry 0 and no other").At("/type", "is for entry 0 only")
	}
	g, err := span.ParseGenesis(payload)
	if err != nil {
		return nil, beneath("/payload", err)
	}
	if h.Tenant != g.Tenant {
		return nil, fault.New(fault.Invalid, "tenant_mismatch", "the span was signed for another tenant").At("/tenant", "must be "+g.Tenant)
	}
	if h.Author != g.Node {
		return nil, fault.New(fault.Forbidden, "reserved_author", "genesis is authored by the node that it names").At("/author", "must be "+g.Node)
	}
	return &effect{founding: &founding{genesis: g, genesisKey: h.Signature.Key, node: g.Node, logKey: g.LogKey}}, nil
}

// mayLog reports whether the chain delegates the log key for signing
// checkpoints now.
func mayLog(c *id.Chain, logKey string) bool {
	raw, err := span.ParseB64(logKey, 33)
	if err != nil {
		return false
	}
	g, ok := c.Key(span.B64(raw[1:]))
	return ok && !g.Primary && slices.Contains(g.Types, id.TypeLog)
}

// LogKeyStands says whether the node that writes delegates the log key of the
// current epoch. Where it does not, no checkpoint would verify.
func LogKeyStands(v View) bool {
	c, ok := v.Identity(v.Node())
	return ok && mayLog(c, v.LogKey())
}

// embed judges one key event: it must extend an embedded chain or begin one.
// An identical repeat of a standing delegation changes nothing.
func (t *Tx) embed(payload []byte) (*effect, error) {
	p, err := span.ParseIdentity(payload)
	if err != nil {
		return nil, err
	}
	ev, err := id.ParseEvent(p.Event)
	if err != nil {
		return nil, beneath("/event", err)
	}
	e, err := t.extend(ev)
	if err != nil {
		return nil, beneath("/event", err)
	}
	return e, nil
}

func (t *Tx) extend(ev *id.Event) (*effect, error) {
	if ev.Kind == id.KindInception {
		if _, ok := t.Identity(ev.IdentityID()); ok {
			return nil, fault.New(fault.Conflict, "identity_embedded", "the identity's inception is in this timeline already")
		}
		c, err := id.Begin(ev, t.s.verifier)
		if err != nil {
			return nil, err
		}
		return &effect{chain: c}, nil
	}
	member, named := "/prev", ev.Prev
	if named == "" {
		member, named = "/under", ev.Under
	}
	hash, err := span.ParseHash(named)
	if err != nil {
		return nil, beneath(member, err)
	}
	c, ok := t.chainAt(hash)
	if !ok {
		return nil, fault.New(fault.Conflict, "event_unplaced", "the event follows no embedded event that is the last of its identity").At(member, "is not the last event of any identity here")
	}
	var claimer *id.Chain // nil for any other kind, and where `by` is not embedded
	if ev.Kind == id.KindClaim {
		claimer, _ = t.Identity(ev.By)
	}
	next := c.Clone()
	changed, err := next.Apply(ev, t.s.verifier, claimer)
	if err != nil || !changed {
		return nil, err
	}
	return &effect{chain: next}, nil
}

// handover ends the node's writing in favour of an embedded node.
func (t *Tx) handover(payload []byte) (*effect, error) {
	p, err := span.ParseHandover(payload)
	if err != nil {
		return nil, err
	}
	c, ok := t.Identity(p.To)
	if !ok || c.Subject() != id.SubjectNode || c.Status() != id.StatusActive || p.To == t.node {
		return nil, fault.New(fault.Conflict, "handover_target", "a timeline is handed over to another, active node whose key events are embedded in it").At("/to", "is no such node")
	}
	f := t.founding
	f.handedTo = p.To
	return &effect{founding: &f}, nil
}

// Origin is the checkpoint origin and key name of an epoch (PROTOCOL §5).
func Origin(tenant, node string, epoch uint64) string {
	return fmt.Sprintf("logline/v1/%s/%s/%d", tenant, bare(node), epoch)
}

// judgeEpoch judges logline.epoch: by the node itself, or by the one that the
// timeline was handed over to. prev_root is the tree's to check.
func (t *Tx) judgeEpoch(h *span.Header, payload []byte, at Position) (*effect, error) {
	p, err := span.ParseEpoch(payload)
	if err != nil {
		return nil, beneath("/payload", err)
	}
	writer := t.node
	if t.handedTo != "" {
		writer = t.handedTo
	}
	if h.Author != writer {
		return nil, fault.New(fault.Forbidden, "epoch_not_authorised", "a new epoch is opened by the node that writes, or by the one it handed over to").At("/author", "must be "+writer)
	}
	if p.PrevSize != at.Seq {
		return nil, fault.Newf(fault.Conflict, "epoch_size", "the epoch continues a tree of size %d, but would stand at position %d", p.PrevSize, at.Seq).
			At("/payload/prev_size", "must be the entry's own position")
	}
	n, ok := t.epochOf(p.PrevOrigin)
	if !ok {
		return nil, fault.New(fault.Conflict, "epoch_origin", "prev_origin is not an origin of this timeline under its present node, or is an older one").
			At("/payload/prev_origin", "must be "+Origin(t.genesis.Tenant, t.node, t.epoch)+" or a later epoch of it")
	}
	if c, ok := t.Identity(h.Author); !ok || !mayLog(c, p.LogKey) {
		return nil, fault.New(fault.Forbidden, "epoch_log_key", "the log key is not delegated by the node for logline.log").At("/payload/log_key", "is not delegated")
	}
	f := t.founding
	f.node, f.logKey, f.epoch, f.epochFirst, f.handedTo = h.Author, p.LogKey, n+1, at.Seq, ""
	return &effect{founding: &f}, nil
}

// epochOf is the epoch of an origin of this timeline and its present node,
// unless it is older than the one the fold knows.
func (t *Tx) epochOf(origin string) (uint64, bool) {
	i := strings.LastIndexByte(origin, '/')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(origin[i+1:], 10, 32)
	return n, err == nil && n >= t.epoch && origin == Origin(t.genesis.Tenant, t.node, n)
}

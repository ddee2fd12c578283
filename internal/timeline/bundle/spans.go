package bundle

import (
	"encoding/hex"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// spanSet remembers every span id met and what later entries may ask of it, in
// about 90 bytes each: it is what the verifier's memory grows by. What is kept
// for each id holds no pointer and never moves, so that neither collecting
// garbage nor growing costs more memory.
type spanSet struct {
	at     map[spanKey]uint32 // index of a ref; or spent, for an id that a refusal spent
	blocks [][]compactRef     // of blockRefs each
	count  uint32

	kinds    []refKind
	kindOf   map[refKind]uint32
	statuses []string
	statusOf map[string]uint32
}

// spanKey is a span id's 16 bytes.
type spanKey [16]byte

const (
	spentByRefusal = ^uint32(0)
	blockRefs      = 4096
)

type compactRef struct {
	seq        uint64
	headerHash span.Hash
	kind       uint32 // of kinds
	status     uint32 // of statuses
}

// refKind is what many spans have in common.
type refKind struct{ author, onBehalfOf, typ, visibility string }

func newSpanSet() *spanSet {
	return &spanSet{at: make(map[spanKey]uint32), kindOf: make(map[refKind]uint32), statusOf: make(map[string]uint32)}
}

// spanKeyOf is the UUID's bytes; ids have been checked by the parser.
func spanKeyOf(id string) (key spanKey) {
	var digits [32]byte
	n := 0
	for i := 0; i < len(id) && n < len(digits); i++ {
		if id[i] != '-' {
			digits[n] = id[i]
			n++
		}
	}
	_, _ = hex.Decode(key[:], digits[:n])
	return key
}

func (s *spanSet) kind(k refKind) uint32 {
	i, ok := s.kindOf[k]
	if !ok {
		i = uint32(len(s.kinds))
		k = refKind{strings.Clone(k.author), strings.Clone(k.onBehalfOf), strings.Clone(k.typ), strings.Clone(k.visibility)}
		s.kinds, s.kindOf[k] = append(s.kinds, k), i
	}
	return i
}

func (s *spanSet) status(status string) uint32 {
	i, ok := s.statusOf[status]
	if !ok {
		i = uint32(len(s.statuses))
		s.statuses, s.statusOf[status] = append(s.statuses, status), i
	}
	return i
}

func (s *spanSet) ref(i uint32) *compactRef { return &s.blocks[i/blockRefs][i%blockRefs] }

// spent reports whether the id is taken, and the seq of the entry that is it;
// byRefusal says that a refusal spent it instead.
func (s *spanSet) spent(key spanKey) (seq uint64, byRefusal, ok bool) {
	i, ok := s.at[key]
	if !ok || i == spentByRefusal {
		return 0, ok, ok
	}
	return s.ref(i).seq, false, true
}

func (s *spanSet) spendByRefusal(key spanKey) { s.at[key] = spentByRefusal }

// add takes in a span under its key.
func (s *spanSet) add(key spanKey, r standing.Ref) {
	if s.count%blockRefs == 0 {
		s.blocks = append(s.blocks, make([]compactRef, blockRefs))
	}
	s.at[key] = s.count
	*s.ref(s.count) = compactRef{
		seq: r.Seq, headerHash: r.HeaderHash,
		kind: s.kind(refKind{r.Author, r.OnBehalfOf, r.Type, r.Visibility}), status: s.status(r.Status),
	}
	s.count++
}

func (s *spanSet) setStatus(id, status string) {
	if i, ok := s.at[spanKeyOf(id)]; ok && i != spentByRefusal {
		s.ref(i).status = s.status(status)
	}
}

func (s *spanSet) lookup(id string) (standing.Ref, bool) {
	i, ok := s.at[spanKeyOf(id)]
	if !ok || i == spentByRefusal {
		return standing.Ref{}, false
	}
	r := s.ref(i)
	k := &s.kinds[r.kind]
	return standing.Ref{
		ID: id, Seq: r.seq, HeaderHash: r.headerHash,
		Author: k.author, OnBehalfOf: k.onBehalfOf, Type: k.typ, Visibility: k.visibility, Status: s.statuses[r.status],
	}, true
}

// pending are the spans whose status is pending, in no order.
func (s *spanSet) pending() (refs []standing.Ref) {
	pending, ok := s.statusOf[standing.StatusPending]
	if !ok {
		return nil
	}
	for key, i := range s.at {
		if i != spentByRefusal && s.ref(i).status == pending {
			ref, _ := s.lookup(uuidText(key))
			refs = append(refs, ref)
		}
	}
	return refs
}

// uuidText is the inverse of spanKeyOf.
func uuidText(key spanKey) string {
	h := hex.EncodeToString(key[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

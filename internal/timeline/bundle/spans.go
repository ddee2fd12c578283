package bundle

import (
	"encoding/hex"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// spanSet remembers every span id met and what later entries may ask of it, in
// about 150 bytes each: it is what the verifier's memory grows by.
type spanSet struct {
	at    map[[16]byte]uint32 // index into refs; or spent, for an id that a refusal spent
	refs  []compactRef
	names []string // interned authors, types …
	index map[string]uint32
}

const spentByRefusal = ^uint32(0)

type compactRef struct {
	seq        uint64
	headerHash span.Hash
	author     uint32
	onBehalfOf uint32
	typ        uint32
	visibility uint32
	status     uint32
}

func newSpanSet() *spanSet {
	return &spanSet{at: make(map[[16]byte]uint32), index: make(map[string]uint32)}
}

// key is the UUID's bytes; ids have been checked by the parser.
func spanKey(id string) (key [16]byte) {
	_, _ = hex.Decode(key[:], []byte(strings.ReplaceAll(id, "-", "")))
	return key
}

func (s *spanSet) intern(name string) uint32 {
	i, ok := s.index[name]
	if !ok {
		i = uint32(len(s.names))
		name = strings.Clone(name)
		s.names, s.index[name] = append(s.names, name), i
	}
	return i
}

// spent reports whether the id is taken, and the seq of the entry that is it;
// byRefusal says that a refusal spent it instead.
func (s *spanSet) spent(id string) (seq uint64, byRefusal, ok bool) {
	i, ok := s.at[spanKey(id)]
	if !ok || i == spentByRefusal {
		return 0, ok, ok
	}
	return s.refs[i].seq, false, true
}

func (s *spanSet) spendByRefusal(id string) { s.at[spanKey(id)] = spentByRefusal }

func (s *spanSet) add(r standing.Ref) {
	s.at[spanKey(r.ID)] = uint32(len(s.refs))
	s.refs = append(s.refs, compactRef{
		seq: r.Seq, headerHash: r.HeaderHash,
		author: s.intern(r.Author), onBehalfOf: s.intern(r.OnBehalfOf), typ: s.intern(r.Type),
		visibility: s.intern(r.Visibility), status: s.intern(r.Status),
	})
}

func (s *spanSet) setStatus(id, status string) {
	if i, ok := s.at[spanKey(id)]; ok && i != spentByRefusal {
		s.refs[i].status = s.intern(status)
	}
}

func (s *spanSet) lookup(id string) (standing.Ref, bool) {
	i, ok := s.at[spanKey(id)]
	if !ok || i == spentByRefusal {
		return standing.Ref{}, false
	}
	r := &s.refs[i]
	return standing.Ref{
		ID: id, Seq: r.seq, HeaderHash: r.headerHash,
		Author: s.names[r.author], OnBehalfOf: s.names[r.onBehalfOf], Type: s.names[r.typ],
		Visibility: s.names[r.visibility], Status: s.names[r.status],
	}, true
}

// uuidText is the inverse of spanKey.
func uuidText(key [16]byte) string {
	h := hex.EncodeToString(key[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Package memindex is everything a timeline store answers but the entries'
// bytes, in memory: heads, state rows, filters, spent ids, links, tree hashes.
// Lines, payloads and checkpoints stay where the store keeps them, behind
// Content. It persists nothing; Dump and Prepare let a store that
// does begin without reading everything.
//
// Memory: about 300 bytes an entry plus its tags and links, 16 bytes a
// checkpoint, and the state rows. Values that repeat (types, authors, subjects, tags) are held once.
package memindex

import (
	"bytes"
	"slices"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Content is the bytes of one timeline. Its methods are called with the
// timeline's lock held for reading, by many at once, for what was applied.
type Content interface {
	// Read fills Line of the record with this Seq and, where full, Payload, Salt
	// and Detail; none of the three is asked for once it is redacted. The bytes
	// belong to the caller.
	Read(r *timeline.Record, full bool) error
	// Notes are the checkpoints of a batch, counted from 0, sizes ascending.
	Notes(batch int) ([]timeline.Note, error)
}

// Index is the timelines of one store. It is safe for concurrent use, except
// that Expect and Apply of one timeline, and of two that are created, are one
// after the other: the store's own lock sees to that. Make one with New.
type Index struct {
	mu        sync.RWMutex // guards the maps, not what timelines hold
	timelines map[string]*indexed
	slugs     map[string]string              // slug to id
	holding   map[string]map[string]struct{} // identity to tenant ids
}

// indexed is one timeline.
type indexed struct {
	mu      sync.RWMutex // guards everything below, and the content against its growth
	content Content

	record      timeline.Tenant
	head        timeline.Head
	names       names
	rows        []row
	spent       map[spanKey]timeline.Spent
	links       map[link][]uint64
	hashes      map[int][]span.Hash // by level, without 0
	checkpoints []checkpoint        // sizes ascending
	state       sortedmap.Map[[]byte]
	identities  []string // embedded
}

// row is one entry.
type row struct {
	leaf                                                 span.Hash
	recordedAt                                           string
	typ, author, onBehalfOf, subject, visibility, status name
	tags                                                 []name
	redacted                                             bool
}

// checkpoint is one that the content has among those of a batch.
type checkpoint struct {
	size  uint64
	batch uint32
}

// spanKey is a span id, a UUID, in binary.
type spanKey [16]byte

type link struct {
	kind timeline.LinkKind
	id   spanKey
}

// New makes an empty index.
func New() *Index {
	return &Index{timelines: map[string]*indexed{}, slugs: map[string]string{}, holding: map[string]map[string]struct{}{}}
}

// Expect says whether the batch can be applied: nil, or what Store.Append
// answers.
func (x *Index) Expect(b *timeline.Batch) error {
	x.mu.RLock()
	t := x.timelines[b.Tenant]
	taken := t != nil
	if b.Create != nil {
		if _, slug := x.slugs[b.Create.Slug]; slug {
			taken = true
		}
	}
	x.mu.RUnlock()
	size, root := uint64(0), tree.EmptyRoot()
	switch {
	case b.Create != nil && taken:
		return timeline.ErrTenantTaken
	case b.Create == nil && t == nil:
		return timeline.ErrTenantUnknown
	case t != nil:
		t.mu.RLock()
		defer t.mu.RUnlock()
		size, root = t.head.Size, t.head.Root
	}
	if size != b.ExpectedSize || root != b.ExpectedRoot {
		return timeline.ErrHeadMoved
	}
	fresh := make(map[spanKey]bool, len(b.Spent))
	for _, id := range b.Spent {
		key, ok := keyOf(id.ID)
		if !ok {
			return fault.Newf(fault.Internal, "batch_invalid", "a batch for %s spends %q, which is no span id", b.Tenant, id.ID)
		}
		if t != nil {
			if _, spent := t.spent[key]; spent {
				return timeline.ErrSpent
			}
		}
		if fresh[key] {
			return timeline.ErrSpent
		}
		fresh[key] = true
	}
	return b.Check()
}

// Apply takes in a batch that was expected and is now committed; content is
// where its timeline's bytes are from its first batch on. grow runs while
// nobody reads the content, and makes the batch's bytes part of it.
func (x *Index) Apply(b *timeline.Batch, content Content, grow func()) {
	x.mu.RLock()
	t := x.timelines[b.Tenant]
	x.mu.RUnlock()
	if t == nil {
		t = newIndexed(content)
		t.record = *b.Create
	}
	t.mu.Lock()
	grow()
	t.apply(b)
	t.mu.Unlock()
	if b.Create != nil || len(b.Embedded) > 0 {
		x.enlist(t, b.Embedded)
	}
}

func newIndexed(content Content) *indexed {
	return &indexed{
		content: content, head: timeline.Head{Root: tree.EmptyRoot()}, names: newNames(),
		spent: map[spanKey]timeline.Spent{}, links: map[link][]uint64{},
		hashes: map[int][]span.Hash{},
	}
}

// enlist makes a timeline and its embedded identities known.
func (x *Index) enlist(t *indexed, embedded []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.timelines[t.record.ID], x.slugs[t.record.Slug] = t, t.record.ID
	x.hold(t.record.ID, embedded)
}

// hold notes whose timeline embeds identities. The caller holds x.mu.
func (x *Index) hold(tenant string, embedded []string) {
	for _, identity := range embedded {
		if x.holding[identity] == nil {
			x.holding[identity] = map[string]struct{}{}
		}
		x.holding[identity][tenant] = struct{}{}
	}
}

func (t *indexed) apply(b *timeline.Batch) {
	if b.Epoch != nil {
		t.record.Origin, t.record.LogKey = b.Epoch.Origin, b.Epoch.LogKey
	}
	for i := range b.Rows {
		t.add(&b.Rows[i])
	}
	for _, id := range b.Spent {
		if key, ok := keyOf(id.ID); ok {
			t.spent[key] = id.Spent
		}
	}
	for _, h := range b.Subtrees {
		t.hashes[h.Level] = append(t.hashes[h.Level], h.Hash)
	}
	for _, c := range b.Statuses {
		t.rows[c.Seq].status = t.names.of(c.Status)
	}
	for _, seq := range b.Redacted {
		t.rows[seq].redacted = true
	}
	for _, r := range b.State {
		if r.Value == nil {
			t.state.Delete(r.Key)
		} else {
			t.state.Set(r.Key, bytes.Clone(r.Value))
		}
	}
	t.identities = append(t.identities, b.Embedded...)
	t.head = cloneHead(b.Head)
	batch := t.batches()
	for _, n := range b.Earlier {
		t.checkpoints = append(t.checkpoints, checkpoint{n.Size, batch})
	}
	t.checkpoints = append(t.checkpoints, checkpoint{b.Head.Size, batch})
}

// batches is how many were applied.
func (t *indexed) batches() uint32 {
	if n := len(t.checkpoints); n > 0 {
		return t.checkpoints[n-1].batch + 1
	}
	return 0
}

func (t *indexed) add(r *timeline.Row) {
	at := r.RecordedAt
	if n := len(t.rows); n > 0 && t.rows[n-1].recordedAt == at {
		at = t.rows[n-1].recordedAt // entries of a batch share it
	}
	own := row{
		leaf: r.Leaf, recordedAt: at, typ: t.names.of(r.Type), author: t.names.of(r.Author), onBehalfOf: t.names.of(r.OnBehalfOf),
		subject: t.names.of(r.Subject), visibility: t.names.of(r.Visibility), status: t.names.of(r.Status),
	}
	for _, tag := range r.Tags {
		own.tags = append(own.tags, t.names.of(tag))
	}
	for _, l := range r.Links {
		if key, ok := keyOf(l.ID); ok {
			at := link{l.Kind, key}
			t.links[at] = append(t.links[at], r.Seq)
		}
	}
	t.rows = append(t.rows, own)
}

// fields are what a filter asks of an entry.
func (t *indexed) fields(seq uint64, into *timeline.Row) {
	r := &t.rows[seq]
	into.Seq, into.RecordedAt = seq, r.recordedAt
	into.Type, into.Author, into.OnBehalfOf = t.names.text(r.typ), t.names.text(r.author), t.names.text(r.onBehalfOf)
	into.Subject, into.Visibility, into.Status = t.names.text(r.subject), t.names.text(r.visibility), t.names.text(r.status)
	into.Tags = into.Tags[:0]
	for _, tag := range r.tags {
		into.Tags = append(into.Tags, t.names.text(tag))
	}
}

// record is entry seq as the store returns it.
func (t *indexed) recordOf(seq uint64, full bool) (timeline.Record, error) {
	r := &t.rows[seq]
	out := timeline.Record{Seq: seq, Leaf: r.leaf, Status: t.names.text(r.status), Redacted: r.redacted}
	err := t.content.Read(&out, full && !r.redacted)
	return out, err
}

// keyOf is a span id in binary; false for what is none.
func keyOf(id string) (key spanKey, ok bool) {
	if !span.IsUUID(id) {
		return key, false
	}
	n := 0
	for i := 0; i < len(id); i++ {
		if id[i] == '-' {
			continue
		}
		key[n] = unhex(id[i])<<4 | unhex(id[i+1])
		n++
		i++
	}
	return key, true
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func cloneHead(h timeline.Head) timeline.Head {
	h.Checkpoint, h.Edge = bytes.Clone(h.Checkpoint), slices.Clone(h.Edge)
	return h
}

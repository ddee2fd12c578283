package sqlitestore

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Append implements timeline.Appender. Once begun it runs to its end whatever
// becomes of ctx, so that a caller who goes away leaves no doubtful commit.
func (s *Store) Append(ctx context.Context, b *timeline.Batch) error {
	if err := ctx.Err(); err != nil {
		return storage.Classify(err)
	}
	if err := b.Check(); err != nil {
		return err
	}
	if b.Head.Size >= 1<<seqBits {
		return timeline.ErrTimelineFull
	}
	ctx = context.WithoutCancel(ctx)
	var created tenantKey
	if b.Create == nil {
		if _, err := s.key(ctx, b.Tenant); err != nil {
			return err
		}
	}
	err := s.db.Direct(ctx, func(tx *storage.DirectTx) error {
		key, err := s.claim(ctx, tx, b)
		if err != nil {
			return err
		}
		created = key
		return put(tx, key, b)
	})
	if err != nil {
		return storage.Classify(err)
	}
	s.mu.Lock()
	s.keys[b.Tenant] = created
	s.mu.Unlock()
	if len(b.Redacted) > 0 {
		s.erase.Store(true)
	}
	s.emptyLog(ctx)
	return nil
}

// emptyLogTimeout bounds how long one append waits for readers that keep the
// write-ahead log open.
const emptyLogTimeout = 500 * time.Millisecond

// emptyLog removes erased content from the write-ahead log. The commit stands
// whatever becomes of this; while readers are in the way, the next append tries
// again. So does the first append of a process, for one that died before.
func (s *Store) emptyLog(ctx context.Context) {
	if !s.erase.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, emptyLogTimeout)
	defer cancel()
	if s.db.TruncateWAL(ctx) == nil {
		s.erase.Store(false)
	}
}

// claim makes the tenant or compares its head and sets it. Holding the write
// lock, so that what it saw stays true until the commit.
func (s *Store) claim(ctx context.Context, tx *storage.DirectTx, b *timeline.Batch) (tenantKey, error) {
	edge := b.Head.EdgeBytes()
	if b.Create != nil {
		return create(tx, b, edge)
	}
	key, err := s.key(ctx, b.Tenant)
	if err != nil {
		return 0, err
	}
	n, err := tx.Exec(`UPDATE timeline_heads SET size = ?, root = ?, recorded_at = ?, checkpoint = ?, edge = ?
		WHERE tenant = ? AND size = ? AND root = ?`,
		b.Head.Size, b.Head.Root[:], b.Head.RecordedAt, b.Head.Checkpoint, edge, int64(key), b.ExpectedSize, b.ExpectedRoot[:])
	if err != nil {
		return 0, err
	} else if n != 1 {
		return 0, timeline.ErrHeadMoved
	}
	if b.Epoch != nil {
		if _, err := tx.Exec(`UPDATE timeline_tenants SET origin = ?, log_key = ? WHERE tenant = ?`,
			b.Epoch.Origin, b.Epoch.LogKey, int64(key)); err != nil {
			return 0, err
		}
	}
	return key, nil
}

func create(tx *storage.DirectTx, b *timeline.Batch, edge []byte) (tenantKey, error) {
	t := b.Create
	if b.ExpectedRoot != tree.EmptyRoot() {
		return 0, timeline.ErrHeadMoved
	}
	var number [1]int64
	err := tx.Numbers(number[:], `INSERT INTO timeline_tenants (id, slug, name, node, owner, origin, log_key, public_reading, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING tenant`,
		t.ID, t.Slug, t.Name, t.Node, t.Owner, t.Origin, t.LogKey, t.PublicReading, t.CreatedAt)
	if isUnique(err) {
		return 0, timeline.ErrTenantTaken
	} else if err != nil {
		return 0, err
	}
	key := tenantKey(number[0])
	if key > maxTenants {
		return 0, timeline.ErrTenantsFull
	}
	_, err = tx.Exec(`INSERT INTO timeline_heads (tenant, size, root, recorded_at, checkpoint, edge) VALUES (?, ?, ?, ?, ?, ?)`,
		int64(key), b.Head.Size, b.Head.Root[:], b.Head.RecordedAt, b.Head.Checkpoint, edge)
	return key, err
}

// put writes everything but the head.
func put(tx *storage.DirectTx, key tenantKey, b *timeline.Batch) error {
	var entries, ids, tags, links, hashes, state, identities []any
	entries = make([]any, 0, len(b.Rows)*intoEntries.columns)
	for i := range b.Rows {
		r := &b.Rows[i]
		entries = append(entries, key.position(r.Seq), int64(key), r.Leaf[:], r.RecordedAt, r.Type, r.Author,
			orNull(r.OnBehalfOf), orNull(r.Subject), timeline.VisibilityNumber(r.Visibility), r.Status, 0,
			r.Line, orNull(r.Salt), orNullBytes(r.Detail), orNullBytes(r.Payload))
		for _, tag := range r.Tags {
			tags = append(tags, int64(key), tag, r.Seq)
		}
		for _, l := range r.Links {
			links = append(links, int64(key), int(l.Kind), timeline.IDBytes(l.ID), r.Seq)
		}
	}
	ids = make([]any, 0, len(b.Spent)*intoIDs.columns)
	for _, id := range b.Spent {
		ids = append(ids, int64(key), timeline.IDBytes(id.ID), id.Seq, timeline.SpentNumber(id.By))
	}
	for i := range b.Subtrees {
		h := &b.Subtrees[i]
		hashes = append(hashes, int64(key), h.Level, h.Index, h.Hash[:])
	}
	checkpoints := []any{int64(key), b.Head.Size, b.Head.Checkpoint}
	for _, n := range b.Earlier {
		checkpoints = append(checkpoints, int64(key), n.Size, n.Text)
	}
	for _, row := range b.State {
		if row.Value != nil {
			state = append(state, int64(key), row.Key, row.Value)
		}
	}
	for _, identity := range b.Embedded {
		identities = append(identities, identity, int64(key))
	}
	if err := intoIDs.insert(tx, ids); isUnique(err) {
		return timeline.ErrSpent
	} else if err != nil {
		return err
	}
	for _, p := range []struct {
		into inserter
		args []any
	}{
		{intoEntries, entries},
		{intoTags, tags},
		{intoLinks, links},
		{intoHashes, hashes},
		{intoState, state},
		{intoIdentities, identities},
		{intoCheckpoints, checkpoints},
	} {
		if err := p.into.insert(tx, p.args); err != nil {
			return err
		}
	}
	return change(tx, key, b)
}

// change writes what a batch alters of rows that are there.
func change(tx *storage.DirectTx, key tenantKey, b *timeline.Batch) error {
	for _, row := range b.State {
		if row.Value == nil {
			if _, err := tx.Exec(`DELETE FROM timeline_state WHERE tenant = ? AND key = ?`, int64(key), row.Key); err != nil {
				return err
			}
		}
	}
	for _, c := range b.Statuses {
		if _, err := tx.Exec(`UPDATE timeline_entries SET status = ? WHERE position = ?`, c.Status, key.position(c.Seq)); err != nil {
			return err
		}
	}
	for _, seq := range b.Redacted {
		if _, err := tx.Exec(`UPDATE timeline_entries SET payload = NULL, salt = NULL, detail = NULL, redacted = 1 WHERE position = ?`, key.position(seq)); err != nil {
			return err
		}
	}
	return dropWords(tx, key, b.Redacted)
}

func isUnique(err error) bool {
	return err != nil && fault.CodeOf(storage.Classify(err)) == "unique_violation"
}

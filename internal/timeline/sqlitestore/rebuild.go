package sqlitestore

import (
	"context"
	"errors"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// rebuildRows is how many entries are rewritten with one round of statements.
const rebuildRows = 256

// Rebuild implements timeline.Keeper.
func (s *Store) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	key, err := s.key(ctx, r.Tenant.ID)
	if err != nil {
		return err
	}
	s.erase.Store(true)
	err = s.db.Direct(ctx, func(tx *storage.DirectTx) error {
		var found [2]int64
		if err := tx.Numbers(found[:], `SELECT count(*), coalesce(max(position), 0) FROM timeline_entries WHERE position >= ? AND position < ?`,
			key.position(0), int64(key+1)<<seqBits); err != nil {
			return err
		}
		count, last := uint64(found[0]), found[1]
		if count != r.Head.Size || count == 0 || seqOf(last) != count-1 {
			return timeline.ErrRebuildStale
		}
		b := &rebuilder{tx: tx, key: key}
		if err := b.clear(); err != nil {
			return err
		}
		if err := b.singles(r); err != nil {
			return err
		}
		var rows []timeline.RebuiltRow
		if err := r.Rows(ctx, func(row timeline.RebuiltRow) error {
			if rows = append(rows, row); len(rows) < rebuildRows {
				return nil
			}
			defer func() { rows = rows[:0] }()
			return b.rows(rows)
		}); err != nil {
			return err
		}
		return b.rows(rows)
	})
	if err != nil {
		return storage.Classify(err)
	}
	s.emptyLog(context.WithoutCancel(ctx))
	return nil
}

// rebuilder writes what was derived anew in one transaction.
type rebuilder struct {
	tx  *storage.DirectTx
	key tenantKey
}

// clear empties the tables that hold nothing but derived rows.
func (b *rebuilder) clear() error {
	for _, table := range []string{"timeline_ids", "timeline_tags", "timeline_links", "timeline_hashes", "timeline_state", "timeline_identities", "timeline_heads", "timeline_words"} {
		if _, err := b.tx.Exec("DELETE FROM "+table+" WHERE tenant = ?", int64(b.key)); err != nil {
			return err
		}
	}
	return beginIndex(b.tx, b.key)
}

// singles writes everything but what comes from single entries.
func (b *rebuilder) singles(r *timeline.Rebuilt) error {
	t := &r.Tenant
	_, err := b.tx.Exec(`UPDATE timeline_tenants SET slug = ?, name = ?, node = ?, owner = ?, origin = ?, log_key = ? WHERE tenant = ?`,
		t.Slug, t.Name, t.Node, t.Owner, t.Origin, t.LogKey, int64(b.key))
	if isUnique(err) {
		return timeline.ErrTenantTaken
	} else if err != nil {
		return err
	}
	if _, err := b.tx.Exec(`INSERT INTO timeline_heads (tenant, size, root, recorded_at, checkpoint, edge) VALUES (?, ?, ?, ?, ?, ?)`,
		int64(b.key), r.Head.Size, r.Head.Root[:], r.Head.RecordedAt, r.Head.Checkpoint, r.Head.EdgeBytes()); err != nil {
		return err
	}
	var state, hashes, identities []any
	for _, row := range r.State {
		state = append(state, int64(b.key), row.Key, row.Value)
	}
	for i := range r.Subtrees {
		h := &r.Subtrees[i]
		hashes = append(hashes, int64(b.key), h.Level, h.Index, h.Hash[:])
	}
	for _, identity := range r.Embedded {
		identities = append(identities, identity, int64(b.key))
	}
	return errors.Join(intoState.insert(b.tx, state), intoHashes.insert(b.tx, hashes), intoIdentities.insert(b.tx, identities))
}

// rows rewrites the columns and rows derived from some entries.
func (b *rebuilder) rows(rows []timeline.RebuiltRow) error {
	var ids, tags, links []any
	for i := range rows {
		r := &rows[i]
		text := `UPDATE timeline_entries SET leaf = ?, recorded_at = ?, type = ?, author = ?, on_behalf_of = ?, subject = ?,
			visibility = ?, status = ?, redacted = ?`
		if r.Redacted {
			text += `, payload = NULL, salt = NULL, detail = NULL`
		}
		if _, err := b.tx.Exec(text+` WHERE position = ?`, r.Leaf[:], r.RecordedAt, r.Type, r.Author, orNull(r.OnBehalfOf), orNull(r.Subject),
			timeline.VisibilityNumber(r.Visibility), r.Status, r.Redacted, b.key.position(r.Seq)); err != nil {
			return err
		}
		for _, id := range r.Spent {
			ids = append(ids, int64(b.key), timeline.IDBytes(id.ID), id.Seq, timeline.SpentNumber(id.By))
		}
		for _, tag := range r.Tags {
			tags = append(tags, int64(b.key), tag, r.Seq)
		}
		for _, l := range r.Links {
			links = append(links, int64(b.key), int(l.Kind), timeline.IDBytes(l.ID), r.Seq)
		}
	}
	if err := intoIDs.insert(b.tx, ids); isUnique(err) {
		return timeline.ErrSpent
	} else if err != nil {
		return err
	}
	return errors.Join(intoTags.insert(b.tx, tags), intoLinks.insert(b.tx, links))
}

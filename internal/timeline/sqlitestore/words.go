package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

var (
	_ timeline.WordIndexer  = (*Store)(nil)
	_ timeline.WordSnapshot = (*snapshot)(nil)
)

// search answers a filter by its words.
func (p *plan) search(ctx context.Context) (timeline.Selection, error) {
	if len(p.filter.Types) > 0 {
		if err := p.resolveTypes(ctx); err != nil || len(p.types) == 0 {
			return timeline.Selection{}, err
		}
	}
	return timeline.SearchWords(ctx, p, p.filter, p.from, p.to)
}

// pagesText finds, in each block of ?2, the page in which a word ?3 would stand
// and those after it up to ?4.
const pagesText = `SELECT w.block, w.page FROM json_each(?2) b CROSS JOIN timeline_words w
	ON w.tenant = ?1 AND w.block = b.value AND w.word < ?4
	AND w.word >= (SELECT max(x.word) FROM timeline_words x WHERE x.tenant = ?1 AND x.block = b.value AND x.word <= ?3)`

// Pages implements timeline.WordSource.
func (p *plan) Pages(ctx context.Context, blocks []uint64, prefix string, each func(uint64, []byte) error) error {
	list, err := json.Marshal(blocks)
	if err != nil {
		return err
	}
	rows, err := p.store.read.query(ctx, pagesText, int64(p.key), string(list), prefix, words.After(prefix))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var block uint64
		var page sql.RawBytes
		if err := rows.Scan(&block, &page); err != nil {
			return readError("search words", err)
		}
		if err := each(block, page); err != nil {
			return err
		}
	}
	return ended("search words", rows)
}

// Candidates implements timeline.WordSource. Rows come in the order of the
// list, which drives the only loop there is.
func (p *plan) Candidates(ctx context.Context, seqs []uint64, each func(*timeline.Record) (bool, error)) (cut bool, err error) {
	list, err := json.Marshal(seqs)
	if err != nil {
		return false, err
	}
	p.candidates(string(list))
	rows, err := p.store.db.Read.QueryContext(ctx, p.text, p.args...)
	if err != nil {
		return false, readError("query entries", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return false, err
		}
		if p.checkTyp {
			typ, err := timeline.TypeOf(r.Line)
			if err != nil {
				return false, err
			}
			if !p.filter.MatchesType(typ) {
				continue
			}
		}
		if more, err := each(&r); err != nil || !more {
			return true, err
		}
	}
	return false, ended("query entries", rows)
}

// candidates writes the statement of Candidates.
func (p *plan) candidates(list string) {
	p.text = `SELECT ` + recordColumns + ` FROM json_each(?) c CROSS JOIN timeline_entries e ON e.position = ? + c.value WHERE true`
	p.args = []any{list, int64(p.key) << seqBits}
	p.rest("")
}

const indexedText = `SELECT coalesce(i.version, 0), coalesce(i.blocks, 0), coalesce(i.erasures, 0), h.size, i.tenant IS NOT NULL
	FROM timeline_heads h LEFT JOIN timeline_indexed i ON i.tenant = h.tenant WHERE h.tenant = ?`

// indexed reads how far the index has come and how many blocks are complete.
func (s *Store) indexed(ctx context.Context, key tenantKey) (at timeline.Indexed, complete uint64, there bool, err error) {
	row, err := s.read.queryRow(ctx, indexedText, int64(key))
	if err != nil {
		return at, 0, false, err
	}
	var size uint64
	if err := row.Scan(&at.Version, &at.Blocks, &at.Erasures, &size, &there); err != nil {
		return at, 0, false, readError("read index of words", err)
	}
	return at, size / words.Size, there, nil
}

// IndexWords implements timeline.WordIndexer. Everything but the writing of the
// block happens outside the one transaction that appends wait for.
func (s *Store) IndexWords(ctx context.Context, tenant string) (left uint64, busy bool, err error) {
	key, err := s.key(ctx, tenant)
	if err != nil {
		return 0, false, err
	}
	at, complete, there, err := s.indexed(ctx, key)
	if err != nil || there && at.Version == words.Version && at.Blocks >= complete || complete == 0 {
		return 0, false, err
	}
	if !there || at.Version != words.Version {
		// Before anything is read, so that an erasure from now on is counted.
		return complete, false, s.reindex(ctx, key)
	}
	block, err := s.unindexed(ctx, key, at.Blocks, complete)
	if err != nil {
		return 0, false, err
	}
	next, pages := block, []words.Page(nil)
	if block < complete {
		next = block + 1
		if pages, err = timeline.BlockPages(tenant, block, func(from, to uint64) ([]timeline.Record, error) { return s.Range(ctx, tenant, from, to) }); err != nil {
			return 0, false, err
		}
	}
	busy, err = s.writeBlock(ctx, key, at, next, pages)
	if busy {
		next = at.Blocks
	}
	return complete - next, busy, err
}

// writeBlock moves the index on to next, and writes the pages, if there are any,
// of the block before, unless it has moved or content was erased since at.
func (s *Store) writeBlock(ctx context.Context, key tenantKey, at timeline.Indexed, next uint64, pages []words.Page) (lost bool, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE timeline_indexed SET blocks = ? WHERE tenant = ? AND version = ? AND blocks = ? AND erasures = ?`,
			int64(next), int64(key), at.Version, int64(at.Blocks), int64(at.Erasures))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if lost = n != 1; err != nil || lost || pages == nil {
			return err
		}
		return putPages(ctx, tx, key, next-1, pages)
	})
	return lost, storage.Classify(err)
}

// reindex begins the index of a timeline, from nothing.
func (s *Store) reindex(ctx context.Context, key tenantKey) error {
	return s.db.Direct(ctx, func(tx *storage.DirectTx) error { return beginIndex(tx, key) })
}

func beginIndex(tx *storage.DirectTx, key tenantKey) error {
	_, err := tx.Exec(`INSERT INTO timeline_indexed (tenant, version, blocks, erasures) VALUES (?, ?, 0, 0)
		ON CONFLICT DO UPDATE SET version = excluded.version, blocks = 0, erasures = erasures + 1`, int64(key), words.Version)
	return err
}

func putPages(ctx context.Context, tx *sql.Tx, key tenantKey, block uint64, pages []words.Page) error {
	if _, err := tx.ExecContext(ctx, dropWordsText, int64(key), int64(block)); err != nil {
		return err
	}
	for _, page := range pages {
		if _, err := tx.ExecContext(ctx, `INSERT INTO timeline_words (tenant, block, word, page) VALUES (?, ?, ?, ?)`,
			int64(key), int64(block), page.First, page.Data); err != nil {
			return err
		}
	}
	return nil
}

// unindexed is the first block in [from, to) without an index, to where there
// is none.
func (s *Store) unindexed(ctx context.Context, key tenantKey, from, to uint64) (uint64, error) {
	for ; from < to; from++ {
		row, err := s.read.queryRow(ctx, `SELECT count(*) FROM timeline_words WHERE tenant = ? AND block = ? AND word = '' AND substr(page, 1, 1) = ?`,
			int64(key), int64(from), []byte{words.Version})
		if err != nil {
			return 0, err
		}
		var n int
		if err := row.Scan(&n); err != nil {
			return 0, readError("read index of words", err)
		}
		if n == 0 {
			break
		}
	}
	return from, nil
}

// What an append does to the index when it erases content: the whole block's
// words go, and are made again without those.
const (
	eraseWordsText = `INSERT INTO timeline_indexed (tenant, version, blocks, erasures) VALUES (?, ?, 0, 1)
		ON CONFLICT DO UPDATE SET erasures = erasures + 1, blocks = min(blocks, ?)`
	dropWordsText = `DELETE FROM timeline_words WHERE tenant = ? AND block = ?`
)

// dropWords takes the blocks of erased entries out of the index.
func dropWords(tx *storage.DirectTx, key tenantKey, redacted []uint64) error {
	blocks := timeline.BlocksOf(redacted)
	if len(blocks) == 0 {
		return nil
	}
	if _, err := tx.Exec(eraseWordsText, int64(key), words.Version, int64(blocks[0])); err != nil {
		return err
	}
	for _, block := range blocks {
		if _, err := tx.Exec(dropWordsText, int64(key), int64(block)); err != nil {
			return err
		}
	}
	return nil
}

// WordPages implements timeline.WordSnapshot.
func (p *snapshot) WordPages(ctx context.Context, id string, each func(uint64, words.Page) error) error {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return err
	}
	return p.each(ctx, `SELECT block, word, page FROM timeline_words WHERE tenant = ? ORDER BY tenant, block, word`, func(row scanner) error {
		var block uint64
		var page words.Page
		if err := row.Scan(&block, &page.First, &page.Data); err != nil {
			return err
		}
		return each(block, page)
	}, int64(key))
}

// Indexed implements timeline.WordSnapshot.
func (p *snapshot) Indexed(ctx context.Context, id string) (at timeline.Indexed, err error) {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return at, err
	}
	err = p.each(ctx, `SELECT version, blocks, erasures FROM timeline_indexed WHERE tenant = ?`, func(row scanner) error {
		return row.Scan(&at.Version, &at.Blocks, &at.Erasures)
	}, int64(key))
	return at, err
}

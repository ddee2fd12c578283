package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

var (
	_ timeline.WordIndexer  = (*Store)(nil)
	_ timeline.WordSnapshot = (*snapshot)(nil)
)

// search answers a filter by its words.
func (p *plan) search(ctx context.Context, s *Store) (timeline.Selection, error) {
	if len(p.filter.Types) > 0 && len(p.types) == 0 {
		return timeline.Selection{}, nil
	}
	return timeline.SearchWords(ctx, &wordSource{s, p}, p.filter, p.from, p.to)
}

// wordSource is the words and the entries of one plan.
type wordSource struct {
	store *Store
	plan  *plan
}

// oneByOne keeps the planner to looking up each item of a list by index, in the
// order of the list, for the rest of the transaction.
const oneByOne = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true)`

// listed reads rows that a list leads to.
func (s *Store) listed(ctx context.Context, key tenantKey, scan func(pgx.Rows) error, text string, args ...any) error {
	b := about(key)
	b.Queue(oneByOne)
	b.Queue(text, args...).Query(each(scan))
	return s.read(ctx, "search words", b)
}

// pagesText finds, in each block of $2, the page in which a word $3 would stand
// and those after it up to $4.
const pagesText = `SELECT w.block, w.page FROM unnest($2::bigint[]) b (block) CROSS JOIN LATERAL (
		SELECT max(x.word) AS word FROM timeline_words x WHERE x.tenant = $1 AND x.block = b.block AND x.word <= $3) f
	CROSS JOIN LATERAL (SELECT v.block, v.page FROM timeline_words v
		WHERE v.tenant = $1 AND v.block = b.block AND v.word >= f.word AND v.word < $4 OFFSET 0) w`

// Pages implements timeline.WordSource.
func (w *wordSource) Pages(ctx context.Context, blocks []uint64, prefix string, each func(uint64, []byte) error) error {
	return w.store.listed(ctx, w.plan.key, func(rows pgx.Rows) error {
		var block uint64
		var page []byte
		if err := rows.Scan(&block, &page); err != nil {
			return err
		}
		return each(block, page)
	}, pagesText, w.plan.key, numbers(blocks), prefix, words.After(prefix))
}

// Candidates implements timeline.WordSource. The server sends no more bytes
// than one search looks at, and the one entry beyond.
func (w *wordSource) Candidates(ctx context.Context, seqs []uint64, each func(*timeline.Record) (bool, error)) (cut bool, err error) {
	q := w.plan.candidates(seqs)
	sent, done := 0, false
	err = w.store.listed(ctx, q.key, func(rows pgx.Rows) error {
		if done {
			return nil
		}
		r, err := scanRecord(rows)
		if err != nil {
			return err
		}
		sent += len(r.Line) + len(r.Payload) + len(r.Detail)
		more, err := each(&r)
		done = !more
		return err
	}, q.text, q.args...)
	return done || sent > scanBytes, err
}

// candidates is the statement of Candidates.
func (p *plan) candidates(seqs []uint64) *plan {
	q := &plan{key: p.key, filter: p.filter, types: p.types}
	// OFFSET 0 keeps the planner from joining in another order.
	q.text = `SELECT e.* FROM unnest(` + q.arg(numbers(seqs)) + `::bigint[]) c (seq) CROSS JOIN LATERAL (SELECT * FROM timeline_entries
		WHERE tenant = ` + q.arg(p.key) + ` AND seq = c.seq OFFSET 0) e WHERE true` + q.rest("")
	if p.filter.Tag != "" {
		q.text += ` AND EXISTS (SELECT FROM timeline_tags g WHERE g.tenant = ` + q.arg(p.key) + ` AND g.tag = ` + q.arg(p.filter.Tag) + ` AND g.seq = e.seq)`
	}
	q.text = page(q.text, q.way(), q.arg(scanBytes))
	return q
}

func numbers(of []uint64) []int64 {
	out := make([]int64, len(of))
	for i, n := range of {
		out[i] = int64(n)
	}
	return out
}

const indexedText = `SELECT coalesce(i.version, 0), coalesce(i.blocks, 0), coalesce(i.erasures, 0), h.size, i.tenant IS NOT NULL
	FROM timeline_heads h LEFT JOIN timeline_indexed i ON i.tenant = h.tenant WHERE h.tenant = $1`

// indexing lets one process at a time index a timeline; it is "word" in ASCII.
const indexing = 0x776f7264

// IndexWords implements timeline.WordIndexer. Meanwhile a lock of this kind of
// work alone is held, which nothing else waits for; the row that erasures count
// in is locked while the block is written.
func (s *Store) IndexWords(ctx context.Context, tenant string) (left uint64, busy bool, err error) {
	key, err := s.key(ctx, tenant)
	if err != nil {
		return 0, false, err
	}
	var at timeline.Indexed
	var size uint64
	var there bool
	if err := s.one(ctx, "read index of words", key, []any{&at.Version, &at.Blocks, &at.Erasures, &size, &there}, indexedText, key); err != nil {
		return 0, false, readError("read index of words", noRow(err))
	}
	complete := size / words.Size
	if complete == 0 || there && at.Version == words.Version && at.Blocks >= complete {
		return 0, false, nil
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return 0, false, err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		left, busy, err = s.indexBlock(ctx, tx, key, tenant, complete)
		return err
	})
	return left, busy, storage.Classify(err)
}

// indexBlock is IndexWords in its transaction.
func (s *Store) indexBlock(ctx context.Context, tx pgx.Tx, key tenantKey, tenant string, complete uint64) (left uint64, busy bool, err error) {
	var free bool
	if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1, $2)`, indexing, int32(key)).Scan(&free); err != nil || !free {
		return complete, true, err
	}
	var at timeline.Indexed
	var size uint64
	var there bool
	b := about(key)
	b.Queue(indexedText, key).QueryRow(func(row pgx.Row) error { return row.Scan(&at.Version, &at.Blocks, &at.Erasures, &size, &there) })
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return 0, false, err
	}
	if !there || at.Version != words.Version {
		// Before anything is read, so that an erasure from now on is counted.
		_, err := tx.Exec(ctx, beginIndexText, words.Version)
		return complete, false, err
	}
	block, err := unindexed(ctx, tx, key, at.Blocks, complete)
	if err != nil {
		return 0, false, err
	}
	next := block
	var pages []words.Page
	if block < complete {
		next = block + 1
		if pages, err = timeline.BlockPages(tenant, block, func(from, to uint64) ([]timeline.Record, error) { return entriesOf(ctx, tx, key, from, to) }); err != nil {
			return 0, false, err
		}
	}
	tag, err := tx.Exec(ctx, `UPDATE timeline_indexed SET blocks = $1 WHERE tenant = $2 AND version = $3 AND blocks = $4 AND erasures = $5`,
		next, key, at.Version, at.Blocks, at.Erasures)
	if err != nil || tag.RowsAffected() != 1 {
		return complete - at.Blocks, true, err
	}
	if block == complete {
		return 0, false, nil
	}
	firsts, data := make([]string, len(pages)), make([][]byte, len(pages))
	for i := range pages {
		firsts[i], data[i] = pages[i].First, pages[i].Data
	}
	b = &pgx.Batch{}
	b.Queue(dropWordsText, []int64{int64(block)})
	b.Queue(`INSERT INTO timeline_words (tenant, block, word, page) SELECT logline_tenant(), $1, * FROM unnest($2::text[], $3::bytea[])`, block, firsts, data)
	return complete - next, false, tx.SendBatch(ctx, b).Close()
}

const (
	beginIndexText = `INSERT INTO timeline_indexed (tenant, version, blocks, erasures) VALUES (logline_tenant(), $1, 0, 0)
		ON CONFLICT (tenant) DO UPDATE SET version = excluded.version, blocks = 0, erasures = timeline_indexed.erasures + 1`
	// What an append does to the index when it erases content: the whole block's
	// words go, and are made again without those. The first statement waits for
	// a block that is being written, so that the second one sees it.
	eraseWordsText = `INSERT INTO timeline_indexed (tenant, version, blocks, erasures) VALUES (logline_tenant(), $1, 0, 1)
		ON CONFLICT (tenant) DO UPDATE SET erasures = timeline_indexed.erasures + 1, blocks = least(timeline_indexed.blocks, $2)`
	dropWordsText = `DELETE FROM timeline_words WHERE tenant = logline_tenant() AND block = ANY($1::bigint[])`
)

// dropWords takes the blocks of erased entries out of the index.
func dropWords(message *pgx.Batch, redacted []uint64) {
	if blocks := timeline.BlocksOf(redacted); len(blocks) > 0 {
		message.Queue(eraseWordsText, words.Version, blocks[0])
		message.Queue(dropWordsText, numbers(blocks))
	}
}

// entriesOf is Range in a transaction, so that a pool of one connection is enough.
func entriesOf(ctx context.Context, tx pgx.Tx, key tenantKey, from, to uint64) (out []timeline.Record, err error) {
	b := &pgx.Batch{}
	b.Queue(rangeText, key, from, to, maxRange, timeline.MaxPageBytes).Query(each(func(rows pgx.Rows) error {
		r, err := scanRecord(rows)
		out = append(out, r)
		return err
	}))
	return out, tx.SendBatch(ctx, b).Close()
}

// unindexedText finds the first block in [$2, $3) without an index.
const unindexedText = `SELECT b FROM generate_series($2::bigint, $3::bigint - 1) b WHERE NOT EXISTS (SELECT FROM timeline_words w
	WHERE w.tenant = $1 AND w.block = b AND w.word = '' AND get_byte(w.page, 0) = $4) LIMIT 1`

// unindexed is that block, to where there is none.
func unindexed(ctx context.Context, tx pgx.Tx, key tenantKey, from, to uint64) (uint64, error) {
	const atOnce = 10_000
	for ; from < to; from += atOnce {
		end := min(to, from+atOnce)
		found := end
		b := &pgx.Batch{}
		b.Queue(oneByOne)
		b.Queue(unindexedText, key, from, end, words.Version).Query(each(func(rows pgx.Rows) error { return rows.Scan(&found) }))
		if err := tx.SendBatch(ctx, b).Close(); err != nil || found < end {
			return found, err
		}
	}
	return to, nil
}

// WordPages implements timeline.WordSnapshot.
func (p *snapshot) WordPages(ctx context.Context, id string, each func(uint64, words.Page) error) error {
	key, err := p.open(ctx, id)
	if err != nil {
		return err
	}
	return p.each(ctx, `SELECT block, word, page FROM timeline_words WHERE tenant = $1 ORDER BY tenant, block, word`, func(row scanner) error {
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
	key, err := p.open(ctx, id)
	if err != nil {
		return at, err
	}
	err = p.each(ctx, `SELECT version, blocks, erasures FROM timeline_indexed WHERE tenant = $1`, func(row scanner) error {
		return row.Scan(&at.Version, &at.Blocks, &at.Erasures)
	}, int64(key))
	return at, err
}

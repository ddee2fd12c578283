package sqlitestore

import (
	"context"
	"database/sql"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// askText answers one ask together with the head.
func askText(descending bool) string {
	text := `SELECT size, root, NULL, NULL FROM timeline_heads WHERE tenant = ?1
		UNION ALL SELECT NULL, NULL, key, value FROM (SELECT key, value FROM timeline_state
			WHERE tenant = ?1 AND key >= ?2 AND key < ?3 ORDER BY key`
	if descending {
		text += ` DESC`
	}
	return text + ` LIMIT ?4)`
}

// Rows implements timeline.RowReader. One ask is one statement; several are in
// one transaction, so that all of them see one head.
func (s *Store) Rows(ctx context.Context, id string, asks []timeline.Ask) (timeline.Asked, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return timeline.Asked{}, err
	}
	statements := map[bool]*sql.Stmt{}
	for i := range asks {
		if err := asks[i].Check(); err != nil {
			return timeline.Asked{}, err
		}
		if statements[asks[i].Descending], err = s.read.get(ctx, askText(asks[i].Descending)); err != nil {
			return timeline.Asked{}, err
		}
	}
	out := timeline.Asked{Rows: make([][]standing.Row, len(asks))}
	if len(asks) == 0 {
		head, err := s.Head(ctx, id)
		out.Size, out.Root = head.Size, head.Root
		return out, err
	}
	if len(asks) == 1 {
		return out, answer(ctx, statements[asks[0].Descending], key, &asks[0], 0, &out)
	}
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return timeline.Asked{}, readError("read state rows", err)
	}
	defer tx.Rollback() // it only read
	for i := range asks {
		if err := answer(ctx, tx.StmtContext(ctx, statements[asks[i].Descending]), key, &asks[i], i, &out); err != nil {
			return timeline.Asked{}, err
		}
	}
	return out, nil
}

// answer asks for the head and the rows of ask n.
func answer(ctx context.Context, st *sql.Stmt, key tenantKey, a *timeline.Ask, n int, out *timeline.Asked) error {
	rows, err := st.QueryContext(ctx, int64(key), a.Low, a.High, a.Limit)
	if err != nil {
		return readError("read state rows", err)
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var size sql.Null[uint64]
		var root []byte
		var name sql.NullString
		var value []byte
		if err := rows.Scan(&size, &root, &name, &value); err != nil {
			return readError("read state rows", err)
		}
		if !size.Valid {
			out.Rows[n] = append(out.Rows[n], standing.Row{Key: name.String, Value: orEmpty(value)})
			continue
		}
		found, out.Size = true, size.V
		if out.Root, err = timeline.HashOf(root); err != nil {
			return err
		}
	}
	if err := ended("read state rows", rows); err != nil || found {
		return err
	}
	return readError("read state rows", sql.ErrNoRows)
}

// orEmpty keeps a value without bytes apart from none.
func orEmpty(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

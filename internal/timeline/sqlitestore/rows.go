package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

const headRow = `SELECT NULL, size, root, NULL, NULL FROM timeline_heads WHERE tenant = ?1 UNION ALL `

// askText answers one ask together with the head.
func askText(descending bool) string {
	text := headRow + `SELECT 0, NULL, NULL, key, value FROM (SELECT key, value FROM timeline_state
		WHERE tenant = ?1 AND key >= ?2 AND key < ?3 ORDER BY key`
	if descending {
		text += ` DESC`
	}
	return text + ` LIMIT ?4)`
}

// asksText answers asks of one direction and limit together with the head: each
// up to the row that is the last one within the limit. ?2 is their lows and highs
// in JSON, ?3 the limit less one.
func asksText(descending bool) string {
	text := `WITH asks (n, low, high) AS MATERIALIZED (SELECT key, value ->> 0, value ->> 1 FROM json_each(?2)) ` + headRow +
		`SELECT a.n, NULL, NULL, s.key, s.value FROM asks a CROSS JOIN timeline_state s WHERE s.tenant = ?1 AND `
	last := `(SELECT key FROM timeline_state WHERE tenant = ?1 AND key >= a.low AND key < a.high ORDER BY key LIMIT 1 OFFSET ?3)`
	if descending {
		return text + `s.key < a.high AND s.key >= coalesce(` + strings.Replace(last, "BY key", "BY key DESC", 1) + `, a.low)`
	}
	return text + `s.key >= a.low AND s.key < coalesce(` + last + ` || char(1), a.high)`
}

// kind is what asks that share a statement have in common.
type kind struct {
	descending bool
	limit      int
}

// Rows implements timeline.RowReader. One ask is one statement; several are one
// of each kind, in one transaction, so that all of them see one head.
func (s *Store) Rows(ctx context.Context, id string, asks []timeline.Ask) (timeline.Asked, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return timeline.Asked{}, err
	}
	kinds := map[kind][]int{}
	for i := range asks {
		a := &asks[i]
		if err := a.Check(); err != nil {
			return timeline.Asked{}, err
		}
		k := kind{a.Descending, a.Limit}
		kinds[k] = append(kinds[k], i)
	}
	out := timeline.Asked{Rows: make([][]standing.Row, len(asks))}
	switch len(asks) {
	case 0:
		head, err := s.Head(ctx, id)
		out.Size, out.Root = head.Size, head.Root
		return out, err
	case 1:
		st, err := s.read.get(ctx, askText(asks[0].Descending))
		if err != nil {
			return timeline.Asked{}, err
		}
		return out, answer(ctx, st, &out, []int{0}, int64(key), asks[0].Low, asks[0].High, asks[0].Limit)
	}
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return timeline.Asked{}, readError("read state rows", err)
	}
	defer tx.Rollback() // it only read
	for k, of := range kinds {
		st, err := s.read.get(ctx, asksText(k.descending))
		if err != nil {
			return timeline.Asked{}, err
		}
		if err := answer(ctx, tx.StmtContext(ctx, st), &out, of, int64(key), bounds(asks, of), k.limit-1); err != nil {
			return timeline.Asked{}, err
		}
	}
	for i := range asks {
		slices.SortFunc(out.Rows[i], func(a, b standing.Row) int { return asks[i].Order(a.Key, b.Key) })
	}
	return out, nil
}

// bounds are the lows and highs of some of the asks, in JSON.
func bounds(asks []timeline.Ask, of []int) string {
	pairs := make([][2]string, len(of))
	for i, n := range of {
		pairs[i] = [2]string{asks[n].Low, asks[n].High}
	}
	text, _ := json.Marshal(pairs) // texts always have a form
	return string(text)
}

// answer asks for the head and the rows of some asks.
func answer(ctx context.Context, st *sql.Stmt, out *timeline.Asked, of []int, args ...any) error {
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return readError("read state rows", err)
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		var n sql.Null[int]
		var size sql.Null[uint64]
		var root []byte
		var name sql.NullString
		var value []byte
		if err := rows.Scan(&n, &size, &root, &name, &value); err != nil {
			return readError("read state rows", err)
		}
		if n.Valid {
			ask := of[n.V]
			out.Rows[ask] = append(out.Rows[ask], standing.Row{Key: name.String, Value: orEmpty(value)})
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

package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// DecisionState is the decision rows of one timeline after some entry, read on
// demand. What it answers does not change until the next entry is admitted;
// it is safe for concurrent use until then. What it returns is not to be
// changed. An error is the store's, and means that nothing can be said.
type DecisionState interface {
	// Get is the value of the row with this key.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Floor is the row with the greatest key that begins with prefix and is not
	// above key.
	Floor(ctx context.Context, prefix, key string) (row standing.Row, ok bool, err error)
	// Range are the rows whose keys begin with prefix and are above after, in
	// order of their bytes, at most limit. An empty after is before the first.
	Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error)
}

// Folder folds entries into the rows that decisions depend on. It is called for
// every entry, in order: when it is admitted, and again whenever the state is
// made anew from the lines (a check, a restore, an import), and must then come
// to the same rows. Implementations are safe for concurrent use, on states of
// their own.
type Folder interface {
	// Fold says which rows an entry changes; a nil value deletes the row, an
	// empty one does not. payload is nil but for types that can never be
	// redacted: nothing may depend on what can be erased. state is the rows
	// before the entry. An error refuses the entry.
	Fold(ctx context.Context, e *span.Entry, payload []byte, state DecisionState) ([]standing.Row, error)
}

// fold is what an entry changes, of rows that stores can keep.
func fold(ctx context.Context, f Folder, e *span.Entry, payload []byte, state DecisionState) ([]standing.Row, error) {
	if f == nil {
		return nil, nil
	}
	if span.Redactable(e.Span.Type) {
		payload = nil
	}
	rows, err := f.Fold(ctx, e, payload, state)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if err := checkRow(&rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

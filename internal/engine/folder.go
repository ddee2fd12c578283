package engine

import (
	"context"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Folder folds entries into the state that contracts decide by. Every timeline
// that an engine appends to has it.
type Folder struct{}

var _ timeline.Folder = Folder{}

// Fold implements timeline.Folder.
func (Folder) Fold(ctx context.Context, e *span.Entry, payload []byte, state timeline.DecisionState) ([]standing.Row, error) {
	return rules.Fold(ctx, state, e, payload)
}

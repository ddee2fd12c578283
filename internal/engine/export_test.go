package engine

import (
	"context"

	"github.com/danvoulez/logline/internal/span"
)

// StageOf names the stage on which spans of an author are simulated.
func (e *Engine) StageOf(ctx context.Context, tenant, author string) string {
	return e.stageOf(ctx, tenant, []*item{{span: &span.Span{Header: span.Header{Author: author}}}})
}

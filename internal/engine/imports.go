package engine

import (
	"context"
	"io"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/timeline"
)

// Import takes over a bundle of another node's timeline (see timeline.Log.Import)
// and wakes whoever follows it. One that has come whole is taken at a time, for each
// may need a lot of memory; others wait.
func (e *Engine) Import(ctx context.Context, bundle io.Reader, opt timeline.ImportOptions) (timeline.Imported, error) {
	if err := e.Ready(ctx); err != nil {
		return timeline.Imported{}, err
	}
	opt.Turn = func(ctx context.Context) (done func(), err error) {
		select {
		case e.imports <- struct{}{}:
			return func() { <-e.imports }, nil
		case <-ctx.Done():
			return nil, errCancelled.Because(context.Cause(ctx))
		}
	}
	out, err := e.log.Import(ctx, bundle, opt)
	if err == nil && out.To > out.From {
		e.bus.Publish(bus.Appended{Tenant: out.Tenant.ID, Size: out.To})
	}
	return out, err
}

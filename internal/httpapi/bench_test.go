package httpapi_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// BenchmarkAppend is what HTTP adds to an append, with no network and no engine.
func BenchmarkAppend(b *testing.B) {
	r := &timeline.Receipt{
		Line: bytes.Repeat([]byte("x"), 900), Checkpoint: bytes.Repeat([]byte("y"), 300), Proof: make([]span.Hash, 17), Size: 100_000,
	}
	fake := &broken{submit: func(context.Context) engine.Result {
		return engine.Result{Outcome: engine.Created, Receipt: r}
	}}
	handler := httpapi.New(httpapi.Deps{Engine: fake}).Handler()
	raw := bytes.Repeat([]byte("z"), 1200)
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, "/v1/tenants/00000000-0000-8000-8000-000000000000/spans", bytes.NewReader(raw))
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if rec.Code != http.StatusCreated {
			b.Fatal(rec.Code, rec.Body)
		}
	}
}

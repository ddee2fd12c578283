package cloudevents

import (
	"context"
	"fmt"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Keys unseals what signs for an identity in this node's custody; not_found
// not_in_custody for any other. *id.Custody implements it.
type Keys interface {
	Held(ctx context.Context, identity string) (id.Held, error)
}

// Engine records spans. *engine.Engine implements it.
type Engine interface {
	SubmitMany(ctx context.Context, tenant string, lines [][]byte) []engine.Result
}

// Log reads what was recorded. *timeline.Log implements it.
type Log interface {
	Get(ctx context.Context, tenant, spanID string) (timeline.Record, error)
	Receipt(ctx context.Context, tenant string, seq uint64) (timeline.Receipt, error)
}

var errConflict = fault.New(fault.Conflict, "event_conflict",
	"another event with this source and id is recorded here; an id is for one event of a source").At("/id", "stands for another event")

// Recorder signs events for callers that cannot, and records them.
type Recorder struct {
	keys   Keys
	engine Engine
	log    Log
	now    func() time.Time
}

// NewRecorder starts nothing.
func NewRecorder(keys Keys, e Engine, log Log, now func() time.Time) *Recorder {
	return &Recorder{keys: keys, engine: e, log: log, now: now}
}

// Record records events in a tenant (its id) as spans of whoever holds the
// credential, in order, with a result for each. An event sent before is answered
// with its first receipt (Repeat); another one under the same source and id with
// conflict event_conflict. An error means that none was recorded: forbidden
// events_unsigned or api_key_type_not_allowed, and what unsealing the key says.
// batch makes its places point into a batch.
func (r *Recorder) Record(ctx context.Context, who id.Credential, tenant string, events []*Event, batch bool) ([]engine.Result, error) {
	if who.APIKey == nil && who.Session == nil {
		return nil, id.ErrUnsigned
	}
	held, err := r.keys.Held(ctx, who.Identity)
	if fault.CodeOf(err) == "not_in_custody" {
		return nil, id.ErrUnsigned
	}
	if err != nil {
		return nil, err
	}
	now := span.FormatTime(r.now())
	spans, lines := make([]*span.Span, len(events)), make([][]byte, len(events))
	for i, e := range events {
		at := ""
		if batch {
			at = fmt.Sprintf("/%d", i)
		}
		typ := SpanType(e.Type)
		if err := who.MaySign(typ); err != nil {
			return nil, fault.From(err).At(at+"/type", "becomes "+typ)
		}
		if spans[i], err = seal(held, who.Identity, tenant, typ, e, now); err != nil {
			return nil, err
		}
		lines[i] = spans[i].Canonical()
	}
	results := r.engine.SubmitMany(ctx, tenant, lines)
	for i := range results {
		if fault.CodeOf(results[i].Err) == "id_conflict" {
			results[i] = r.repeat(ctx, tenant, spans[i], results[i])
		}
	}
	return results, nil
}

func seal(held id.Held, author, tenant, typ string, e *Event, now string) (*span.Span, error) {
	h := span.Header{
		ID: SpanID(held.Secret, tenant, author, e.Source, e.ID), Tenant: tenant, Author: author, Type: typ,
		Time: now, Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	if !e.Time.IsZero() {
		h.OccurredAt = span.FormatTime(e.Time)
	}
	return id.SealSpan(held, h, e.Payload(), salt(held.Secret, h.ID))
}

// repeat answers a span whose id is spent: by the same event at another time of
// signing, or with another key, or by another event.
func (r *Recorder) repeat(ctx context.Context, tenant string, sp *span.Span, refused engine.Result) engine.Result {
	record, err := r.log.Get(ctx, tenant, sp.ID)
	switch {
	case fault.KindOf(err) == fault.NotFound: // spent by a decision
		return refused
	case err != nil:
		return engine.Result{Err: fault.From(err)}
	case record.Entry.Span.Author != sp.Author || record.Entry.Span.PayloadHash != sp.PayloadHash:
		return engine.Result{Err: errConflict}
	}
	receipt, err := r.log.Receipt(ctx, tenant, record.Seq)
	if err != nil {
		return engine.Result{Err: fault.From(err)}
	}
	return engine.Result{Outcome: engine.Repeat, Receipt: &receipt, Decision: record.Entry.Decision}
}

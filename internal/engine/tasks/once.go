package tasks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Author records spans of the node's own. *engine.Engine implements it.
type Author interface {
	SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt engine.OwnOptions) engine.Result
}

// Spans finds the spans that tasks follow from. *timeline.Log implements it.
type Spans interface {
	Get(ctx context.Context, tenant, spanID string) (timeline.Record, error)
}

// Scribe records the node's spans about tasks, each once: its id follows from
// what it is for, and from a secret, so that nobody can spend it before the node
// and keep what a contract asks for from being done.
type Scribe struct {
	author Author
	spans  Spans
	node   string // LogLine ID
	secret []byte
}

// NewScribe records as the node of this id. secret is the node's, the same in all
// its processes and for ever.
func NewScribe(author Author, spans Spans, node string, secret []byte) *Scribe {
	return &Scribe{author, spans, node, secret}
}

// maxOthers bounds the ids that others have spent before the node came to them.
const maxOthers = 16

// record records a span, unless it is there already, and gives its id. One that
// somebody else has spent is passed over.
func (s *Scribe) record(ctx context.Context, tenant, typ string, payload []byte, opt engine.OwnOptions, at time.Time, of ...string) (spanID string, err error) {
	for n := range maxOthers {
		opt.ID = derivedID(s.secret, at, append(of, tenant, strconv.Itoa(n))...)
		r := s.author.SubmitOwn(ctx, tenant, typ, payload, opt)
		if fault.CodeOf(r.Err) != "id_conflict" {
			return opt.ID, r.Err
		}
		rec, err := s.spans.Get(ctx, tenant, opt.ID)
		if err != nil && fault.KindOf(err) != fault.NotFound { // spent by a refusal
			return "", err
		}
		if err != nil {
			continue
		}
		e, err := span.ParseLine(rec.Line)
		if err != nil {
			return "", err
		}
		if e.Span.Author == s.node && e.Span.Type == typ && slices.Equal(e.Span.Causes, opt.Causes) {
			return opt.ID, nil
		}
	}
	return "", fault.New(fault.Conflict, "ids_spent", "others have spent the ids that the node's span would have had")
}

// Tell records an entry of the node's without causes, once: its id follows from
// the rest.
func (s *Scribe) Tell(ctx context.Context, tenant, typ string, payload []byte, at time.Time, of ...string) error {
	_, err := s.record(ctx, tenant, typ, payload, engine.OwnOptions{}, at, of...)
	return err
}

// derivedID is a span id that follows from what it is for.
func derivedID(secret []byte, at time.Time, of ...string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("logline.task.v1\n" + strings.Join(of, "\n")))
	return span.NewID(at, [10]byte(mac.Sum(nil)[:10]))
}

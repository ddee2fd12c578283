package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/webhook"
)

// Endpoints finds where a tenant's webhooks go. *endpoint.Book implements it.
type Endpoints interface {
	// Endpoint is not_found for a name that is not set, and gone where the
	// receiver wants no more.
	Endpoint(ctx context.Context, tenant, name string) (webhook.Endpoint, error)
	// Gone notes that the receiver at this address wants no more.
	Gone(ctx context.Context, tenant, name, address string) error
}

// Postman delivers messages. *webhook.Sender implements it.
type Postman interface {
	Send(ctx context.Context, to webhook.Endpoint, m webhook.Message) webhook.Result
}

// Caller calls webhooks.
type Caller struct {
	spans     Spans
	endpoints Endpoints
	postman   Postman
}

// NewCaller makes the handler of rules.ActionCall.
func NewCaller(spans Spans, endpoints Endpoints, postman Postman) *Caller {
	return &Caller{spans, endpoints, postman}
}

// MaxCalls is how often a call is tried at most: what a contract can ask for,
// and the first time. It is the kind's Attempts.
const MaxCalls = 101

const (
	usualRetries = 19 // where a contract says nothing
	maxBackoff   = 24 * time.Hour
)

// call is the body of a call action.
type call struct {
	Webhook  string          `json:"webhook"`
	Endpoint string          `json:"endpoint"`
	Body     json.RawMessage `json:"body"`
	Timeout  string          `json:"timeout"`
	Retries  int             `json:"retries"`
	Backoff  string          `json:"backoff"`
}

// message is what a receiver gets, in the form that Standard Webhooks
// recommends.
type message struct {
	Type      string          `json:"type"`      // the webhook's name in the contract
	Timestamp string          `json:"timestamp"` // when what asks for it was recorded
	Tenant    string          `json:"tenant"`
	Span      string          `json:"span"` // that asks for it
	Data      json.RawMessage `json:"data"`
}

// called is the output, of tries that failed too.
type called struct {
	Webhook string `json:"webhook"` // the setting's name
	Outcome string `json:"outcome"`
	Status  int    `json:"status,omitzero"`
	Ms      int64  `json:"ms"`
	Answer  string `json:"answer,omitzero"` // the beginning
}

// Run is a Handler: it makes one try. The message's id follows from the task's
// key, so that a receiver can tell what it has already had.
func (c *Caller) Run(ctx context.Context, t *Task) ([]byte, error) {
	var ask call
	rec, err := action(ctx, c.spans, t, &ask)
	if err != nil {
		return nil, err
	}
	m, err := ask.message(t, rec.Line)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(ask.Endpoint, ask.Webhook)
	to, err := c.endpoints.Endpoint(ctx, t.Tenant, name)
	if err != nil {
		return nil, ask.again(t, err)
	}
	output, err := deliver(ctx, c.endpoints, c.postman, t, name, to, m)
	return output, ask.again(t, err)
}

// deliver makes one try to deliver a message of a task's to the endpoint of this
// name. There is an output of tries that fail too.
func deliver(ctx context.Context, endpoints Endpoints, postman Postman, t *Task, name string, to webhook.Endpoint, m webhook.Message) ([]byte, error) {
	r := postman.Send(ctx, to, m)
	if r.Code == webhook.CodeGone {
		if err := endpoints.Gone(ctx, t.Tenant, name, to.URL); err != nil {
			return nil, err
		}
	}
	output, err := span.Canonical(called{name, string(r.Outcome), r.Status, r.Took.Milliseconds(), r.Answer})
	if err != nil {
		return nil, err
	}
	return output, r.Err()
}

// message is the webhook that is asked for.
func (c *call) message(t *Task, line []byte) (webhook.Message, error) {
	entry, err := span.ParseLine(line)
	if err != nil {
		return webhook.Message{}, err
	}
	data := c.Body
	if data == nil {
		data = json.RawMessage("{}")
	}
	body, err := span.Canonical(message{c.Webhook, entry.RecordedAt, t.Tenant, t.Origin, data})
	if err != nil {
		return webhook.Message{}, err
	}
	return webhook.Message{ID: MessageID(t.Key), Body: body, Timeout: duration(c.Timeout)}, nil
}

// MessageID is the idempotency key of a call: the task's id without a full stop,
// which separates what is signed.
func MessageID(k Key) string { return k.Origin + "_" + strconv.Itoa(k.Action) }

// again is an error with the wait and the number of tries that the contract asks
// for. Tries that were given back, or granted again, do not count.
func (c *call) again(t *Task, err error) error {
	if err == nil {
		return nil
	}
	if t.Attempt > cmp.Or(c.Retries, usualRetries)+t.Attempts-MaxCalls {
		return Final(err)
	}
	backoff := min(duration(c.Backoff), maxBackoff)
	if backoff == 0 {
		return err
	}
	for i := 1; i < t.Attempt && backoff < maxBackoff; i++ {
		backoff *= 2
	}
	f := fault.From(err)
	return f.After(max(f.RetryAfter, min(backoff, maxBackoff)))
}

// duration reads what a contract's duration became in JSON (expr.FormatDuration);
// 0 for none.
func duration(text string) time.Duration {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 {
			return 0
		}
		return time.Duration(min(n, 365)) * 24 * time.Hour
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0
	}
	return d
}

package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"slices"

	strict "github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/client/openapi"
)

// Appended is the answer to one span: a receipt, or for a simulated span what
// would have happened.
type Appended struct {
	Status   int             // 201 appended, 202 appended and pending or not cosigned yet, 200 a repeat or simulated
	Receipt  *Receipt        // nil when simulated
	Decision json.RawMessage // only when simulated
	Foresight
}

// Foresight is what contracts said of a simulated span, beside the decision.
type Foresight struct {
	Refusal   *Refusal        `json:"refusal,omitempty"` // nil where none would refuse it
	Emitted   []string        `json:"emitted,omitempty"` // types of spans that the node would append
	Called    []string        `json:"called,omitempty"`  // webhooks
	Scheduled []string        `json:"scheduled,omitempty"`
	Trace     []TraceStep     `json:"trace,omitempty"`  // what ran, in order
	Detail    json.RawMessage `json:"detail,omitempty"` // notes, annotations, reasons and bodies of actions
}

// Repeat says that the span had been appended before.
func (a *Appended) Repeat() bool { return a.Status == http.StatusOK && a.Receipt != nil }

// LineResult is the answer to one line of AppendMany.
type LineResult struct {
	Line int // counted from 1
	Appended
	Problem *Problem // why the line was refused; nil when it was not
}

// CodeRefused is the code of a Problem by which a contract refused a span; its
// Meta has contract, rule and decision, the span id of the node's entry that
// keeps the attempt (absent where none does).
const CodeRefused = "refused_by_contract"

// DryRun has one span decided and not appended: the answer is that of a span
// whose status is simulated.
func DryRun() AppendOption {
	return func(p *openapi.AppendSpansParams) { p.DryRun = optional(true) }
}

// AppendOption changes one Append.
type AppendOption func(*openapi.AppendSpansParams)

// ExpectSize appends only if the timeline has exactly size entries.
func ExpectSize(size uint64) AppendOption {
	return func(p *openapi.AppendSpansParams) { p.LoglineExpectedSeq = &size }
}

// WaitWitnessed waits, within the node's limit, until witnesses have cosigned a
// checkpoint of the entry; the receipt is then under that one. Status is 202
// where they have not in time.
func WaitWitnessed() AppendOption {
	return func(p *openapi.AppendSpansParams) { p.Wait = optional(openapi.Witnessed) }
}

// Append appends one sealed span, sent byte for byte. Its own signature is its
// credential. Repeating it is safe: the answer is the first receipt.
func (c *Client) Append(ctx context.Context, tenant string, span []byte, opts ...AppendOption) (*Appended, error) {
	var params openapi.AppendSpansParams
	for _, o := range opts {
		o(&params)
	}
	resp, err := c.api.AppendSpansWithBody(ctx, tenant, &params, "application/json", bytes.NewReader(span), c.plain)
	body, status, err := answerOf(resp, err, maxEntries)
	if err != nil {
		return nil, err
	}
	out := &Appended{Status: status}
	if err := errors.Join(strictly(body), out.decode(body)); err != nil {
		return nil, unreadable(resp, err)
	}
	return out, nil
}

// decode reads a receipt or a simulation.
func (a *Appended) decode(body []byte) error {
	var doc struct {
		Simulated bool            `json:"simulated"`
		Decision  json.RawMessage `json:"decision"`
		Foresight
		Receipt
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return err
	}
	if doc.Simulated {
		a.Decision, a.Foresight = doc.Decision, doc.Foresight
	} else {
		a.Receipt = &doc.Receipt
	}
	return nil
}

// AppendMany appends sealed spans over one request and gives one result for
// each, in order. A refused line is a result with a Problem, not an error; an
// error leaves the lines after the results returned unknown, to be repeated.
func (c *Client) AppendMany(ctx context.Context, tenant string, spans [][]byte) ([]LineResult, error) {
	results := make([]LineResult, 0, len(spans))
	err := c.AppendStream(ctx, tenant, slices.Values(spans), func(r LineResult) error {
		results = append(results, r)
		return nil
	})
	if err == nil && len(results) != len(spans) {
		err = badAnswer(CodeLineCount, nil, "the node answered %d of %d lines; send the others again", len(results), len(spans))
	}
	return results, err
}

// errDone ends the sending side once the answer is complete.
var errDone = errors.New("the answer is complete")

// AppendStream is AppendMany for any number of spans: each is called for every
// result, in order, while later spans are still being sent, on the goroutine
// that called AppendStream. An error of each ends the request. Spans must hold
// no line break, which sealed (canonical) ones never do.
func (c *Client) AppendStream(ctx context.Context, tenant string, spans iter.Seq[[]byte], each func(LineResult) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, feed := io.Pipe()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		feed.CloseWithError(writeLines(feed, spans))
	}()
	defer func() { body.CloseWithError(errDone); <-sent }()

	resp, err := c.api.AppendSpansWithBody(ctx, tenant, &openapi.AppendSpansParams{}, "application/x-ndjson", body, c.plain)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return problemOf(resp)
	}
	results := bufio.NewReaderSize(resp.Body, 64<<10)
	for {
		line, err := results.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return brokenOff(err, "the answer to an append")
		}
		var r LineResult
		if err := r.UnmarshalJSON(line); err != nil {
			return unreadable(resp, err)
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// writeLines sends one span a line; nil is the end.
func writeLines(w io.Writer, spans iter.Seq[[]byte]) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	for span := range spans {
		if bytes.IndexByte(span, '\n') >= 0 {
			return errors.New("a span holds a line break: send it in canonical form")
		}
		if _, err := buf.Write(span); err != nil {
			return err
		}
		if err := buf.WriteByte('\n'); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// UnmarshalJSON reads one result line, strictly and in one pass: an import
// reads a receipt for every span that it signs.
func (r *LineResult) UnmarshalJSON(data []byte) error {
	var doc struct {
		Line     int             `json:"line"`
		Status   int             `json:"status"`
		Receipt  *Receipt        `json:"receipt"`
		Decision json.RawMessage `json:"decision"`
		Problem  *Problem        `json:"problem"`
		Foresight
	}
	if err := strict.Unmarshal(data, &doc); err != nil {
		return err
	}
	*r = LineResult{
		Line:     doc.Line,
		Appended: Appended{Status: doc.Status, Receipt: doc.Receipt, Decision: doc.Decision, Foresight: doc.Foresight},
		Problem:  doc.Problem,
	}
	return nil
}

// Simulate has the node try sealed spans together, each seeing those before it, and
// say all that would happen, as JSON (openapi.Simulation). Nothing is recorded.
func (c *Client) Simulate(ctx context.Context, tenant string, spans [][]byte) (json.RawMessage, error) {
	resp, err := c.api.SimulateSpansWithBody(ctx, tenant, "application/x-ndjson", bytes.NewReader(bytes.Join(spans, []byte("\n"))), c.plain)
	body, _, err := answerOf(resp, err, maxEntries)
	if err == nil {
		err = strictly(body)
	}
	return body, err
}

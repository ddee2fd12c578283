package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// DefaultPatience is how long a client waits for the next byte of an answer to a
// question, or for its first.
const DefaultPatience = 2 * time.Minute

// WithPatience waits d instead of DefaultPatience. What is sent to a node may
// take as long as it takes.
func WithPatience(d time.Duration) Option { return func(c *Client) { c.patience = d } }

// guard sends requests, waits for answers no longer than patience, and follows
// no redirect to another host: nodes give none, and whoever does could have
// another host answer, or learn what was asked.
type guard struct {
	http     *http.Client
	patience time.Duration
}

func newGuard(h *http.Client, patience time.Duration) *guard {
	own := *h
	if own.CheckRedirect == nil {
		own.CheckRedirect = sameHost
	}
	return &guard{http: &own, patience: patience}
}

func sameHost(req *http.Request, via []*http.Request) error {
	if from := via[0].URL; req.URL.Hostname() != from.Hostname() || from.Scheme == "https" && req.URL.Scheme != "https" {
		return badAnswer(CodeRedirected, nil, "%s sends the question on to %s, which no node does; if the node has moved there, name it with --url", from.Host, req.URL.Host)
	}
	if len(via) >= 10 {
		return badAnswer(CodeRedirected, nil, "%s sends the question round in a circle", req.URL.Host)
	}
	return nil
}

// Do implements openapi.HttpRequestDoer.
func (g *guard) Do(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		return g.http.Do(req)
	}
	stalled := badAnswer(CodeStalled, nil, "%s sent nothing more of its answer to %s for %s; try again", req.URL.Host, req.URL.Path, g.patience)
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(g.patience, func() { cancel(stalled) })
	resp, err := g.http.Do(req.WithContext(ctx))
	if err != nil {
		timer.Stop()
		defer cancel(nil)
		if errors.Is(context.Cause(ctx), stalled) {
			return nil, stalled
		}
		return nil, err
	}
	timer.Reset(g.patience)
	resp.Body = &guardedBody{body: resp.Body, ctx: ctx, cancel: cancel, timer: timer, patience: g.patience}
	return resp, nil
}

// guardedBody ends when nothing comes for too long.
type guardedBody struct {
	body     io.ReadCloser
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
}

// Read waits for the next bytes; the time that the reader takes between two reads
// does not count.
func (b *guardedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.patience)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF {
		if bad := (*BadAnswer)(nil); errors.As(context.Cause(b.ctx), &bad) {
			err = bad
		}
	}
	return n, err
}

func (b *guardedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}

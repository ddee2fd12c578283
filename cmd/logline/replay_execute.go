package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

const (
	// maxExecuted bounds the spans that one command does again.
	maxExecuted = 1000
	// replaysTag begins the tag that says what a span replays.
	replaysTag = "replays:"
)

// executed is a span that is done again.
type executed struct {
	Seq     uint64 `json:"seq"`
	Replays string `json:"replays"`
	Span    string `json:"span,omitempty"`
	Status  string `json:"status"` // appended, pending, done already, or refused
	Reason  string `json:"reason,omitempty"`
}

// again collects the entries that are to be done again.
type again struct{ list []*span.Opened }

// take takes an entry that was decided again. The node's own and the protocol's own
// are not done by anybody else; erased ones have nothing to do.
func (a *again) take(e *span.Opened) error {
	if span.IsReserved(e.Span.Type) || e.Payload == nil {
		return nil
	}
	if len(a.list) == maxExecuted {
		return fault.Newf(fault.Invalid, "replay_too_large", "more than %d spans are chosen; narrow the range, or choose fewer with --select", maxExecuted)
	}
	a.list = append(a.list, e)
	return nil
}

// execute signs and appends spans that do again what those in the list did.
func (s *session) execute(cmd *cobra.Command, list []*span.Opened) ([]executed, error) {
	out := make([]executed, 0, len(list))
	for _, e := range list {
		x, err := s.executeOne(cmd, e)
		if err != nil {
			return out, err
		}
		out = append(out, x)
	}
	return out, nil
}

// executeOne is done once, however often it is asked for: the span's id follows from
// what it replays and who does.
func (s *session) executeOne(cmd *cobra.Command, e *span.Opened) (executed, error) {
	x := executed{Seq: e.Seq, Replays: e.Span.ID}
	at, err := span.ParseTime(e.RecordedAt)
	if err != nil {
		return x, err
	}
	sum := sha256.Sum256([]byte("logline.replay.v1\n" + s.profile.Tenant + "\n" + e.Span.ID + "\n" + s.keys.ID()))
	f := appendFlags{
		spanID: span.NewID(at, [10]byte(sum[:10])), typ: e.Span.Type, title: e.Span.Title, subject: e.Span.Subject, visibility: e.Span.Visibility,
		tags: append(append([]string(nil), e.Span.Tags...), replaysTag+e.Span.ID), causes: []string{e.Span.ID}, onBehalfOf: e.Span.OnBehalfOf,
		occurredAt: e.Span.OccurredAt, key: s.signWith,
	}
	if f.occurredAt == "" {
		f.occurredAt = e.Span.Time
	}
	sealed, err := f.seal(cmd, s, e.Payload)
	if err != nil {
		return x, err
	}
	x.Span, x.Status = sealed.ID, "appended"
	answer, err := s.client.Append(cmd.Context(), sealed.Tenant, sealed.Canonical())
	switch code := client.CodeOf(err); {
	case code == codeIDConflict:
		if _, err = s.earlier(cmd.Context(), sealed, err); err != nil {
			return x, err
		}
		x.Status = "done already"
	case code == "refused_by_contract":
		x.Status, x.Span, x.Reason = "refused", "", err.Error()
	case err != nil:
		return x, err
	case answer.Status == 202:
		x.Status = "pending"
	}
	return x, nil
}

func printExecuted(env *environment, list []executed) error {
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("SEQ", "REPLAYS", "BY", "STATUS", "REASON")
	for _, x := range list {
		t.Row(strconv.FormatUint(x.Seq, 10), x.Replays, x.Span, x.Status, x.Reason)
	}
	return writeTable(env, t)
}

// remotely has the node decide the range, as a task.
func (f *replayFlags) remotely(ctx context.Context, env *environment, opt replay.Options) (*client.Task, error) {
	s, err := f.openTenant(env)
	if err != nil {
		return nil, err
	}
	r := client.ReplayRequest{From: opt.From, To: opt.To, Mode: client.ReplayMode(opt.Mode), Select: f.choose, Show: min(f.show, 1000)}
	for _, c := range opt.Contracts {
		r.Sources = append(r.Sources, c.Source.Text)
	}
	return s.client.RequestReplay(ctx, s.profile.Tenant, r)
}

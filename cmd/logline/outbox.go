package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/outbox"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// outboxFlags say how spans are kept while no node can be reached.
type outboxFlags struct {
	offline, flush bool
	full           string
	limit          int
}

func (f *outboxFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.offline, "offline", false, "only sign, and keep the span in the outbox")
	cmd.Flags().BoolVar(&f.flush, "flush", false, "send what waits in the outbox, and append nothing")
	cmd.Flags().StringVar(&f.full, "outbox-full", "", "when the outbox is full: error, reject-new or drop-oldest (or LOGLINE_OUTBOX_FULL, or the profile's outbox_full; default error)")
	cmd.Flags().IntVar(&f.limit, "outbox-limit", -1, "spans that may wait in the outbox, 0 for no outbox (or LOGLINE_OUTBOX_LIMIT, or the profile's outbox_limit; default 1000)")
}

// settle fills what the flags leave open from the environment and the profile.
func (f *outboxFlags) settle(env *environment, p profile) (outbox.Policy, int, error) {
	full := firstOf(f.full, env.Getenv("LOGLINE_OUTBOX_FULL"), p.OutboxFull, string(outbox.Fail))
	if !slices.Contains(outbox.Policies, full) {
		return "", 0, usagef("--outbox-full %q must be one of %s", ui.Clean(full), strings.Join(outbox.Policies, ", "))
	}
	limit := outbox.DefaultLimit
	if p.OutboxLimit != nil {
		limit = *p.OutboxLimit
	}
	if text := env.Getenv("LOGLINE_OUTBOX_LIMIT"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return "", 0, usagef("LOGLINE_OUTBOX_LIMIT %q is not a number", ui.Clean(text))
		}
		limit = n
	}
	if f.limit >= 0 {
		limit = f.limit
	}
	if limit < 0 || limit > maxOutbox {
		return "", 0, usagef("the outbox may hold 0 to %d spans", maxOutbox)
	}
	return outbox.Policy(full), limit, nil
}

// maxOutbox is the highest limit: the folder is read whole.
const maxOutbox = 100_000

// staleAfter is when it is said that spans wait for long, and refusedAfter when
// a node refuses them, unless its tenant's window is another.
const (
	staleAfter   = 5 * 24 * time.Hour
	refusedAfter = 7 * 24 * time.Hour
)

// outboxOf is the profile's outbox.
func outboxOf(env *environment, p profile) (*outbox.Box, error) {
	dir, err := configDir(env)
	if err != nil {
		return nil, err
	}
	return outbox.Open(filepath.Join(dir, "outbox", firstOf(p.Name, "no-profile"))), nil
}

// keep puts a signed span into the outbox; reason says why it was not sent.
func (s *session) keep(ctx context.Context, f *outboxFlags, sealed *span.Span, reason string, asJSON bool) error {
	policy, limit, err := f.settle(s.env, s.profile)
	if err != nil {
		return err
	}
	box, err := outboxOf(s.env, s.profile)
	if err != nil {
		return err
	}
	now := s.env.Now()
	added, err := box.Add(ctx, outbox.Item{Node: s.profile.Node, KeptAt: now.UTC(), Span: sealed, Raw: sealed.Canonical()}, limit, policy)
	if err != nil {
		return err
	}
	w := s.env.Stderr
	for _, l := range added.Lost {
		verb := "dropped the oldest span"
		if l.Policy == outbox.RejectNew {
			verb = "rejected this span"
		}
		fmt.Fprintf(w, "The outbox is full (%d spans): %s, %s %s. It is lost; %s names it.\n",
			limit, verb, ui.Clean(l.Type), l.ID, filepath.Join(box.Dir(), "lost.ndjson"))
	}
	if added.Kept {
		fmt.Fprintf(w, "%s. %s in the outbox; the next command that reaches the node sends %s.\n",
			reason, waits(added.Waiting), it(added.Waiting))
	}
	warnStale(w, added.Oldest, now)
	if asJSON {
		return printJSON(s.env.Stdout, map[string]any{
			"kept": added.Kept, "id": sealed.ID, "waiting": added.Waiting, "lost": lostJSON(added.Lost)})
	}
	if added.Kept {
		fmt.Fprintf(s.env.Stdout, "Signed and kept for later: %s\n", sealed.ID)
	}
	return nil
}

func waits(n int) string {
	if n == 1 {
		return "1 span waits"
	}
	return ui.Count(int64(n)) + " spans wait"
}

func lostJSON(lost []outbox.Lost) []outbox.Lost {
	if lost == nil {
		return []outbox.Lost{}
	}
	return lost
}

func it(n int) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

// warnStale says that spans wait for so long that they will be refused soon.
func warnStale(w io.Writer, oldest, now time.Time) {
	if !oldest.IsZero() && now.Sub(oldest) > staleAfter {
		fmt.Fprintf(w, "Warning: the oldest span in the outbox was signed %s; a node refuses spans that are older than 7 days, from %s on.\n",
			oldest.Format("2006-01-02 15:04"), oldest.Add(refusedAfter).Format("2006-01-02 15:04"))
	}
}

// outOfReach says that no node answered, only the network or a proxy before it.
// A node that answers says itself why it takes nothing, which its caller must see.
func outOfReach(err error) bool {
	switch fault.CodeOf(remote.Fault(err)) {
	case "node_unreachable", "http_502", "http_503", "http_504":
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// sendFirst makes every command that talks to a node send what waits in the
// profile's outbox before its own work. Whatever comes of that is said, and
// keeps the command from nothing.
func sendFirst(env *environment, cmd *cobra.Command) {
	if run := cmd.RunE; run != nil && cmd.Flags().Lookup("profile") != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			if file, err := c.Flags().GetString("bundle"); err == nil && file != "" {
				return run(c, args) // it answers from a file, without a network
			}
			for _, skip := range []string{"offline", "flush", "simulate"} {
				if on, err := c.Flags().GetBool(skip); err == nil && on {
					return run(c, args)
				}
			}
			sendQuietly(c, env)
			return run(c, args)
		}
	}
	for _, child := range cmd.Commands() {
		sendFirst(env, child)
	}
}

// reachTimeout is how long a node may take to say who it is, before a command
// gives up on the outbox and does its own work.
const reachTimeout = 10 * time.Second

func sendQuietly(cmd *cobra.Command, env *environment) {
	var f clientFlags
	f.profile, _ = cmd.Flags().GetString("profile")
	f.url, _ = cmd.Flags().GetString("url") // where it has none, the profile's
	p, _, err := f.resolve(env)
	if err != nil {
		return // the command says so itself
	}
	box, err := outboxOf(env, p)
	if err != nil {
		return
	}
	status, err := box.Status()
	if err != nil || status.Waiting == 0 {
		return
	}
	sent, err := sendOutbox(cmd.Context(), env, p, box)
	printSent(env, box, sent)
	switch {
	case cmd.Context().Err() != nil:
	case err != nil && outOfReach(err): // the command comes to the same end, and says so
		warnStale(env.Stderr, status.Oldest, env.Now())
	case err != nil:
		fmt.Fprintf(env.Stderr, "The outbox could not be sent: %s\n", fault.From(remote.Fault(err)).Detail)
	}
}

// sendOutbox sends what waits for the profile's node, if that node answers.
func sendOutbox(ctx context.Context, env *environment, p profile, box *outbox.Box) (outbox.Sent, error) {
	c, err := dial(env, p, nil) // a span is its own credential
	if err != nil {
		return outbox.Sent{}, err
	}
	reach, cancel := context.WithTimeout(ctx, reachTimeout)
	node, err := c.Node(reach)
	cancel()
	if err != nil {
		return outbox.Sent{}, err
	}
	return box.Send(ctx, node.Id, func(ctx context.Context, items []outbox.Item) ([]outbox.Verdict, error) {
		return sendItems(ctx, c, p, items)
	})
}

// sendItems sends a batch and says what became of each span. A receipt of the
// profile's own tenant is checked before its span counts as delivered.
func sendItems(ctx context.Context, c *client.Client, p profile, items []outbox.Item) ([]outbox.Verdict, error) {
	lines := make([][]byte, len(items))
	for i, item := range items {
		lines[i] = item.Raw
	}
	results, err := c.AppendMany(ctx, items[0].Span.Tenant, lines)
	if err != nil && len(results) == 0 {
		if reason, final := finalRefusal(err); final {
			verdicts := make([]outbox.Verdict, len(items))
			for i := range verdicts {
				verdicts[i] = outbox.Verdict{Outcome: outbox.Refused, Reason: reason}
			}
			return verdicts, nil
		}
	}
	verdicts := make([]outbox.Verdict, len(results))
	for i, r := range results {
		switch {
		case r.Problem != nil:
			if reason, final := finalRefusal(r.Problem); final {
				verdicts[i] = outbox.Verdict{Outcome: outbox.Refused, Reason: reason}
				continue
			}
			return verdicts, r.Problem
		case p.LogKey != "" && p.Tenant == items[i].Span.Tenant && r.Receipt != nil:
			if _, err := checkReceipt(*r.Receipt, items[i].Span.ID, items[i].Span.Hash(), p.LogKey); err != nil {
				return verdicts, err
			}
		}
		verdicts[i].Outcome = outbox.Delivered
	}
	return verdicts, err
}

// finalRefusal says that the node will not take the span another time either.
func finalRefusal(err error) (reason string, final bool) {
	err = remote.Fault(err)
	var f *fault.Error
	if !errors.As(err, &f) {
		return "", false
	}
	switch f.Kind {
	case fault.Limited, fault.Unavailable, fault.Internal:
		return "", false
	}
	return fmt.Sprintf("%s (%s)", f.Detail, f.Code), true
}

// printSent says on stderr what was sent.
func printSent(env *environment, box *outbox.Box, sent outbox.Sent) {
	if sent.Delivered > 0 {
		fmt.Fprintf(env.Stderr, "Sent %s from the outbox.\n", ui.Plural(int64(sent.Delivered), "span", "spans"))
	}
	for _, file := range sent.Refused {
		fmt.Fprintf(env.Stderr, "The node refused a span from the outbox for good; it is kept, with the reason, in %s\n", filepath.Join(box.Dir(), file))
	}
}

// flushOutbox is `append --flush`.
func flushOutbox(cmd *cobra.Command, env *environment, flags *clientFlags) error {
	p, _, err := flags.resolve(env)
	if err != nil {
		return err
	}
	box, err := outboxOf(env, p)
	if err != nil {
		return err
	}
	before, err := box.Status()
	if err != nil {
		return err
	}
	var sent outbox.Sent
	if before.Waiting > 0 {
		sent, err = sendOutbox(cmd.Context(), env, p, box)
		printSent(env, box, sent)
		if err != nil {
			warnStale(env.Stderr, before.Oldest, env.Now())
			return err
		}
	}
	if flags.json {
		err = printJSON(env.Stdout, map[string]any{"sent": sent.Delivered, "refused": len(sent.Refused), "waiting": sent.Waiting})
	} else {
		fmt.Fprintf(env.Stdout, "%s, %s, %s.\n", ui.Plural(int64(sent.Delivered), "span sent", "spans sent"),
			ui.Count(int64(len(sent.Refused)))+" refused for good", ui.Count(int64(sent.Waiting))+" waiting")
	}
	if err == nil && len(sent.Refused) > 0 {
		return &exitError{code: exitRejects}
	}
	return err
}

// mustKeep says why a new span goes to the outbox without being sent: that is
// asked for, or spans before it wait still. "" says that it is to be sent.
func (s *session) mustKeep(f *outboxFlags, conditional bool) (reason string, err error) {
	_, limit, err := f.settle(s.env, s.profile)
	if err != nil || conditional {
		return "", err
	}
	if f.offline {
		return "Offline", nil
	}
	box, err := outboxOf(s.env, s.profile)
	if err != nil || limit == 0 {
		return "", err
	}
	waiting, err := box.WaitingFor(s.profile.Node)
	if err != nil || waiting == 0 {
		return "", err
	}
	return "Spans before it could not be sent", nil
}

// keepAfter keeps a span that got no answer; without an outbox the command
// fails as it would have.
func (s *session) keepAfter(ctx context.Context, f *outboxFlags, sealed *span.Span, unsent error, asJSON bool) error {
	_, limit, err := f.settle(s.env, s.profile)
	if err != nil {
		return err
	}
	if limit == 0 {
		return unsent
	}
	reason := "The connection to the node broke off"
	if why := (*fault.Error)(nil); errors.As(remote.Fault(unsent), &why) {
		reason = strings.TrimSuffix(why.Detail, ".")
		if why.Code == "node_unreachable" {
			reason = "No node answers at " + s.profile.URL
		}
	}
	return s.keep(ctx, f, sealed, reason, asJSON)
}

// tenantOffline makes the tenant's id known without asking the node.
func (s *session) tenantOffline() error {
	if span.IsUUID(s.profile.Tenant) {
		return nil
	}
	if own, _ := s.all.find(s.profile.Name); own.Slug == s.profile.Tenant && span.IsUUID(own.Tenant) {
		s.profile.Tenant = own.Tenant
		return nil
	}
	return usagef("without a node the tenant %q cannot be looked up; give its id", ui.Clean(s.profile.Tenant))
}

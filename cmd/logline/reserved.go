package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// maxReason bounds a reason that can never be erased, in bytes (PROTOCOL §4).
const maxReason = 64

// appendReserved signs a span of one of the protocol's own types, appends it,
// checks its receipt here and says what was done.
func (s *session) appendReserved(cmd *cobra.Command, typ string, payload any, asJSON bool, done string) error {
	raw, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	sealed, answer, err := s.sendReserved(cmd, typ, raw)
	if err != nil {
		return err
	}
	if !asJSON {
		fmt.Fprintln(s.env.Stdout, done)
	}
	return s.printAppended(cmd, sealed, answer, asJSON)
}

// sendReserved signs a span of one of the protocol's own types and appends it.
func (s *session) sendReserved(cmd *cobra.Command, typ string, payload []byte) (*span.Span, *client.Appended, error) {
	canonical, err := span.Canonicalize(payload)
	if err != nil {
		return nil, nil, err
	}
	f := appendFlags{typ: typ, visibility: span.VisibilityOrganization, key: s.signWith}
	sealed, err := f.seal(cmd, s, canonical)
	if err != nil {
		return nil, nil, err
	}
	answer, err := s.client.Append(cmd.Context(), sealed.Tenant, sealed.Canonical())
	return sealed, answer, err
}

// refer names an entry as a payload must: by span id and header hash. The hash
// is that of the entry which the log's signed tree holds, not what the node
// says it is.
func (s *session) refer(ctx context.Context, arg string) (span.SpanRef, error) {
	spanID, err := spanArg(arg)
	if err != nil {
		return span.SpanRef{}, err
	}
	logKey, err := s.logKey(ctx)
	if err != nil {
		return span.SpanRef{}, err
	}
	receipt, err := s.client.Receipt(ctx, s.profile.Tenant, spanID)
	if err != nil {
		return span.SpanRef{}, err
	}
	checked, err := checkReceipt(*receipt, spanID, span.Hash{}, logKey)
	if err != nil {
		return span.SpanRef{}, err
	}
	return span.SpanRef{Span: spanID, HeaderHash: checked.entry.Span.Hash().String()}, nil
}

func checkReason(reason string) error {
	if len(reason) > maxReason {
		return usagef("--reason has %d bytes, the limit is %d: it can never be erased, so name a ticket or a rule instead of telling the story", len(reason), maxReason)
	}
	return nil
}

func newRedactCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var reason string
	var yes bool
	cmd := &cobra.Command{
		Use:   "redact SPAN… --reason REASON --yes",
		Short: "Erase the payloads of spans for good; headers and proofs stay",
		Long: `Erase payload, salt and decision detail of the spans named, for everybody and for
good. Their headers stay in the tree, so every proof still holds, and the timeline
shows that, when, by whom and why they were erased. It takes an owner or an admin.

Copies outside the node are beyond it: bundles that somebody exported, backups,
archives of the database's log.`,
		Example: `  logline redact 019… --reason gdpr-2026-117 --yes`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			if !yes {
				return usagef("erasing cannot be undone; confirm with --yes")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			redaction := span.Redaction{Reason: reason}
			for _, arg := range args {
				ref, err := s.refer(cmd.Context(), arg)
				if err != nil {
					return err
				}
				redaction.Spans = append(redaction.Spans, ref)
			}
			return s.appendReserved(cmd, span.TypeRedaction, redaction, flags.json,
				fmt.Sprintf("Erased the payload of %s.", ui.Plural(int64(len(args)), "span", "spans")))
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, at most 64 bytes, no personal data: it is never erased (required)")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	_ = cmd.MarkFlagRequired("reason") // the flag exists
	return cmd
}

// openSpan opens the tenant and refers to one of its spans, for an act on it with
// a reason.
func (f *clientFlags) openSpan(ctx context.Context, env *environment, arg, reason string) (*session, span.SpanRef, error) {
	if err := checkReason(reason); err != nil {
		return nil, span.SpanRef{}, err
	}
	s, err := f.openTenant(env)
	if err != nil {
		return nil, span.SpanRef{}, err
	}
	ref, err := s.refer(ctx, arg)
	return s, ref, err
}

func newRevertCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var reason string
	cmd := &cobra.Command{
		Use:   "revert SPAN --reason REASON",
		Short: "Undo a span, as its contracts say; it stays on the timeline",
		Long: `Record that a span is undone: it stays where it is, its effective status becomes
reverted. A member reverts its own spans, an owner or an admin anybody's; a contract
may allow fewer, or ask for votes.

What the contracts that had a say about the span have under compensate is done:
workflows go back, trust moves, spans are emitted, webhooks called. Nothing else is
undone: logline why REVERT tells all of it. A span is reverted once, and a revert is
not reverted: do again what is to be done.`,
		Example: `  logline revert 019… --reason duplicate`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ref, err := flags.openSpan(cmd.Context(), env, args[0], reason)
			if err != nil {
				return err
			}
			return s.appendReserved(cmd, span.TypeRevert, span.Revert{Span: ref.Span, HeaderHash: ref.HeaderHash, Reason: reason},
				flags.json, "Reverted "+ref.Span+".")
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, at most 64 bytes, no personal data: it is never erased (required)")
	_ = cmd.MarkFlagRequired("reason") // the flag exists
	return cmd
}

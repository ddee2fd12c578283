package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/ui"
)

func newApproveCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var reason, key string
	var reject bool
	cmd := &cobra.Command{
		Use:   "approve SPAN",
		Short: "Vote for a span that waits for approval, or with --reject against it",
		Long: `Sign a vote on a span that a contract has wait for votes. With the last vote that it
needs the span is executed; one vote against refuses it. It takes a role that the
contract asks for, and never the span's own author; logline why SPAN says who may.

--key votes with a delegated key; the delegation must name the type logline.approval.`,
		Example: "  logline approve 019…\n  logline approve 019… --reject --reason over-budget",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ref, err := flags.openSpan(cmd.Context(), env, args[0], reason)
			if err != nil {
				return err
			}
			s.signWith = key
			p := span.Approval{Span: ref.Span, HeaderHash: ref.HeaderHash, Vote: span.VoteApprove, Reason: reason}
			words := "for"
			if reject {
				p.Vote, words = span.VoteReject, "against"
			}
			if err := s.appendReserved(cmd, span.TypeApproval, p, flags.json, fmt.Sprintf("Voted %s %s.", words, ref.Span)); err != nil || flags.json {
				return err
			}
			return s.tellVotes(cmd.Context(), ref.Span)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, at most 64 bytes, no personal data: it is never erased")
	cmd.Flags().StringVar(&key, "key", "", "sign with a delegated key of your key file: its label or public key (default: the primary key)")
	cmd.Flags().BoolVar(&reject, "reject", false, "vote against it")
	return cmd
}

// tellVotes says what has become of a span that was voted on.
func (s *session) tellVotes(ctx context.Context, spanID string) error {
	e, err := s.client.Entry(ctx, s.profile.Tenant, spanID)
	if err != nil {
		return err
	}
	switch string(e.Status) {
	case standing.StatusExecuted:
		fmt.Fprintln(s.env.Stdout, "\nThe span has its votes and is executed.")
	case standing.StatusPending:
		fmt.Fprintf(s.env.Stdout, "\nThe span still waits: `logline why %s` says for whom.\n", spanID)
	default:
		fmt.Fprintf(s.env.Stdout, "\nThe span is %s.\n", ui.Clean(string(e.Status)))
	}
	return nil
}

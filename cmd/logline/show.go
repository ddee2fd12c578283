package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newShowCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var receipt bool
	var proof string
	cmd := &cobra.Command{
		Use:   "show SPAN",
		Short: "Show one entry, its receipt or its proof",
		Long: `Show one entry of the timeline.

--receipt fetches the receipt and checks it here: that the entry is the leaf,
that the leaf is in the tree and that the tree's root is signed by the log's key.
--proof FILE checks it too and keeps it as a C2SP tlog-proof file.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spanID, err := spanArg(args[0])
			if err != nil {
				return err
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			switch {
			case proof != "":
				return s.saveProof(cmd.Context(), spanID, proof, proofOptions{}, false, flags.json)
			case receipt:
				return s.showReceipt(cmd, spanID, flags.json)
			default:
				return s.showEntry(cmd, spanID, flags.json)
			}
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().BoolVar(&receipt, "receipt", false, "fetch the receipt and check it")
	cmd.Flags().StringVar(&proof, "proof", "", "write the receipt as a tlog-proof `FILE`, checked")
	return cmd
}

func (s *session) showEntry(cmd *cobra.Command, spanID string, asJSON bool) error {
	record, err := s.client.Entry(cmd.Context(), s.profile.Tenant, spanID)
	if err != nil {
		return err
	}
	e, err := parseEntry(record.Entry)
	if err != nil {
		return err
	}
	if e.Span.ID != spanID {
		return answerAltered("entry_other", &e, "the one asked for is "+spanID)
	}
	if err := e.check(); err != nil {
		return err
	}
	if _, err := e.heldTo(record.LeafHash, record.Entry); err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.env.Stdout, record)
	}
	h := &e.Span.Header
	facts(s.env.Stdout,
		"span", h.ID,
		"entry", fmt.Sprintf("%d, recorded %s", e.Seq, e.RecordedAt),
		"type", h.Type,
		"status", string(record.Status),
		"title", h.Title,
		"subject", h.Subject,
		"tags", strings.Join(h.Tags, ", "),
		"author", s.withClaim(cmd.Context(), h.Author),
		"on behalf of", h.OnBehalfOf,
		"signed", h.Time,
		"occurred", h.OccurredAt,
		"visibility", h.Visibility,
		"causes", strings.Join(h.Causes, ", "),
		"decision", decisionWords(e.Decision),
		"leaf", record.LeafHash,
	)
	if e.Span.Withheld != "" {
		fmt.Fprintf(s.env.Stdout, "\nThe payload is withheld: %s.\n", e.Span.Withheld)
		return nil
	}
	fmt.Fprintf(s.env.Stdout, "\n%s\n", ui.CleanLines(indented(e.Span.Payload)))
	return nil
}

// withClaim is an identity, and of a ghost by whom it was claimed, as the node says.
func (s *session) withClaim(ctx context.Context, identity string) string {
	info, err := s.client.Identity(ctx, identity)
	if err != nil || info.ClaimedBy == "" {
		return identity
	}
	return identity + " (ghost, claimed by " + s.claimer(ctx, info) + ")"
}

func (s *session) showReceipt(cmd *cobra.Command, spanID string, asJSON bool) error {
	checked, err := s.receipt(cmd.Context(), spanID)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.env.Stdout, checked.json())
	}
	checked.print(s.env, "")
	return nil
}

// receipt fetches a span's receipt and checks it against the pinned log key.
func (s *session) receipt(ctx context.Context, spanID string) (*checkedReceipt, error) {
	logKey, err := s.logKey(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.client.Receipt(ctx, s.profile.Tenant, spanID)
	if err != nil {
		return nil, err
	}
	return checkReceipt(*receipt, spanID, span.Hash{}, logKey)
}

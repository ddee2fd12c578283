package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/ui"
)

func newProofCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var out, policyFile string
	var cosigned bool
	cmd := &cobra.Command{
		Use:   "proof SPAN",
		Short: "Keep the proof of one entry as a file that anybody can check offline",
		Long: `Fetch the proof that a span is in the timeline, check it here, and keep it as a
C2SP tlog-proof file: the entry, the hashes from it to the root, and the checkpoint
that the log signed, with the witnesses' cosignatures the node holds. Payloads are
not in it: the entry has their hash. Check it with logline verify.

With --cosigned the proof is under the first checkpoint after the entry that
witnesses have cosigned as the node's own policy asks. --policy FILE says what is
enough for you (C2SP tlog-policy, see logline verify --help).`,
		Example: `  logline proof 0199…
  logline proof 0199… --cosigned --policy witnesses.policy -o proof.tlog-proof
  logline verify proof.tlog-proof --policy witnesses.policy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spanID, err := spanArg(args[0])
			if err != nil {
				return err
			}
			var opt proofOptions
			if policyFile != "" {
				raw, err := readInput(env, policyFile, policy.MaxSize)
				if err != nil {
					return err
				}
				if opt.policy, err = policy.Parse(raw); err != nil {
					return err
				}
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			return s.saveProof(cmd.Context(), spanID, firstOf(out, spanID+".tlog-proof"), opt, cosigned, flags.json)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "`FILE` to write, \"-\" for standard output (default: SPAN.tlog-proof)")
	cmd.Flags().BoolVar(&cosigned, "cosigned", false, "under a checkpoint that witnesses have cosigned")
	cmd.Flags().StringVar(&policyFile, "policy", "", "`FILE` with the witnesses whose cosignatures are enough for you")
	return cmd
}

// saveProof fetches a proof and keeps it if it holds.
func (s *session) saveProof(ctx context.Context, spanID, path string, opt proofOptions, cosigned, asJSON bool) error {
	var err error
	if opt.logKey, err = s.logKey(ctx); err != nil {
		return err
	}
	raw, err := s.client.ReceiptProof(ctx, s.profile.Tenant, spanID, cosigned)
	if err != nil {
		return err
	}
	report, err := checkProof(raw, opt)
	if err != nil {
		return err
	}
	if report.Span != "" && report.Span != spanID {
		return receiptInvalid("receipt_other_span", "it is about span %s, not %s", ui.Clean(report.Span), spanID)
	}
	if !report.OK {
		report.print(s.env.Stderr, "what the node sent")
		return &exitError{code: exitFailed}
	}
	if path == "-" {
		_, err := s.env.Stdout.Write(raw)
		return err
	}
	if err := writeFileAtomic(path, raw); err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.env.Stdout, struct {
			File    string `json:"file"`
			Checked bool   `json:"checked"`
			*proofReport
		}{path, true, report})
	}
	fmt.Fprintf(s.env.Stdout, "Wrote %s: span %s is entry %d of the %s under root %s (proof checked here).\n",
		path, spanID, report.Index, ui.Plural(int64(report.Size), "entry", "entries"), report.Root)
	facts(s.env.Stdout, "cosigned", report.cosignedWords())
	return nil
}

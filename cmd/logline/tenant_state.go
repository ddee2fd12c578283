package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// stateLong says what each does, and who may.
var stateLong = map[string]string{
	span.ActionSuspend: `Suspend a tenant, as an operator of the node: an owner or admin of its admin timeline.
The node signs that on the tenant's own timeline. From then on, in every process,
nothing is appended there, its tasks and webhooks rest, its schedules do not run, and
its owners, admins and auditors alone can read it, so that they see why and can take
out what is theirs. Erasing goes on.`,
	span.ActionResume: `Let a suspended tenant go on, as an operator of the node: with its tasks, and with
the schedules that came due meanwhile, as each says what is to be made up for.`,
	span.ActionClose: `Close a tenant for good, as one of its owners, by a span that you sign on its own
timeline; with --as-operator, as an operator of the node, which signs it then. Who may
read it can read it as before, and owners and admins still grant and withdraw that.
Nothing else is appended any more but what erases and what keeps the log provable;
what its tasks have not done they do not do. It cannot be undone.`,
}

func newTenantStateCmd(env *environment, action, short string) *cobra.Command {
	var flags clientFlags
	var reason string
	var asOperator, yes bool
	cmd := &cobra.Command{
		Use:     action + " TENANT",
		Short:   short,
		Long:    stateLong[action],
		Example: "  logline tenant " + action + " acme --reason ticket-117",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			if action == span.ActionClose && !yes {
				return usagef("closing %q cannot be undone: nothing is appended there any more; say --yes to do it", ui.Clean(args[0]))
			}
			if action == span.ActionClose && !asOperator {
				s, err := flags.openNamed(env, args[0])
				if err != nil {
					return err
				}
				return s.appendReserved(cmd, span.TypeTenant, span.Tenant{Action: action, Reason: reason}, flags.json,
					fmt.Sprintf("Closed %s.", ui.Clean(args[0])))
			}
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			state, err := s.client.ChangeTenant(cmd.Context(), args[0], action, reason)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, state)
			}
			fmt.Fprintf(env.Stdout, "%s is %s. Entry %d of its timeline says so, and the node's admin timeline.\n", ui.Clean(args[0]), state.State, state.Entry)
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why: one line of at most 64 bytes that stays for good and names nobody, such as a ticket")
	if action == span.ActionClose {
		cmd.Flags().BoolVar(&asOperator, "as-operator", false, "as an operator of the node; the node signs")
		cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	}
	return cmd
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/ui"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

func newWebhooksCmd(env *environment) *cobra.Command {
	return group("webhooks", "Say where contracts may call, and test it",
		`A contract calls a webhook by name; where that goes, and the secret that signs what
is sent, are settings of the tenant. They take an owner or an admin. Receivers check
the signature by the Standard Webhooks specification.`,
		newWebhooksSetCmd(env),
		newWebhooksListCmd(env),
		newWebhooksListenCmd(env),
		newWebhooksTestCmd(env),
		newWebhooksRotateCmd(env),
		newWebhooksDeleteCmd(env),
	)
}

func newWebhooksSetCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "set NAME URL",
		Short: "Make a webhook, whose secret is shown this once, or give it another address",
		Long: `Makes a webhook with a secret that is shown this once. For one that there is it sets
the address and leaves the secret as it is; rotate makes another. The address is
https://, and of the public internet unless the node's configuration says otherwise.`,
		Example: "  logline webhooks set front-desk https://example.org/hook",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			w, err := s.client.SetWebhook(cmd.Context(), s.profile.Tenant, args[0], args[1])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, w)
			}
			if w.Secret == "" {
				fmt.Fprintf(env.Stdout, "%s goes to another address now; its secret is as it was.\n", ui.Clean(w.Name))
				return nil
			}
			return printSecret(env, w)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// printSecret shows a secret that was just made, alone on its line.
func printSecret(env *environment, w *client.Webhook) error {
	fmt.Fprintln(env.Stderr, "The secret, which is not shown again; the receiver needs it:")
	fmt.Fprintln(env.Stdout, w.Secret)
	fmt.Fprintf(env.Stderr, "\nNext: logline webhooks test %s\n", shellWord(w.Name))
	return nil
}

func newWebhooksListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the webhooks, without their secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			list, err := s.client.Webhooks(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, list)
			}
			if len(list) == 0 {
				fmt.Fprintln(env.Stdout, "No webhook is set. `logline webhooks set NAME URL` makes one.")
				return nil
			}
			table := ui.NewTable("NAME", "URL", "SECRETS", "CHANGED", "NOTE")
			for i := range list {
				w := &list[i]
				table.Row(w.Name, w.Url, strconv.Itoa(len(w.Secrets)), shortTime(w.ChangedAt), webhookNote(w))
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// webhookNote is what there is to know of a webhook beside its address.
func webhookNote(w *client.Webhook) string {
	switch {
	case w.GoneAt != "":
		return "the receiver wants no more, since " + shortTime(w.GoneAt)
	case w.Url == "":
		return "cannot be opened with this node's keys"
	case len(w.Secrets) > 1:
		return "an old secret signs until " + shortTime(w.Secrets[1].Until)
	}
	return ""
}

func newWebhooksTestCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Have the node deliver a test message, once, and say what came of it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			told, err := s.client.TestWebhook(cmd.Context(), s.profile.Tenant, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				if err := printJSON(env.Stdout, told); err != nil {
					return err
				}
			}
			if told.Outcome != "delivered" {
				return fault.New(fault.Unavailable, told.Code, "not delivered: "+ui.Clean(told.Detail)+heard(told))
			}
			if !flags.json {
				fmt.Fprintf(env.Stdout, "Delivered %s in %d ms%s.\n", ui.Clean(told.Id), told.Ms, heard(told))
			}
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// heard is what the receiver answered, behind other words.
func heard(told *client.WebhookDelivery) string {
	switch {
	case told.Status == 0:
		return ""
	case told.Answer == "":
		return fmt.Sprintf("; the answer is %d, without a body", told.Status)
	}
	return fmt.Sprintf("; the answer is %d and begins %q", told.Status, ui.Clean(told.Answer))
}

func newWebhooksRotateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Make a new secret, which is shown this once",
		Long: `Makes a new secret, which is shown this once. Until the grace is over what is sent is
signed with both, so that the receiver can change to the new one at any moment.`,
		Example: "  logline webhooks rotate front-desk --grace 72h\n  logline webhooks rotate front-desk --grace 0s   # the old one is known to others",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			w, err := s.client.RotateWebhook(cmd.Context(), s.profile.Tenant, args[0], grace)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, w)
			}
			return printSecret(env, w)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().DurationVar(&grace, "grace", endpoint.DefaultGrace, "how long the old secret signs beside it")
	return cmd
}

func newWebhooksDeleteCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Forget a webhook and its secrets; calls of it fail from then on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			w, err := s.client.DeleteWebhook(cmd.Context(), s.profile.Tenant, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, w)
			}
			fmt.Fprintf(env.Stdout, "Deleted %s.\n", ui.Clean(w.Name))
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// warnOfWebhooks says which webhooks of a contract the tenant has not set. A
// tenant's settings are not looked at for a contract that every tenant gets.
func (s *session) warnOfWebhooks(ctx context.Context, c *contract.Contract) {
	if len(c.Webhooks) == 0 || c.Tenant == contract.NodeWide {
		return
	}
	set, err := s.client.Webhooks(ctx, s.profile.Tenant)
	if client.CodeOf(err) == "role_forbidden" {
		return // and so will the contract be
	}
	if err != nil {
		fmt.Fprintf(s.env.Stderr, "Warning: whether the webhooks that it calls are set could not be asked: %s\n", ui.Clean(err.Error()))
		return
	}
	var missing []string
	for _, w := range c.Webhooks {
		known := slices.ContainsFunc(set, func(k client.Webhook) bool { return k.Name == w.Endpoint })
		if !known && !slices.Contains(missing, w.Endpoint) {
			missing = append(missing, w.Endpoint)
		}
	}
	slices.Sort(missing)
	for _, name := range missing {
		fmt.Fprintf(s.env.Stderr, "Warning: the tenant has no webhook %s, so that calls of it will fail; logline webhooks set %s URL\n", ui.Clean(name), shellWord(strings.TrimSpace(name)))
	}
}

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/ui"
)

// newOneCmd is a command about one thing of the tenant's, which it names: do
// fetches it, or changes it, and rows are what people are shown of it.
func newOneCmd[T any](env *environment, use, short string, do func(ctx context.Context, c *client.Client, tenant, name string) (*T, error), rows func(*T) [][2]string) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			one, err := do(cmd.Context(), s.client, s.profile.Tenant, args[0])
			if err != nil {
				return err
			}
			return printOne(env, one, flags.json, rows)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// printOne shows one thing: as JSON, or what there is of its rows, each with its
// name before it.
func printOne[T any](env *environment, one *T, asJSON bool, rows func(*T) [][2]string) error {
	if asJSON {
		return printJSON(env.Stdout, one)
	}
	for _, row := range rows(one) {
		if row[1] != "" {
			fmt.Fprintf(env.Stdout, "%-12s %s\n", row[0], ui.Clean(row[1]))
		}
	}
	return nil
}

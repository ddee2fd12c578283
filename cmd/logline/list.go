package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/ui"
)

func newListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var filters filterFlags
	var f struct {
		cursor string
		limit  int
		oldest bool
	}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries of the timeline, newest first",
		Long: `List entries of the timeline, newest first. All filters given must hold.

--since and --until are about when an entry was recorded: a full time
(2026-01-31T12:00:00.000Z), a day (2026-01-31), or how long ago (36h, 90m).`,
		Example: `  logline list --type 'git.*' --limit 50
  logline list -q 'fix race' --oldest-first
  logline list --author @ana --since 24h --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filters.check(env); err != nil {
				return err
			}
			if f.limit < 1 || f.limit > 1000 {
				return usagef("--limit must be 1 to 1000")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			filter, err := filters.resolve(cmd.Context(), s)
			if err != nil {
				return err
			}
			filter.Descending, filter.Limit, filter.Cursor = !f.oldest, f.limit, f.cursor
			page, err := s.client.Query(cmd.Context(), s.profile.Tenant, filter)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, page)
			}
			return printPage(env, page)
		},
	}
	flags.registerTenant(cmd)
	filters.register(cmd)
	cmd.Flags().BoolVar(&f.oldest, "oldest-first", false, "in the order of the timeline")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "entries per page, at most 1000")
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "continue after a page, from its `next`")
	return cmd
}

func printPage(env *environment, page *client.Page) error {
	if len(page.Items) == 0 {
		fmt.Fprintln(env.Stdout, "No entries match.")
		return nil
	}
	table := ui.NewTable(">SEQ", "WHEN", "TYPE", "ID", "WHAT")
	for i, raw := range page.Items {
		e, err := parseEntry(raw)
		if err == nil {
			err = e.checkPayload()
		}
		if err != nil {
			return err
		}
		what := e.what()
		if e.Span.Withheld != "" {
			what = "(" + e.Span.Withheld + ") " + what
		}
		if i < len(page.Statuses) && page.Statuses[i] != "executed" {
			what = "[" + string(page.Statuses[i]) + "] " + what
		}
		table.Row(seqOf(e.Seq), shortTime(e.when()), e.Span.Type, e.Span.ID, what)
	}
	if err := writeTable(env, table); err != nil {
		return err
	}
	if page.Next != nil && *page.Next != "" && env.IsTerminal {
		fmt.Fprintf(env.Stdout, "\nMore: --cursor %s\n", *page.Next)
	}
	return nil
}

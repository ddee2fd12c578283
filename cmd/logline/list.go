package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var f struct {
		types                                      []string
		author, subject, tag, status, cause, words string
		since, until, cursor                       string
		limit                                      int
		oldest                                     bool
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
			for _, t := range f.types {
				if !span.ValidPattern(t) {
					return usagef("--type %q is not a type pattern; try git.*, payment.** or git.commit", t)
				}
			}
			if f.cause != "" {
				var err error
				if f.cause, err = spanArg(f.cause); err != nil {
					return err
				}
			}
			if f.status != "" && !slices.Contains(statuses, f.status) {
				return usagef("--status %q must be one of %s", ui.Clean(f.status), strings.Join(statuses, ", "))
			}
			since, err := timeArg("--since", f.since, env.Now())
			if err != nil {
				return err
			}
			until, err := timeArg("--until", f.until, env.Now())
			if err != nil {
				return err
			}
			if f.limit < 1 || f.limit > 1000 {
				return usagef("--limit must be 1 to 1000")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			if f.author != "" {
				if f.author, err = s.identityID(cmd.Context(), f.author); err != nil {
					return err
				}
			}
			page, err := s.client.Query(cmd.Context(), s.profile.Tenant, client.Filter{
				Types: f.types, Author: f.author, Subject: f.subject, Tag: f.tag, Status: f.status,
				Since: since, Until: until, Cause: f.cause, Q: f.words,
				Descending: !f.oldest, Limit: f.limit, Cursor: f.cursor,
			})
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
	cmd.Flags().StringArrayVar(&f.types, "type", nil, "type or pattern: * is one segment, ** the rest; may be repeated")
	cmd.Flags().StringVar(&f.author, "author", "", "LogLine ID or @handle of who signed")
	cmd.Flags().StringVar(&f.subject, "subject", "", "exact subject")
	cmd.Flags().StringVar(&f.tag, "tag", "", "exact tag")
	cmd.Flags().StringVar(&f.status, "status", "", "effective status: "+strings.Join(statuses, ", "))
	cmd.Flags().StringVar(&f.since, "since", "", "recorded at this time or later")
	cmd.Flags().StringVar(&f.until, "until", "", "recorded before this time")
	cmd.Flags().StringVar(&f.cause, "cause", "", "span id that must be among the causes")
	cmd.Flags().StringVarP(&f.words, "query", "q", "", "words that must all occur in type, title, subject or payload")
	cmd.Flags().BoolVar(&f.oldest, "oldest-first", false, "in the order of the timeline")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "entries per page, at most 1000")
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "continue after a page, from its `next`")
	return cmd
}

// statuses are the effective statuses that an entry can have.
var statuses = []string{
	string(openapi.StatusExecuted), string(openapi.StatusPending), string(openapi.StatusRejected),
	string(openapi.StatusReverted), string(openapi.StatusGhost),
}

// timeArg reads a time from the command line: a LogLine time, RFC 3339, a day,
// or a duration before now.
func timeArg(flag, s string, now time.Time) (string, error) {
	if s == "" {
		return "", nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return span.FormatTime(t), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return span.FormatTime(now.Add(-d)), nil
	}
	return "", usagef("%s %q is not a time; write 2026-01-31, 2026-01-31T12:00:00Z or 24h", flag, ui.Clean(s))
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

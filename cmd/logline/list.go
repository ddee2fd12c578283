package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var filters filterFlags
	var f listFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List entries of the timeline, newest first",
		Long: `List entries of the timeline, newest first. All filters given must hold.

WHEN is when it happened, which for imports is before it was recorded.
--authors adds who signed: their handle, or the beginning of their LogLine ID; and of
a ghost that was claimed, whose it was. That is what the node's directory says.
--since and --until are about when an entry was recorded: a full time
(2026-01-31T12:00:00.000Z), a day (2026-01-31), or how long ago (36h, 90m).

With --all every page is written, as it comes, which exports the result of a
query: as CSV for spreadsheets, as NDJSON with whole entries, or as one JSON
object. A CSV cell that a spreadsheet would take for a formula gets a ' before
it, unless --csv-raw.`,
		Example: `  logline list --type 'git.*' --limit 50
  logline list -q 'fix race' --oldest-first
  logline list --author @ana --since 24h --json
  logline list --type 'payment.**' --all --format csv -o payments.csv
  logline list --all --oldest-first --format ndjson | jq .span.type`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filters.check(env); err != nil {
				return err
			}
			if err := f.check(flags.json); err != nil {
				return err
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
			if f.all {
				filter.Limit = maxPage
			}
			return f.write(cmd.Context(), s, filter)
		},
	}
	flags.registerTenant(cmd)
	filters.register(cmd)
	cmd.Flags().BoolVar(&filters.filter.Claimed, "claimed", false, "with --author: the spans of the ghosts that they claimed too")
	cmd.Flags().BoolVar(&f.oldest, "oldest-first", false, "in the order of the timeline")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "entries per page, at most 1000")
	cmd.Flags().StringVar(&f.cursor, "cursor", "", "continue after a page, from the `NEXT` it gave")
	cmd.Flags().BoolVar(&f.all, "all", false, "all pages")
	cmd.Flags().StringVar(&f.format, "format", "", strings.Join(formats, ", ")+" (default table; --json is json)")
	cmd.Flags().StringVarP(&f.out, "output", "o", "", "write to this file, readable by you alone; it appears when it is complete")
	cmd.Flags().BoolVar(&f.authors, "authors", false, "a column of who signed, in the table (CSV and JSON have their LogLine IDs)")
	cmd.Flags().BoolVar(&f.csvRaw, "csv-raw", false, "CSV cells exactly as they are, also where a spreadsheet sees a formula")
	return cmd
}

// maxPage is the largest page that a node gives.
const maxPage = 1000

// listFlags say how much is listed, and how.
type listFlags struct {
	cursor, format, out string
	limit               int
	oldest, all, csvRaw bool
	authors             bool
}

func (f *listFlags) check(asJSON bool) error {
	if f.limit < 1 || f.limit > maxPage {
		return usagef("--limit must be 1 to %d", maxPage)
	}
	if asJSON && f.format != "" && f.format != formatJSON {
		return usagef("--json and --format %s contradict each other", ui.Clean(f.format))
	}
	if f.format == "" {
		if f.format = formatTable; asJSON {
			f.format = formatJSON
		}
	}
	if !slices.Contains(formats, f.format) {
		return usagef("--format %q must be one of %s", ui.Clean(f.format), strings.Join(formats, ", "))
	}
	if f.csvRaw && f.format != formatCSV {
		return usagef("--csv-raw is for --format csv")
	}
	if f.authors && f.format != formatTable {
		return usagef("--authors is for the table; --format %s has every author's LogLine ID", f.format)
	}
	return nil
}

// write writes the entries to standard output or the file.
func (f *listFlags) write(ctx context.Context, s *session, filter client.Filter) error {
	if f.out == "" || f.out == "-" {
		_, err := f.stream(ctx, s, filter, s.env.Stdout)
		return err
	}
	entries := 0
	err := atomically(f.out, func(file *os.File) (err error) {
		entries, err = f.stream(ctx, s, filter, file)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.env.Stdout, "Wrote %s (%s).\n", ui.Clean(f.out), ui.Plural(int64(entries), "entry", "entries"))
	return nil
}

// stream writes the pages as they come and gives the number of entries. It holds
// one page at a time.
func (f *listFlags) stream(ctx context.Context, s *session, filter client.Filter, w io.Writer) (entries int, err error) {
	width := 0
	if w == s.env.Stdout && s.env.IsTerminal {
		width = terminalWidth(w)
	}
	buf := bufio.NewWriterSize(w, 64<<10)
	var who func(string) string
	if f.authors {
		who = s.authors(ctx)
	}
	out := newListWriter(buf, f.format, f.csvRaw, width, who)
	for {
		page, err := s.client.Query(ctx, s.profile.Tenant, filter)
		if err != nil {
			return entries, err
		}
		entries += len(page.Items)
		more := page.Next != nil && *page.Next != ""
		last := !more || !f.all
		err = out.page(page)
		if err == nil && last {
			err = out.end()
		}
		if err == nil {
			err = buf.Flush()
		}
		if err != nil {
			return entries, err
		}
		if !last {
			filter.Cursor = *page.Next
			continue
		}
		if more && f.format != formatJSON && (s.env.IsTerminal || f.format != formatTable) {
			fmt.Fprintf(s.env.Stderr, "There is more: --all, or --cursor %s\n", *page.Next)
		}
		return entries, nil
	}
}

// authors says what to call an author in a column, and asks the directory once
// for each. Whoever has no handle there, or cannot be looked up, is the beginning
// of their LogLine ID.
func (s *session) authors(ctx context.Context) func(identity string) string {
	known := map[string]string{}
	return func(identity string) string {
		if name, ok := known[identity]; ok {
			return name
		}
		name := shortID(identity)
		if info, err := s.client.Identity(ctx, identity); err == nil {
			name = handleOr(info, name)
			if info.ClaimedBy != "" {
				whose := shortID(info.ClaimedBy)
				if by, err := s.client.Identity(ctx, info.ClaimedBy); err == nil {
					whose = handleOr(by, whose)
				}
				name = "ghost of " + whose
			}
		}
		known[identity] = name
		return name
	}
}

func handleOr(info *client.Identity, other string) string {
	if info.Handle == "" {
		return other
	}
	return "@" + info.Handle
}

// shortID is as much of a LogLine ID as people compare.
func shortID(identity string) string {
	const most = 12
	return ui.Cut(strings.TrimPrefix(identity, span.IdentityScheme), most)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/jsonl"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// jsonlFlags say what is imported, and how.
type jsonlFlags struct {
	mapping, source, rejects, visibility string
	maxLine, batch                       int
}

func newImportJSONLCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var f jsonlFlags
	cmd := &cobra.Command{
		Use:   "jsonl FILE|- --map NAME|FILE",
		Short: "Import records from lines of JSON by a map",
		Long: `Import the records of FILE, or of standard input, one or more JSON values a
line; gzip and zstd are recognised. A map says with jq expressions what of a
record is its id, time, type, author and so on: one that ships with logline
("logline import maps" lists them), or a file of your own.

Each record becomes a span that you sign, on behalf of an identity that stands
for its author and that the author can claim later. The whole record is the
payload unless the map says otherwise.

Running it again adds only what is new: after an interruption, run it again.

Lines that are no JSON, that the map cannot read, that are too large or that the
node refuses do not stop it. They go to the file of rejects with their line
number and the reason, and the exit code is 6. Mend them there and import that
file with the same map; or mend the map and run it again.`,
		Example: `  logline import jsonl audit.jsonl.gz --map github
  aws s3 cp s3://trail/log.json.gz - | logline import jsonl - --map cloudtrail
  logline import maps --show okta > mine.yaml
  logline import jsonl events.jsonl --map mine.yaml --rejects bad.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := f.check(args[0])
			if err != nil {
				return err
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			rejects := jsonl.NewRejects(f.rejects)
			report, err := f.run(cmd.Context(), s, args[0], m, rejects)
			if closeErr := rejects.Close(); err == nil {
				err = closeErr
			}
			printErr := printJSONL(env, report, rejects, flags.json, err == nil)
			switch {
			case err != nil:
				return err
			case printErr != nil:
				return printErr
			case rejects.Count() > 0:
				return &exitError{code: exitRejects}
			}
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&f.mapping, "map", "", "map: a `NAME` that logline import maps lists, or a FILE (required)")
	cmd.Flags().StringVar(&f.source, "source", "", "name of the source, part of every id (default: jsonl: and the map's name)")
	cmd.Flags().StringVar(&f.rejects, "rejects", "", "file for rejected lines (default: FILE.rejects, or stdin.rejects); an earlier one is replaced")
	cmd.Flags().StringVar(&f.visibility, "visibility", span.VisibilityOrganization, "private, organization or public, where the map says nothing")
	cmd.Flags().IntVar(&f.maxLine, "max-line", jsonl.DefaultMaxLine, "longest line in bytes")
	cmd.Flags().IntVar(&f.batch, "batch", 500, "spans per request")
	_ = cmd.MarkFlagRequired("map") // the flag exists
	return cmd
}

// check refuses before anything is unlocked or sent what cannot work.
func (f *jsonlFlags) check(input string) (*jsonl.Map, error) {
	if f.batch < 1 || f.batch > 5000 {
		return nil, usagef("--batch must be 1 to 5000")
	}
	if f.maxLine < 1 || f.maxLine > jsonl.MostMaxLine {
		return nil, usagef("--max-line must be 1 to %d", jsonl.MostMaxLine)
	}
	if err := checkVisibility(f.visibility); err != nil {
		return nil, err
	}
	m, err := jsonl.LoadMap(f.mapping)
	if err != nil {
		return nil, &usageError{err: err}
	}
	if input == "-" {
		f.rejects = firstOf(f.rejects, "stdin.rejects")
		return m, nil
	}
	f.rejects = firstOf(f.rejects, input+".rejects")
	in, err := os.Stat(input)
	if err != nil {
		return nil, fileError("read", input, err)
	}
	if in.IsDir() {
		return nil, fileError("read", input, errors.New("it is a folder; name a file"))
	}
	if out, err := os.Stat(f.rejects); err == nil && os.SameFile(in, out) {
		return nil, usagef("--rejects must not be the input itself")
	}
	return m, nil
}

// run imports the input; what cannot be imported goes to rejects.
func (f *jsonlFlags) run(ctx context.Context, s *session, input string, m *jsonl.Map, rejects *jsonl.Rejects) (importer.Report, error) {
	open := jsonl.OpenFile(input)
	if input == "-" {
		open = func() (io.ReadCloser, error) { return io.NopCloser(s.env.Stdin), nil }
	}
	src := jsonl.New(m, jsonl.Config{Open: open, Name: f.source, MaxLine: f.maxLine, Reject: rejects.AddUnread})
	return s.importFrom(ctx, src, importer.Config{
		Visibility: f.visibility, BatchSize: f.batch,
		Refused: func(item importer.Item, why importer.Failure) error {
			if reject, ok := jsonl.RejectOf(item, why); ok {
				return rejects.AddRefused(reject)
			}
			return nil
		},
	})
}

// printJSONL says what came of an import; not done, only what was done.
func printJSONL(env *environment, report importer.Report, rejects *jsonl.Rejects, asJSON, done bool) error {
	rejected := rejects.Count()
	if asJSON {
		doc := importJSON(report)
		doc["rejected"] = rejected
		if rejected > 0 {
			doc["rejects"] = rejects.Path()
		}
		return printJSON(env.Stdout, doc)
	}
	if done || report.Done() > 0 || rejected > 0 {
		printImport(env, report)
	}
	if rejected > 0 {
		fmt.Fprintf(env.Stderr, "  %s rejected: see %s; mend them there and import that file with the same map\n",
			ui.Plural(rejected, "line", "lines"), ui.Clean(rejects.Path()))
	}
	return nil
}

func newImportMapsCmd(env *environment) *cobra.Command {
	var show string
	cmd := &cobra.Command{
		Use:   "maps",
		Short: "List the maps that ship with logline, or print one to start from",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if show != "" {
				src, err := jsonl.ReadySource(show)
				if err != nil {
					return err
				}
				_, err = env.Stdout.Write(src)
				return err
			}
			table := ui.NewTable("NAME", "ABOUT")
			for _, name := range jsonl.ReadyNames() {
				m, err := jsonl.LoadMap(name)
				if err != nil {
					return err
				}
				table.Row(name, m.About)
			}
			return writeTable(env, table)
		},
	}
	cmd.Flags().StringVar(&show, "show", "", "print the map of this name")
	return cmd
}

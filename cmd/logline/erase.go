package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/ui"
)

func newEraseCmd(env *environment) *cobra.Command {
	var compact, asJSON bool
	cmd := &cobra.Command{
		Use:   "erase [--compact]",
		Short: "Make what was erased unreadable in the files too: rewrite what may hold bytes of it",
		Long: `A redaction ("logline redact") or "logline identity erase" takes effect at once:
nothing serves the content any more. Bytes of it can stay in the files, where no
row has them: in parts of pages that are not in use, in dead rows, in the
database's write-ahead log. --compact rewrites whatever may hold such bytes, and
says what it cannot reach. Without --compact it changes nothing and says what
would be rewritten. Run it after redactions, as often as you promise to.

SQLite: rewrites the whole file, which takes about three times its size of room
on the disk meanwhile. Servers may run; appends wait until it is done, and those
that wait longer than 10 seconds are answered 503 and can be sent again.

PostgreSQL: as the tables' owner, rewrites the tables that hold payloads, words,
names and keys in custody, one after the other, and where it may (superuser, or
pg_checkpoint and the functions for the write-ahead log) also overwrites that log.
Servers may run; requests wait for the table that is being rewritten, and those
that wait longer than 15 seconds are answered 503 and can be sent again.

NDJSON files: writes those anew that have erased payloads in them, so that their
length is gone too; stop the server first. A mirror with payloads is done like
that when no server has it.

Whenever it ends, also by kill -9, the node is whole; run it again. No line, hash
or checkpoint changes: every proof still holds.`,
		Example: "  logline erase\n  logline erase --compact\n  logline erase --compact --mirror ./mirror --mirror-payloads",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			tell := func(part string) {
				if env.ErrIsTerm {
					fmt.Fprintf(env.Stderr, "Rewriting %s\n", ui.Clean(part))
				}
			}
			out, err := app.Erase(cmd.Context(), cfg, env.offline(cfg), compact, tell)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, out)
			}
			printErasure(env.Stdout, out)
			return nil
		},
	}
	app.AddCopyFlags(cmd.Flags())
	cmd.Flags().BoolVar(&compact, "compact", false, "do it; otherwise nothing is changed")
	registerJSON(cmd, &asJSON)
	return cmd
}

func printErasure(w io.Writer, out app.Erasure) {
	if !out.Compacted {
		fmt.Fprintln(w, "Nothing was changed. With --compact this would be rewritten:")
	}
	var before, after int64
	for _, p := range out.Parts {
		before, after = before+p.Before, after+p.After
		if out.Compacted {
			fmt.Fprintf(w, "  %s: %s bytes, were %s\n", ui.Clean(p.Name), ui.Count(p.After), ui.Count(p.Before))
		} else {
			fmt.Fprintf(w, "  %s: %s bytes\n", ui.Clean(p.Name), ui.Count(p.Before))
		}
	}
	if out.Compacted {
		fmt.Fprintf(w, "Rewrote %s: %s bytes, were %s. No byte of what was erased is left in it.\n",
			ui.Plural(int64(len(out.Parts)), "part", "parts"), ui.Count(after), ui.Count(before))
		fmt.Fprintln(w, "Not reached:")
	} else {
		fmt.Fprintln(w, "It would not reach:")
	}
	for _, text := range out.Unreached {
		fmt.Fprintf(w, "  - %s.\n", ui.Clean(text))
	}
}

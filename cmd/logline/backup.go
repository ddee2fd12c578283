package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/backup"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ui"
)

func newBackupCmd(env *environment) *cobra.Command {
	var what app.BackupOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything the node keeps into one file, also while it serves",
		Long: `Writes identities, settings, sealed keys, API keys, cosignatures and every
timeline with payloads and checkpoints into one compressed archive, as of one
moment. "-" writes to standard output. The file is readable by you alone, and
appears only when it is complete. It restores into SQLite and PostgreSQL alike.

The node's own keys: where a master key seals them in the database, they are in
the archive as they are, sealed. A key file (node.key) is left out unless
--with-keys says so, and is then in the archive as it is: keep that one as safe
as the keys. Without it, keep a copy of node.key elsewhere; a restore needs it.

What was erased before the backup is not in it. What is erased later stays in
older backups: let them expire.`,
		Example: "  logline backup node.backup\n  logline backup - --with-keys | age -r age1… > node.backup.age",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			bar := newSlugBar(env, "Saving ")
			what.Progress = bar.update
			var sum backup.Summary
			var count countingWriter
			fill := func(w io.Writer) (err error) {
				sum, err = app.Backup(cmd.Context(), cfg, env.offline(cfg), what, countInto(w, &count))
				bar.finish()
				return err
			}
			path := args[0]
			if path == "-" {
				if err := fill(env.Stdout); err != nil {
					return err
				}
			} else if err := atomically(path, func(f *os.File) error { return fill(f) }); err != nil {
				return err
			}
			if err := app.BackupWritten(cmd.Context(), cfg, sum); err != nil {
				fmt.Fprintln(env.Stderr, "Warning: the backup is whole, but the database could not note when it was made:", ui.Clean(fault.From(err).Detail))
			}
			if path == "-" {
				return nil
			}
			if asJSON {
				return printJSON(env.Stdout, backupJSON(path, int64(count), sum))
			}
			fmt.Fprintf(env.Stdout, "Wrote %s (%s bytes): %s, %s, %s of other tables.\n", path, ui.Count(int64(count)),
				ui.Plural(int64(sum.Timelines), "timeline", "timelines"), ui.Plural(int64(sum.Entries), "entry", "entries"),
				ui.Plural(int64(sum.Rows), "row", "rows"))
			if sum.Header.Keys {
				fmt.Fprintln(env.Stdout, "The node's keys are in it, not encrypted: keep it as safe as them.")
			}
			return nil
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&what.Keys, "with-keys", false, "put the node's key file into the archive, as it is")
	registerJSON(cmd, &asJSON)
	return cmd
}

func backupJSON(path string, bytes int64, sum backup.Summary) map[string]any {
	return map[string]any{
		"file": path, "bytes": bytes, "node": sum.Header.Node, "made_at": sum.Header.MadeAt, "schema": sum.Header.Schema,
		"keys": sum.Header.Keys, "timelines": sum.Timelines, "entries": sum.Entries, "rows": sum.Rows, "parts": sum.Parts,
	}
}

func newRestoreCmd(env *environment) *cobra.Command {
	var what app.RestoreOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a node of a backup, on SQLite or PostgreSQL, and open a new epoch for its timelines",
		Long: `Reads the whole archive first, and refuses one that is cut off, altered, or made
by a newer program. Then makes the configured database of it, which must be
absent or empty, checks everything as "logline fsck" does, and puts it in place.
If anything fails, or the command is killed, nothing is there that was not there
before; on PostgreSQL a killed one leaves a mark, no server starts on the
database, and the next restore begins anew.

Nobody knows what the node gave out after the backup was made. Every timeline it
writes therefore goes on under a new origin, for all to see: a logline.epoch
entry after the last restored one. Timelines of others stay as they are.

The node's keys come from the data directory, from the archive (--with-keys), or
sealed from its database, with the same LOGLINE_MASTER_KEY.`,
		Example: "  logline restore node.backup --data-dir /var/lib/logline\n  DATABASE_URL=postgres://… logline restore node.backup",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			bar := newSlugBar(env, "Restoring ")
			what.Progress = bar.update
			out, err := app.Restore(cmd.Context(), cfg, env.offline(cfg), args[0], what)
			bar.finish()
			if err != nil {
				return err
			}
			if asJSON {
				doc := backupJSON(args[0], 0, out.Summary)
				delete(doc, "bytes")
				doc["database"], doc["kept"] = out.Database, out.Kept
				origins := map[string]string{}
				for _, t := range out.Renewed {
					origins[t.Slug] = t.Origin
				}
				doc["origins"] = origins
				return printJSON(env.Stdout, doc)
			}
			fmt.Fprintf(env.Stdout, "Restored %s, made at %s, into %s: %s, %s.\n", args[0], ui.Clean(out.Summary.Header.MadeAt), out.Database,
				ui.Plural(int64(out.Summary.Timelines), "timeline", "timelines"), ui.Plural(int64(out.Summary.Entries), "entry", "entries"))
			for _, t := range out.Renewed {
				fmt.Fprintf(env.Stdout, "  %s goes on as %s\n", t.Slug, t.Origin)
			}
			if out.Kept != "" {
				fmt.Fprintf(env.Stdout, "The database that was there is %s now.\n", out.Kept)
			}
			return nil
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&what.Replace, "replace", false, "with SQLite: put it in the place of a database that holds timelines, which is kept under another name")
	registerJSON(cmd, &asJSON)
	return cmd
}

package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/ui"
)

// keeperCommands are those of whoever looks after a node's data. They work on
// the data itself, with the settings of the server, not through a server.
func keeperCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{newFsckCmd(env), newEraseCmd(env), newBackupCmd(env), newRestoreCmd(env), newMigrateCmd(env), newHealthCmd(env), newKeysCmd(env), newDoctorCmd(env), newPersonCmd(env), newAccountCmd(env), newNodeCmd(env)}
}

func newFsckCmd(env *environment) *cobra.Command {
	var what app.FsckOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check the stored timelines: lines against checkpoints, everything derived against the lines",
		Long: `Reads every timeline of the configured database, or the one that --tenant names,
and checks that the lines are whole, in order and what the checkpoints sign;
that payloads are those the lines have the hashes of, and erased ones are gone;
that every checkpoint bears the log key's signature; and that everything derived
(what entries are found by, statuses, tree hashes, head, keys and roles) is what
the lines make.

--repair rebuilds what is derived, in one transaction for each timeline. It
never touches a line, a checkpoint, or a payload that no redaction has ended: a
damaged line takes a backup.

With SQLite or plain files the server must be stopped. With PostgreSQL a check
runs beside servers, as of one moment; a repair wants them stopped.

Exit code 0 if all is well or was mended, 1 if something is wrong.`,
		Example: "  logline fsck\n  logline fsck --data-dir /var/lib/logline --json\n  logline fsck --tenant acme --repair",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			bar := newSlugBar(env, "Checking ")
			what.Progress = bar.update
			results, err := app.Fsck(cmd.Context(), cfg, env.offline(cfg), what)
			bar.finish()
			if err != nil {
				return err
			}
			clean := true
			for _, r := range results {
				clean = clean && r.Clean()
			}
			if asJSON {
				if results == nil {
					results = []*fsck.Result{}
				}
				err = printJSON(env.Stdout, map[string]any{"ok": clean, "tenants": results})
			} else {
				printFsck(env.Stdout, results, what.Repair)
			}
			if err == nil && !clean {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().StringVar(&what.Tenant, "tenant", "", "slug or id of the one tenant to check (default: all)")
	cmd.Flags().BoolVar(&what.Repair, "repair", false, "rebuild what is derived from the lines, where the lines are sound")
	registerJSON(cmd, &asJSON)
	return cmd
}

// offline is what a command that works on a node's data gives it.
func (env *environment) offline(cfg app.Config) app.Options {
	return app.Options{Log: env.logger(cfg), Now: env.Now, Version: buildVersion()}
}

// slugBar shows progress through one timeline after the other.
type slugBar struct {
	env   *environment
	verb  string
	slug  string
	begun time.Time
	bar   *ui.Bar
}

func newSlugBar(env *environment, verb string) *slugBar { return &slugBar{env: env, verb: verb} }

func (b *slugBar) update(slug string, done, total uint64) {
	if b.bar == nil || b.slug != slug {
		b.finish()
		b.slug, b.begun = slug, b.env.Now()
		b.bar = ui.NewBar(b.env.Stderr, b.verb+ui.Clean(slug), b.env.ErrIsTerm, terminalWidth(b.env.Stderr), b.env.Now)
	}
	b.bar.Update(int64(done), int64(total), b.env.Now().Sub(b.begun))
}

func (b *slugBar) finish() {
	if b.bar != nil {
		b.bar.Finish()
		b.bar = nil
	}
}

func printFsck(w io.Writer, results []*fsck.Result, repair bool) {
	if len(results) == 0 {
		fmt.Fprintln(w, "OK: there is no timeline yet")
		return
	}
	for _, r := range results {
		last := r
		if r.After != nil {
			printFindings(w, r)
			last = r.After
			fmt.Fprintf(w, "%s: repaired\n", r.Slug)
		}
		printFindings(w, last)
		facts := fmt.Sprintf("%s, %s", ui.Plural(int64(last.Entries), "entry", "entries"), ui.Plural(int64(last.Checkpoints), "checkpoint", "checkpoints"))
		for _, u := range last.Unchecked {
			fmt.Fprintf(w, "%s: not checked: %s\n", last.Slug, ui.Clean(u))
		}
		if last.OK() {
			fmt.Fprintf(w, "OK  %s: %s, root %s\n", last.Slug, facts, last.Root)
			continue
		}
		fmt.Fprintf(w, "BAD %s: %s, %s\n", last.Slug, facts, ui.Plural(int64(last.FindingCount), "finding", "findings"))
		if repair && !last.Repaired {
			fmt.Fprintf(w, "    nothing was repaired: the lines themselves are not sound, or nothing is wrong that a repair mends\n")
		}
	}
}

func printFindings(w io.Writer, r *fsck.Result) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n    %s\n", r.Slug, ui.Clean(f.String()), f.Do)
	}
	if more := r.FindingCount - len(r.Findings); more > 0 {
		fmt.Fprintf(w, "%s: and %s more\n", r.Slug, ui.Plural(int64(more), "finding", "findings"))
	}
}

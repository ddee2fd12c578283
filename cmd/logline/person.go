package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/admin/person"
	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/ui"
)

func newPersonCmd(env *environment) *cobra.Command {
	return group("person", "Export or erase a person's data at this node, on request",
		`For whoever looks after a node: these work on the node's data itself, with the
settings of the server, beside running servers where timelines are in the database,
and alone where they are in files. The node's admin timeline tells of each.`,
		newPersonExportCmd(env),
		newPersonEraseCmd(env),
	)
}

func newPersonExportCmd(env *environment) *cobra.Command {
	var file, reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "export IDENTITY|@HANDLE --out FILE",
		Short: "Write what the node holds of a person into one archive",
		Long: `Writes a zip archive with everything of all tenants that is the person's: what they
signed, what was signed for them, what has their identity as subject, the roles they
were given, the tasks they asked for; their handle, name, key events and API keys (not
the keys themselves). Each record is the exact line of its timeline, with payload and
salt and the proof that it is under the signed checkpoint beside it. report.json says
what is in it, and what is not, and why.`,
		Example: "  logline person export @ana --out ana.zip --reason request-12",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usagef("say where to write the archive: --out FILE")
			}
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			var out person.Report
			if err := atomically(file, func(f *os.File) (err error) {
				out, err = app.ExportPerson(cmd.Context(), cfg, env.offline(cfg), args[0], reason, f)
				return err
			}); err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, out)
			}
			printPersonReport(env.Stdout, file, &out)
			return nil
		},
	}
	app.AddCopyFlags(cmd.Flags())
	cmd.Flags().StringVar(&file, "out", "", "the archive to write, readable by you alone")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the node's admin timeline: at most 256 bytes")
	registerJSON(cmd, &asJSON)
	return cmd
}

func printPersonReport(w io.Writer, file string, out *person.Report) {
	fmt.Fprintf(w, "Wrote %s: what this node holds of %s.\n", ui.Clean(file), out.Person)
	fmt.Fprintf(w, "  %s, %s\n", ui.Plural(int64(out.Events), "key event", "key events"), ui.Plural(int64(out.APIKeys), "API key", "API keys"))
	for _, t := range out.Tenants {
		fmt.Fprintf(w, "  %s: %s", ui.Clean(t.Slug), ui.Plural(int64(t.Records), "record", "records"))
		if t.Erased > 0 {
			fmt.Fprintf(w, ", %s of them erased", ui.Count(int64(t.Erased)))
		}
		if t.Withheld > 0 {
			fmt.Fprintf(w, ", %s without their payload", ui.Count(int64(t.Withheld)))
		}
		if t.Tasks > 0 {
			fmt.Fprintf(w, ", %s", ui.Plural(int64(t.Tasks), "task", "tasks"))
		}
		if len(t.Roles) > 0 {
			fmt.Fprintf(w, "; roles: %s", ui.Clean(strings.Join(t.Roles, ", ")))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "Not in it:")
	for _, l := range out.LeftOut {
		fmt.Fprintf(w, "  - %s: %s.\n", l.What, l.Why)
	}
}

func newPersonEraseCmd(env *environment) *cobra.Command {
	var reason string
	var yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "erase IDENTITY|@HANDLE [--yes --reason REASON]",
		Short: "Erase what the node holds of a person, as far as it can be erased",
		Long: `In every tenant of the node: redacts, by the node's own signature, the payloads of
what the person signed, of what was signed for them and of what has their identity as
subject, and cancels the tasks they asked for. Then revokes their API keys; ends the
identity and destroys its keys where the node holds them; and erases handle and name.
Without --yes it changes nothing and says what it would do.

What stays for good are headers (who, when, which type, title, subject, tags), roles
and key events: proofs cover them, and they hold no names. The report says so, and what
is beyond the node. Run "logline erase --compact" after it.

A run that is ended goes on where it was when it is run again; once all is done
another one changes nothing.`,
		Example: "  logline person erase @ana\n  logline person erase @ana --yes --reason gdpr-2026-117",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkReason(reason); err != nil {
				return err
			}
			if yes && reason == "" {
				return usagef("say why with --reason: it stands in the timelines, for good, so name a request and nobody")
			}
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			out, err := app.ErasePerson(cmd.Context(), cfg, env.offline(cfg), args[0], reason, !yes)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, out)
			}
			printErased(env.Stdout, &out)
			return nil
		},
	}
	app.AddCopyFlags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "", "why: one line of at most 64 bytes that stays for good and names nobody, such as a request's number")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; otherwise nothing is changed")
	registerJSON(cmd, &asJSON)
	return cmd
}

func printErased(w io.Writer, out *person.Erased) {
	verb := "Erased"
	if !out.Done {
		fmt.Fprintln(w, "Nothing was changed. With --yes this would be erased:")
		verb = "Would erase"
	}
	fmt.Fprintf(w, "%s of %s:\n", verb, out.Person)
	for _, t := range out.Tenants {
		switch {
		case t.ReadOnly:
			fmt.Fprintf(w, "  %s: nothing, another node writes it\n", ui.Clean(t.Slug))
		default:
			fmt.Fprintf(w, "  %s: %s (%s erased before), %s; %s\n", ui.Clean(t.Slug), ui.Plural(int64(t.Payloads), "payload", "payloads"), ui.Count(int64(t.Before)),
				ui.Plural(int64(t.Tasks), "task", "tasks"), ui.Plural(int64(t.Kept), "entry of the protocol's own stays", "entries of the protocol's own stay"))
		}
	}
	fmt.Fprintf(w, "  handle or name: %s; valid API keys: %s; account: %s; keys in custody: %s\n", yesNo(out.Names), ui.Count(int64(out.APIKeys)), yesNo(out.Account), yesNo(out.Custody))
	for _, slug := range out.SoleOwner {
		fmt.Fprintf(w, "Note: they are the only owner of %s. An owner is made by owners alone; close it with `logline tenant close %s --as-operator` where nobody else is to have it.\n", ui.Clean(slug), ui.Clean(slug))
	}
	fmt.Fprintln(w, "What stays:")
	for _, text := range out.Stays {
		fmt.Fprintf(w, "  - %s.\n", text)
	}
	fmt.Fprintln(w, "Not reached:")
	for _, text := range out.NotReached {
		fmt.Fprintf(w, "  - %s.\n", ui.Clean(text))
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "none"
}

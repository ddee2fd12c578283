package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/doctor"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ui"
)

func newDoctorCmd(env *environment) *cobra.Command {
	var url string
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at a node from all sides and say what to change",
		Long: `Looks at the configuration, who else can read files with secrets, room on the disk,
the database, its role and its durability, pending migrations, checkpoints given
out, followers and tasks that wait for somebody, the ages of keys and backups, and
the clock. Run it where the node runs, with the node's settings; it changes nothing,
and works beside servers. --url asks a running server too.

Exit code 0 when nothing fails, 1 when something does or, with --strict, should be
changed.`,
		Example: "  logline doctor\n  logline doctor --url https://logline.example.com --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &doctor.Report{}
			cfg, values, err := loadConfig(env, cmd)
			if err != nil {
				wrong := fault.From(errors.Unwrap(err))
				if len(wrong.Fields) == 0 {
					r.Fail("configuration", "logline config print shows where each setting comes from", "%s", wrong.Detail)
				}
				for _, f := range wrong.Fields {
					r.Fail("configuration", "logline config print shows where each setting comes from", "%s: %s", f.Pointer, f.Detail)
				}
			} else if r, err = app.Examine(cmd.Context(), cfg, env.offline(cfg), app.DoctorOptions{Values: values, URL: url}); err != nil {
				return err
			}
			if err := showReport(env, r, asJSON); err != nil {
				return err
			}
			if r.Count(doctor.Fail) > 0 || strict && r.Count(doctor.Warn) > 0 {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	app.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&url, "url", "", "a running server to ask too")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with 1 for warnings too")
	registerJSON(cmd, &asJSON)
	return cmd
}

func showReport(env *environment, r *doctor.Report, asJSON bool) error {
	if asJSON {
		return printJSON(env.Stdout, map[string]any{
			"findings": r.Findings, "ok": r.Count(doctor.OK), "warn": r.Count(doctor.Warn), "fail": r.Count(doctor.Fail),
		})
	}
	for _, f := range r.Findings {
		fmt.Fprintf(env.Stdout, "%-5s %s: %s\n", f.State, f.Check, ui.Clean(f.Found))
		if f.Do != "" {
			fmt.Fprintf(env.Stdout, "      do: %s\n", ui.Clean(f.Do))
		}
	}
	_, err := fmt.Fprintf(env.Stdout, "\n%d ok, %d to change, %d wrong\n", r.Count(doctor.OK), r.Count(doctor.Warn), r.Count(doctor.Fail))
	return err
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/fault"
)

func newMigrateCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Show the database's schema version, or bring it up to date without serving",
		Long: `Every start of a server brings the database's schema up to date. These commands
look at it, or do so beforehand. A schema that is newer than this program is
never touched. To move a node to another database, see "logline backup".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMigrateStatusCmd(env), newMigrateUpCmd(env))
	return cmd
}

func newMigrateStatusCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the schema version: exit code 0 when it is up to date, 1 when it is older, 3 when it is newer",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			s, err := app.SchemaOf(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			verdict := "up to date"
			switch {
			case s.Current == 0:
				verdict = "nothing there yet; the first start, or logline migrate up, makes it"
			case s.Current < s.Known:
				verdict = "older; logline migrate up, or the next start, brings it up to date"
			case s.Current > s.Known:
				verdict = "newer than this program"
			}
			if asJSON {
				err = printJSON(env.Stdout, map[string]any{"database": s.Database, "current": s.Current, "known": s.Known, "up_to_date": s.Current == s.Known})
			} else {
				facts(env.Stdout, "database", s.Database, "schema version", fmt.Sprint(s.Current), "this program's", fmt.Sprint(s.Known), "verdict", verdict)
			}
			switch {
			case err != nil:
				return err
			case s.Current > s.Known:
				return fault.Newf(fault.Unavailable, "schema_newer",
					"the database has schema version %d and this program knows only %d; use the newer logline that wrote it", s.Current, s.Known)
			case s.Current < s.Known:
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	app.AddDataFlags(cmd.Flags())
	registerJSON(cmd, &asJSON)
	return cmd
}

func newMigrateUpCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the schema up to date, each step in a transaction of its own",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			s, err := app.MigrateUp(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, map[string]any{"database": s.Database, "from": s.Current, "to": s.Known})
			}
			if s.Current == s.Known {
				_, err = fmt.Fprintf(env.Stdout, "%s is at schema version %d already\n", s.Database, s.Known)
			} else {
				_, err = fmt.Fprintf(env.Stdout, "%s: schema version %d, was %d\n", s.Database, s.Known, s.Current)
			}
			return err
		},
	}
	app.AddDataFlags(cmd.Flags())
	registerJSON(cmd, &asJSON)
	return cmd
}

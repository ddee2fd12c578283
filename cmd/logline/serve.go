package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/fault"
)

func newServeCmd(env *environment) *cobra.Command {
	var listModules, newEpoch, rotateKey bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node",
		Long: `Runs a node until it is told to stop: the first SIGINT or SIGTERM lets
everything in flight finish, a second one ends the process at once.

Without any setting it serves on 127.0.0.1:8080 with SQLite in ./logline-data,
where the first start also leaves the node's keys and the bootstrap token.
Each flag is also a LOGLINE_* variable and a line of logline.yaml; what wins,
and what is set, shows "logline config print".

` + exitHelp,
		Example: "  logline serve\n  logline serve --listen=:8080 --data-dir=/var/lib/logline\n  logline serve --list-modules",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if listModules {
				return writeModules(env.Stdout)
			}
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			log := env.logger(cfg)
			node, err := app.New(cmd.Context(), cfg, app.Options{Log: log, Now: env.Now, Version: buildVersion(), NewEpoch: newEpoch, RotateKey: rotateKey})
			if err != nil {
				return err
			}
			defer giveHeapRoom()()
			defer addProcessors(env.Getenv)()
			err = node.Run(cmd.Context())
			if err == nil {
				log.Info("stopped")
			}
			return err
		},
	}
	app.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&newEpoch, "new-epoch", false, "first go on under a new origin with every timeline whose database was restored from an older copy")
	cmd.Flags().BoolVar(&rotateKey, "rotate-node-key", false, "first replace the node's key by the next one, in every timeline")
	cmd.Flags().BoolVar(&listModules, "list-modules", false, "say which modules there are and what each contributes, and exit")
	return cmd
}

// loadConfig reads the configuration as a command sees it; what is wrong with
// it is a usage error.
func loadConfig(env *environment, cmd *cobra.Command) (app.Config, []app.Value, error) {
	cfg, values, err := app.Load(app.Sources{Flags: cmd.Flags(), Getenv: env.Getenv, Dir: "."})
	for _, warning := range app.Overheard(cmd.Flags()) {
		fmt.Fprintln(env.Stderr, "Warning:", warning)
	}
	if err != nil {
		err = &usageError{err: err}
	}
	return cfg, values, err
}

// logger is the log of a node that this process runs.
func (env *environment) logger(cfg app.Config) *slog.Logger {
	return newLogger(env.Stderr, cfg.LogFormat, cfg.LogLevel, env.ErrIsTerm, env.Getenv("NO_COLOR") == "")
}

func writeModules(w io.Writer) error {
	for _, m := range app.Modules() {
		lines := []string{fmt.Sprintf("%-11s %s", m.Name, m.About)}
		for _, part := range []struct {
			name  string
			items []string
		}{{"needs", m.Needs}, {"routes", m.Routes}, {"workers", m.Workers}} {
			if len(part.items) > 0 {
				sep := ", "
				if part.name == "routes" { // one a line
					sep = "\n" + strings.Repeat(" ", 12+len("routes: "))
				}
				lines = append(lines, fmt.Sprintf("%-11s %s: %s", "", part.name, strings.Join(part.items, sep)))
			}
		}
		if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
			return fault.New(fault.Unavailable, "output_failed", "the output cannot be written").Because(err)
		}
	}
	return nil
}

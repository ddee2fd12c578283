package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/id"
)

func newConfigCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show or check the configuration of a node",
		Long: `A setting comes from, in this order: a flag, the environment, the file
logline.yaml (or --config), the default. PORT and DATABASE_URL are read where
LOGLINE_LISTEN and LOGLINE_DATABASE_URL are not set. print and check take the flags of "logline serve".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigPrintCmd(env), newConfigCheckCmd(env), newConfigMasterKeyCmd(env))
	return cmd
}

func newConfigPrintCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Show every setting with where it comes from; secrets are masked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, values, err := loadConfig(env, cmd)
			if asJSON {
				return errors.Join(json.NewEncoder(env.Stdout).Encode(values), err)
			}
			w := tabwriter.NewWriter(env.Stdout, 0, 0, 2, ' ', 0)
			for _, v := range values {
				shown := v.Value
				if shown == "" {
					shown = "-"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", v.Key, shown, v.Origin)
			}
			return errors.Join(w.Flush(), err)
		},
	}
	app.AddFlags(cmd.Flags())
	registerJSON(cmd, &asJSON)
	return cmd
}

func newConfigCheckCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration and exit: 0 when it is good, 2 when it is not",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			registration := cfg.Registers()
			if asJSON {
				return printJSON(env.Stdout, map[string]any{"ok": true, "modules": cfg.Modules, "listen": cfg.Listen, "registration": registration})
			}
			_, err = fmt.Fprintf(env.Stdout, "the configuration is good: %s on %s, registration %s\n",
				cfg.Modules, cfg.Listen, registration)
			return err
		},
	}
	app.AddFlags(cmd.Flags())
	registerJSON(cmd, &asJSON)
	return cmd
}

func newConfigMasterKeyCmd(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "master-key",
		Short: "Make a new master key for LOGLINE_MASTER_KEY",
		Long: `Prints 32 new random bytes in base64url; "openssl rand -base64 32" does as well.
A node with LOGLINE_MASTER_KEY keeps its keys, and those it holds for others,
sealed in its database. Keep the key where you keep secrets, apart from backups
of the database: neither opens anything without the other.`,
		Example: "  logline config master-key",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key, err := id.NewMasterKey(rand.Reader)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(env.Stdout, key)
			return err
		},
	}
}

package main

import (
	"fmt"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ui"
)

func newTenantUsageCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "usage [TENANT]",
		Short: "Show what a tenant uses of its quotas; without an argument, the profile's",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openNamed(env, args...)
			if err != nil {
				return err
			}
			usage, err := s.client.Usage(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, usage)
			}
			table := ui.NewTable("QUOTA", ">USED", ">LIMIT", ">PERCENT", "SET")
			for i := range usage.Items {
				u := &usage.Items[i]
				limit, percent, set := "none", "-", "for every tenant"
				if u.Limit != nil {
					limit, percent = quota.Format(string(u.Quota), *u.Limit), fmt.Sprint(*u.Percent)
				}
				if u.Own {
					set = "for this one"
				}
				table.Row(string(u.Quota), ui.Count(u.Used), limit, percent, set)
			}
			if err := writeTable(env, table); err != nil {
				return err
			}
			for _, w := range usage.Warnings {
				fmt.Fprintln(env.Stderr, "Warning:", ui.Clean(w))
			}
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

func newTenantQuotaCmd(env *environment) *cobra.Command {
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "quota TENANT [QUOTA=VALUE]...",
		Short: "On the node's own machine: show or change what a tenant may use",
		Long: `Works on the node's data, beside running servers, which go by it within two
seconds. Each change is recorded on the node's admin timeline.

QUOTA is spans (recorded in a second, on the average of ten), storage (bytes),
feeds (open at one process), tasks (that wait) or members. VALUE is a number,
storage also as 500MB or 10GiB; off for no bound; default for what the node's
configuration says for every tenant (quota.spans, …).`,
		Example: "  logline tenant quota acme\n  logline tenant quota acme spans=200 storage=10GiB members=50\n  logline tenant quota acme storage=off tasks=default",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := quotaChange(args[1:])
			if err != nil {
				return err
			}
			if err := admin.CheckReason(reason); err != nil {
				return err
			}
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			act := admin.Act{Reason: reason}
			if u, err := user.Current(); err == nil {
				act.OSUser = u.Username
			}
			out, err := app.SetQuotas(cmd.Context(), cfg, env.offline(cfg), args[0], change, act)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, out)
			}
			table := ui.NewTable("QUOTA", ">LIMIT", "SET")
			for _, name := range quota.Names {
				limit, set := quota.Format(name, quota.None), "for every tenant"
				if n, ok := out.Node[name]; ok {
					limit = quota.Format(name, n)
				}
				if n, ok := out.Own[name]; ok {
					limit, set = quota.Format(name, n), "for this one"
				}
				table.Row(name, limit, set)
			}
			return writeTable(env, table)
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the admin timeline: at most 256 bytes")
	registerJSON(cmd, &asJSON)
	return cmd
}

// quotaChange reads what shall be set.
func quotaChange(args []string) (quota.Change, error) {
	change := make(quota.Change, len(args))
	for _, arg := range args {
		name, text, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, usagef("%q is no change; write it as storage=10GiB", ui.Clean(arg))
		}
		if _, twice := change[name]; twice {
			return nil, usagef("%s is given twice", ui.Clean(name))
		}
		if text == "default" {
			if err := quota.Check(name, 0); err != nil {
				return nil, err
			}
			change[name] = nil
			continue
		}
		value, err := quota.ParseValue(name, text)
		if err != nil {
			return nil, err
		}
		change[name] = &value
	}
	return change, nil
}

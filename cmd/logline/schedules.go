package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/ui"
)

func newSchedulesCmd(env *environment) *cobra.Command {
	return group("schedules", "See what contracts do by the clock, and step in",
		`A schedule of a contract in force runs by itself, by a cron line or every so often. It is
named <contract>/<schedule>. What is done to one here is on the record, with who did it.
docs/schedules.md explains it.`,
		newSchedulesListCmd(env),
		newSchedulesOneCmd(env, "show", "Show one schedule, its next due times and its last run", (*client.Client).Schedule),
		newSchedulesOneCmd(env, "pause", "Let a schedule rest: what comes due meanwhile does not run", (*client.Client).PauseSchedule),
		newSchedulesOneCmd(env, "resume", "Let a schedule go on with its next due time", (*client.Client).ResumeSchedule),
		newSchedulesOneCmd(env, "run", "Let a schedule run now, once", (*client.Client).RunSchedule))
}

func newSchedulesListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List schedules, with when they run next and how they ran last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			all, err := s.client.Schedules(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, all)
			}
			table := ui.NewTable("SCHEDULE", "WHEN", "NEXT", "LAST", "OUTCOME")
			for i := range all {
				sc := &all[i]
				last, outcome := "never", ""
				if sc.Last != nil {
					last, outcome = shortTime(sc.Last.Due), string(sc.Last.Outcome)
				}
				table.Row(sc.Contract+"/"+sc.Schedule, whenOf(sc), nextOf(sc), last, outcome)
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// whenOf says when a schedule runs, as its contract says it.
func whenOf(sc *client.Schedule) string {
	if sc.Every != "" {
		return "every " + sc.Every
	}
	return strings.TrimSpace(sc.Cron + " " + sc.Timezone)
}

// nextOf says when the clock brings a schedule next.
func nextOf(sc *client.Schedule) string {
	switch {
	case sc.Paused:
		return "paused"
	case sc.At == "":
		return "never"
	case sc.Tries > 0:
		return shortTime(sc.At) + ", again"
	}
	return shortTime(sc.At)
}

func newSchedulesOneCmd(env *environment, verb, short string, do func(*client.Client, context.Context, string, string, string) (*client.Schedule, error)) *cobra.Command {
	return newOneCmd(env, verb+" CONTRACT/SCHEDULE", short, func(ctx context.Context, c *client.Client, tenant, name string) (*client.Schedule, error) {
		contract, schedule, ok := strings.Cut(name, "/")
		if !ok || contract == "" || schedule == "" {
			return nil, usagef("%q is no schedule: write its contract, a slash and its name, as in identity.lifecycle/trust_decay", ui.Clean(name))
		}
		return do(c, ctx, tenant, contract, schedule)
	}, rowsOfSchedule)
}

// rowsOfSchedule are what people are shown of one.
func rowsOfSchedule(sc *client.Schedule) [][2]string {
	state, last := "in force", ""
	switch {
	case sc.Paused:
		state = "paused"
	case sc.Tries > 0:
		state = fmt.Sprintf("failed %d times for %s, tried again at %s", sc.Tries, sc.Due, sc.At)
	case sc.Running:
		state = "runs for " + sc.Due
	}
	if sc.Last != nil {
		last = fmt.Sprintf("%s, for %s, by entry %s", sc.Last.Outcome, sc.Last.Due, sc.Last.Span)
	}
	return [][2]string{
		{"schedule", sc.Contract + "/" + sc.Schedule}, {"contract", sc.Contract + " " + sc.Version}, {"when", whenOf(sc)}, {"foreach", sc.Foreach},
		{"missed", string(sc.Missed)}, {"state", state}, {"next", strings.Join(sc.Next, "  ")}, {"last", last},
	}
}

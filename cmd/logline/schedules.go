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
		newSchedulesListCmd(env), newSchedulesShowCmd(env),
		newSchedulesChangeCmd(env, "pause", "Let a schedule rest: what comes due meanwhile does not run", (*client.Client).PauseSchedule),
		newSchedulesChangeCmd(env, "resume", "Let a schedule go on with its next due time", (*client.Client).ResumeSchedule),
		newSchedulesChangeCmd(env, "run", "Let a schedule run now, once", (*client.Client).RunSchedule))
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

func newSchedulesShowCmd(env *environment) *cobra.Command {
	return newSchedulesChangeCmd(env, "show", "Show one schedule, its next due times and its last run", (*client.Client).Schedule)
}

func newSchedulesChangeCmd(env *environment, verb, short string, do func(*client.Client, context.Context, string, string, string) (*client.Schedule, error)) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   verb + " CONTRACT/SCHEDULE",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			contract, schedule, ok := strings.Cut(args[0], "/")
			if !ok || contract == "" || schedule == "" {
				return usagef("%q is no schedule: write its contract, a slash and its name, as in identity.lifecycle/trust_decay", ui.Clean(args[0]))
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			sc, err := do(s.client, cmd.Context(), s.profile.Tenant, contract, schedule)
			if err != nil {
				return err
			}
			return s.printSchedule(sc, flags.json)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

func (s *session) printSchedule(sc *client.Schedule, asJSON bool) error {
	if asJSON {
		return printJSON(s.env.Stdout, sc)
	}
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
	for _, line := range [][2]string{
		{"schedule", sc.Contract + "/" + sc.Schedule}, {"contract", sc.Contract + " " + sc.Version}, {"when", whenOf(sc)}, {"foreach", sc.Foreach},
		{"missed", string(sc.Missed)}, {"state", state}, {"next", strings.Join(sc.Next, "  ")}, {"last", last},
	} {
		if line[1] != "" {
			fmt.Fprintf(s.env.Stdout, "%-12s %s\n", line[0], ui.Clean(line[1]))
		}
	}
	return nil
}

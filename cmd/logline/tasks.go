package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/ui"
)

func newTasksCmd(env *environment) *cobra.Command {
	return group("tasks", "See what the engine does by itself, and step in",
		`What a decision asks for beside its outcome (a span to emit, a webhook to call) is a
task, which the engine runs until it is done. A task is named <span>.<n>: the n-th
action of that span. Those that failed for good wait for somebody to queue them again.
docs/engine.md explains it.`,
		newTasksListCmd(env), newTasksStatsCmd(env), newTasksWatchCmd(env),
		newTasksOneCmd(env, "show", "Show one task, and what came of it", (*client.Client).Task),
		newTasksOneCmd(env, "cancel", "Cancel a task: a queued one at once, a running one within seconds", (*client.Client).CancelTask),
		newTasksOneCmd(env, "requeue", "Let a failed or cancelled task run again", (*client.Client).RequeueTask))
}

func newTasksListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var f client.TaskFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List tasks, those of the newest spans first",
		Example: "  logline tasks list --state failed\n  logline tasks list --queue emit --limit 20 --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.State != "" && !slices.Contains(tasks.States[:], f.State) {
				return usagef("--state %q must be one of %s", ui.Clean(f.State), strings.Join(tasks.States[:], ", "))
			}
			if f.Limit < 1 || f.Limit > maxPage {
				return usagef("--limit must be 1 to %d", maxPage)
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			page, err := s.client.Tasks(cmd.Context(), s.profile.Tenant, f)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, page)
			}
			table := ui.NewTable("TASK", "KIND", "NAME", "STATE", "RUNS", "CHANGED", "WHY")
			for _, t := range page.Items {
				table.Row(t.Id, t.Kind, t.Name, stateOf(&t), fmt.Sprintf("%d/%d", t.Attempt, t.Attempts), shortTime(t.ChangedAt), t.Error)
			}
			if err := writeTable(env, table); err != nil {
				return err
			}
			if page.Next != nil {
				fmt.Fprintf(env.Stderr, "There is more: --cursor %s\n", *page.Next)
			}
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&f.State, "state", "", strings.Join(tasks.States[:], ", ")+" (default any)")
	cmd.Flags().StringVar(&f.Queue, "queue", "", "tasks of this queue (default any)")
	cmd.Flags().IntVar(&f.Limit, "limit", 20, "tasks per page, at most 1000")
	cmd.Flags().StringVar(&f.Cursor, "cursor", "", "continue after a page, from the `NEXT` it gave")
	return cmd
}

// stateOf is the state in words.
func stateOf(t *client.Task) string {
	if t.Cancelling {
		return string(t.State) + ", to end"
	}
	return string(t.State)
}

// rowsOfTask are what people are shown of one.
func rowsOfTask(t *client.Task) [][2]string {
	asked := "requested by " + t.AskedBy
	if t.Seq != nil {
		asked = fmt.Sprintf("asked for by entry %d", *t.Seq)
	}
	return [][2]string{
		{"task", t.Id}, {"what", t.Kind + " " + t.Name + ", " + asked}, {"state", stateOf(t)},
		{"runs", fmt.Sprintf("%d of at most %d", t.Attempt, t.Attempts)}, {"worker", t.Worker}, {"not before", t.RunAt}, {"lease until", t.LeaseUntil},
		{"made", t.MadeAt}, {"changed", t.ChangedAt}, {"error", strings.TrimSpace(t.Error + " " + inBrackets(t.Code))}, {"result", string(t.Output)},
	}
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

func newTasksStatsCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Count the tasks of each queue, by state, and say how runs end lately",
		Long: `WAITS is for how long the first queued task has been due. PER MINUTE is how many tasks
were completed in each of the last five minutes, FAILING how many runs of a hundred failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			queues, err := s.client.Queues(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, queues)
			}
			table := ui.NewTable("QUEUE", "QUEUED", "RUNNING", "AT MOST", "COMPLETED", "FAILED", "CANCELLED", "WAITS", "PER MINUTE", "FAILING")
			for i := range queues {
				q := &queues[i]
				table.Row(q.Queue, ui.Count(q.Queued), ui.Count(q.Running), strconv.Itoa(q.Limit), ui.Count(q.Completed), ui.Count(q.Failed), ui.Count(q.Cancelled),
					waitsFor(q), perMinute(q), failing(q))
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// waitsFor is for how long the first queued task has been due.
func waitsFor(q *client.Queue) string {
	if q.WaitSeconds == 0 {
		return "-"
	}
	return ui.Duration(time.Duration(q.WaitSeconds * float64(time.Second)))
}

func perMinute(q *client.Queue) string { return strconv.FormatFloat(q.Recent.PerMinute, 'f', 1, 64) }

func failing(q *client.Queue) string {
	if q.Recent.Completed+q.Recent.Retried+q.Recent.Failed == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*q.Recent.FailureRate, 'f', 0, 64) + " %"
}

func newTasksOneCmd(env *environment, verb, short string, do func(*client.Client, context.Context, string, string) (*client.Task, error)) *cobra.Command {
	return newOneCmd(env, verb+" TASK", short, func(ctx context.Context, c *client.Client, tenant, name string) (*client.Task, error) {
		return do(c, ctx, tenant, name)
	}, rowsOfTask)
}

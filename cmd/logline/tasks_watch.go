package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/ui"
)

func newTasksWatchCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var w client.TaskWatch
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print tasks as they change, until Ctrl-C",
		Long: `Print each change of a task as it happens: when it is queued, when it runs, what came of
it. All filters given must hold, and each may be given several times. What changes while
the connection is lost is not printed later; "logline tasks list" says how all stand.`,
		Example: "  logline tasks watch\n  logline tasks watch --state failed --kind call --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, state := range w.States {
				if !slices.Contains(tasks.States[:], state) {
					return usagef("--state %q must be one of %s", ui.Clean(state), strings.Join(tasks.States[:], ", "))
				}
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			err = s.watchTasks(cmd.Context(), &w, flags.json)
			if cmd.Context().Err() != nil {
				return nil // Ctrl-C is how watching ends
			}
			return err
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringSliceVar(&w.States, "state", nil, strings.Join(tasks.States[:], ", ")+" (default any)")
	cmd.Flags().StringSliceVar(&w.Kinds, "kind", nil, "tasks of this kind (default any)")
	cmd.Flags().StringSliceVar(&w.Queues, "queue", nil, "tasks of this queue (default any)")
	cmd.Flags().StringSliceVar(&w.Tasks, "task", nil, "this task (default any)")
	return cmd
}

// noEntries is a type that no entry has: entries are not what is watched.
const noEntries = "logline.nothing"

func (s *session) watchTasks(ctx context.Context, w *client.TaskWatch, asJSON bool) error {
	began := false
	for e, err := range s.client.Follow(ctx, s.profile.Tenant, client.FeedOptions{From: client.FeedNow, Filter: client.Filter{Types: []string{noEntries}}, Tasks: w}) {
		switch {
		case err != nil:
			return err
		case e.Type == client.FeedTask && asJSON:
			err = printJSON(s.env.Stdout, e.Task)
		case e.Type == client.FeedTask:
			t := e.Task
			_, err = fmt.Fprintf(s.env.Stdout, "%s  %-9s  %s  %s\n", shortTime(t.ChangedAt), stateOf(t), t.Id,
				ui.Clean(strings.TrimSpace(t.Kind+" "+t.Name+"  "+t.Error)))
		case e.Type == client.FeedTasks && (e.Missed || began):
			fmt.Fprintln(s.env.Stderr, "logline: some changes may be missing here; logline tasks list says how all tasks stand")
		case e.Type == client.FeedTasks:
			began = true
			fmt.Fprintln(s.env.Stderr, "Watching; Ctrl-C ends it.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

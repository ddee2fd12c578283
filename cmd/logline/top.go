package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
)

func newTopCmd(env *environment) *cobra.Command {
	var flags clientFlags
	t := top{env: env}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch what the engine does: queues, running tasks, followers",
		Long: `Show, again and again, the queues of every tenant whose tasks you may see, the tasks
that run and where, and what reads the timelines and how far behind it is. --tenant shows
one tenant alone. On a terminal q quits; elsewhere each look is printed below the last.
While the node cannot be reached, what was seen last stays, and top goes on trying.`,
		Example: `  logline top
  logline top --tenant acme --every 5s
  logline top --once --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if t.every < minEvery || t.every > maxEvery {
				return usagef("--every must be %v to %v", minEvery, maxEvery)
			}
			s, err := flags.open(env)
			if err != nil {
				return err
			}
			if s.keys == nil {
				return usagef("profile %q has no identity; make one with `logline identity create`", s.profile.Name)
			}
			if cmd.Flags().Changed("tenant") {
				t.tenant = s.profile.Tenant
			}
			t.node, t.where, t.json = s.client, s.profile.URL, flags.json
			err = t.run(cmd.Context())
			if cmd.Context().Err() != nil && !t.once {
				return nil // Ctrl-C is how watching ends
			}
			return err
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().DurationVar(&t.every, "every", time.Second, "time between looks")
	cmd.Flags().BoolVar(&t.once, "once", false, "print one look and end")
	return cmd
}

const (
	minEvery = 100 * time.Millisecond
	maxEvery = time.Hour
)

// engineRoom is what top asks of a node. *client.Client implements it.
type engineRoom interface {
	Tenants(ctx context.Context) ([]client.Tenant, error)
	Queues(ctx context.Context, tenant string) ([]client.Queue, error)
	Tasks(ctx context.Context, tenant string, f client.TaskFilter) (*client.TaskPage, error)
	Followers(ctx context.Context, tenant string) ([]client.Follower, error)
}

// top is one run of the command.
type top struct {
	env    *environment
	node   engineRoom
	where  string // the node's address
	tenant string // "": all that may be seen
	every  time.Duration
	once   bool
	json   bool
}

// topTenant is what was seen of one tenant.
type topTenant struct {
	Tenant    string            `json:"tenant"`
	Slug      string            `json:"slug"`
	Queues    []client.Queue    `json:"queues"`
	Running   []client.Task     `json:"running"` // the first of them
	Followers []client.Follower `json:"followers"`
}

// topLook is what was seen at one moment.
type topLook struct {
	At      string      `json:"at"`
	Node    string      `json:"node"`
	Tenants []topTenant `json:"tenants"`
	More    int         `json:"more_tenants,omitempty"` // not shown

	at  time.Time
	err error // why there is nothing newer
}

const (
	topTenants = 16 // that are shown together
	topRunning = 50 // tasks of each
	lookWithin = 10 * time.Second
)

// look asks the node for everything that is shown.
func (t *top) look(ctx context.Context) (*topLook, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	now := t.env.Now()
	l := &topLook{At: now.UTC().Format(time.RFC3339Nano), Node: t.where, Tenants: []topTenant{}, at: now}
	if t.tenant != "" {
		one, err := t.lookAt(ctx, t.tenant, t.tenant)
		if err == nil {
			l.Tenants = append(l.Tenants, one)
		}
		return l, err
	}
	all, err := t.node.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if len(l.Tenants) == topTenants {
			l.More = len(all) - i
			break
		}
		one, err := t.lookAt(ctx, all[i].Id, all[i].Slug)
		if code := answeredWith(err); code == http.StatusForbidden || code == http.StatusNotFound {
			continue // it may be read, but not its tasks
		}
		if err != nil {
			return nil, err
		}
		l.Tenants = append(l.Tenants, one)
	}
	return l, nil
}

func (t *top) lookAt(ctx context.Context, tenant, slug string) (one topTenant, err error) {
	one.Tenant, one.Slug = tenant, slug
	if one.Queues, err = t.node.Queues(ctx, tenant); err != nil {
		return one, err
	}
	page, err := t.node.Tasks(ctx, tenant, client.TaskFilter{State: "running", Limit: topRunning})
	if err != nil {
		return one, err
	}
	one.Running = page.Items
	one.Followers, err = t.node.Followers(ctx, tenant)
	return one, err
}

// run looks until ctx ends, or somebody quits.
func (t *top) run(ctx context.Context) error {
	if t.once {
		l, err := t.look(ctx)
		if err != nil {
			return err
		}
		return t.print(l)
	}
	if in, out, ok := t.terminal(); ok && !t.json {
		return t.live(ctx, in, out)
	}
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		l, err := t.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !passingTrouble(err):
			return err
		case err != nil:
			fmt.Fprintln(t.env.Stderr, "logline: "+err.Error()+"; trying again")
		default:
			if err := t.print(l); err != nil {
				return err
			}
			if !t.json {
				fmt.Fprintln(t.env.Stdout)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// passingTrouble says that another look may do better: nothing was answered, or
// that the node cannot now.
func passingTrouble(err error) bool {
	code := answeredWith(err)
	return code == 0 || code == http.StatusTooManyRequests || code >= http.StatusInternalServerError
}

// answeredWith is what a node answered with, 0 where it did not.
func answeredWith(err error) int {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}

// print writes one look as it is, whatever its length.
func (t *top) print(l *topLook) error {
	if t.json {
		return printJSON(t.env.Stdout, l)
	}
	width := 0
	if t.env.IsTerminal {
		width = terminalWidth(t.env.Stdout)
	}
	for _, line := range l.render(width, 0) {
		if _, err := io.WriteString(t.env.Stdout, line.text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

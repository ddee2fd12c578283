package app

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// TestTasksOfAHaltedTenantRest: with the timeline's word workers' rows change, and
// where they have not, each run asks the timeline itself.
func TestTasksOfAHaltedTenantRest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kinds[name](t)
			n := start(t, cfg, nil)
			token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
			require.NoError(t, err)
			makeTenant(t, n, strings.TrimSpace(string(token)))
			tenant, err := n.halts.log.Tenant(t.Context(), "acme")
			require.NoError(t, err)
			ran := 0
			kind := n.halts.walled(tasks.Kind{Run: func(context.Context, *tasks.Task) ([]byte, error) { ran++; return nil, nil }})
			run := func() error {
				_, err := kind.Run(t.Context(), &tasks.Task{Key: tasks.Key{Tenant: tenant.ID}})
				return err
			}
			rests := func() int {
				// Of a queue that comes now the limit says whether the tenant rests.
				seq := uint64(0)
				require.NoError(t, n.halts.store.Add(t.Context(), n.halts.now.Now(), tenant.ID, tasks.Draft{
					Origin: tenant.ID, Queue: "none", Kind: "none", Priority: tasks.Normal, Attempts: 1, Most: 3, Seq: &seq, RunAt: n.halts.now.Now(),
				}))
				claimed, err := n.halts.store.Claim(t.Context(), tasks.Claim{Now: n.halts.now.Now(), Until: n.halts.now.Now(), Most: 9, Queues: []string{"none"}, Worker: "test"})
				require.NoError(t, err)
				return len(claimed)
			}
			halt := func(action string) {
				_, err := n.own.HaltTenant(t.Context(), tenant.ID, action, "", "")
				require.NoError(t, err)
			}
			require.NoError(t, run())
			halt(span.ActionSuspend)
			require.Zero(t, rests())
			require.NoError(t, n.halts.store.Rest(t.Context(), tenant.ID, false)) // as if the process had ended before it
			require.ErrorIs(t, run(), tasks.ErrResting)
			require.Zero(t, rests(), "it rests again")
			halt(span.ActionResume)
			require.NoError(t, run())
			require.Equal(t, 1, rests())
			halt(span.ActionClose)
			err = run()
			require.Equal(t, standing.CodeClosed, fault.CodeOf(err))
			require.True(t, tasks.IsFinal(err))
			require.Equal(t, 2, ran)
			require.NoError(t, n.stop())
		})
	}
}

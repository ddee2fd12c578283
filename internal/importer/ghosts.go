package importer

import (
	"context"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sync/errgroup"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// registering is how many ghosts are registered at once: each costs the node a
// durable write, and these share one.
const registering = 8

// maxName is how many code points a directory name may have.
const maxName = 128

// ghosts gives every actor of a source the one ghost identity that follows from
// the importer's secret, and makes it known at the node before its first use.
type ghosts struct {
	cfg    Config
	source string
	to     Appender

	mu    sync.Mutex              // guards the rest
	ids   *recent[string, string] // actor -> LogLine ID
	known int                     // how many were registered
}

func newGhosts(cfg Config, source string, to Appender) *ghosts {
	return &ghosts{cfg: cfg, source: source, to: to, ids: newRecent[string, string](maxActors)}
}

func (g *ghosts) len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.known
}

// id is the actor's ghost, "" for nobody. The actor went through ensure before.
func (g *ghosts) id(actor string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, _ := g.ids.get(actor)
	return known
}

// ensure registers the ghosts of all actors in items that it has not seen.
func (g *ghosts) ensure(ctx context.Context, items []Item) error {
	names := make(map[string]string)
	note := func(actor, name string) {
		if actor != "" && names[actor] == "" && g.id(actor) == "" {
			names[actor] = name
		}
	}
	for _, item := range items {
		note(item.Actor, item.ActorName)
		for _, p := range item.People {
			note(p.Actor, p.Name)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(registering)
	for actor, name := range names {
		group.Go(func() error {
			keys, err := id.GhostKeys(g.cfg.Keys.Secret(), g.cfg.Tenant, g.source, actor)
			if err != nil {
				return err
			}
			err = retry(ctx, g.cfg, func() error { return g.to.Register(ctx, keys, cleanName(name)) })
			if err != nil {
				f := *fault.From(err)
				f.Detail = "the identity of one of the source's people could not be registered: " + f.Detail
				return f.Because(err)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			g.ids.put(actor, keys.ID())
			g.known++
			return nil
		})
	}
	return group.Wait()
}

// cleanName makes a name that a directory takes of whatever the source wrote.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > maxName {
		s = strings.TrimSpace(string(r[:maxName]))
	}
	return s
}

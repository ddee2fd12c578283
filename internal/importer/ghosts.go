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
// durable write, and those that come together share one.
const registering = 32

// maxName is how many code points a directory name may have.
const maxName = 128

// ghosts gives every actor of a source the one ghost identity that follows from
// the importer's secret, and makes it known at the node before its first use.
type ghosts struct {
	cfg    Config
	source string
	to     Appender
	places chan struct{} // one held by each registration under way

	mu    sync.Mutex               // guards the rest
	ids   *recent[string, string]  // actor -> LogLine ID
	begun map[string]chan struct{} // actors whose registration is under way; closed when they are known
	known int                      // how many were registered
}

func newGhosts(cfg Config, source string, to Appender) *ghosts {
	return &ghosts{
		cfg: cfg, source: source, to: to, places: make(chan struct{}, registering),
		ids: newRecent[string, string](maxActors), begun: make(map[string]chan struct{}),
	}
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

// introduce begins to register the ghosts of all actors in items that it has not
// seen, in group, which it waits for places in. What it returns is closed, each,
// once a ghost is known; where one cannot be, group ends with the reason.
func (g *ghosts) introduce(ctx context.Context, group *errgroup.Group, items []Item) (wait []<-chan struct{}, err error) {
	names := make(map[string]string)
	note := func(actor, name string) {
		if actor != "" && names[actor] == "" {
			names[actor] = name
		}
	}
	for _, item := range items {
		note(item.Actor, item.ActorName)
		for _, p := range item.People {
			note(p.Actor, p.Name)
		}
	}
	for actor, name := range names {
		known, first := g.begin(actor)
		if known != nil {
			wait = append(wait, known)
		}
		if !first {
			continue
		}
		if err := send(ctx, g.places, struct{}{}); err != nil {
			return nil, err
		}
		group.Go(func() error {
			defer func() { <-g.places }()
			return g.register(ctx, actor, name, known)
		})
	}
	return wait, nil
}

// begin is what is closed when the actor is known, nil where that is so; first
// says that it is the caller's to register.
func (g *ghosts) begin(actor string) (known chan struct{}, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, done := g.ids.get(actor); done {
		return nil, false
	}
	if known, ok := g.begun[actor]; ok {
		return known, false
	}
	g.begun[actor] = make(chan struct{})
	return g.begun[actor], true
}

func (g *ghosts) register(ctx context.Context, actor, name string, known chan struct{}) error {
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
	delete(g.begun, actor)
	g.known++
	close(known)
	return nil
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

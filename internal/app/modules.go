package app

import (
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/lifecycle"
)

// Modules is what this build holds: names, needs and contributions, without
// anything to run. Their routes are those of the API's document.
//
// To take spans in is nobody's own: whoever appends needs id, timeline and
// rules, and with them authenticates, authorizes and decides. So httpapi runs
// without engine, which is what acts by itself.
func Modules() []lifecycle.Module {
	modules := []lifecycle.Module{
		{Name: "id", About: "identities, their keys, and who may sign what"},
		{
			Name: "timeline", About: "append-only timelines, their proofs and bundles", Needs: []string{"id"},
			Workers: []string{"one sequencer for each busy tenant", "a mirror of NDJSON files, where the setting mirror names a folder", "an index of words in the database, unless the setting search is off"},
		},
		{Name: "rules", About: "what is let through, and why: contracts, beyond what the roles permit"},
		{
			Name: "engine", About: "what the node does by itself", Needs: []string{"id", "timeline", "rules"},
			Workers: []string{"the node's key events into timelines that lack them", "a follower that makes tasks of what decisions ask for", "a worker that runs tasks, and what tells timelines of them"},
		},
		{Name: "onboarding", About: "how people and tenants come in: invitations, templates, onboarding", Needs: []string{"id", "timeline", "rules"}},
		{Name: "httpapi", About: "the HTTP server and API: the other modules' routes too", Needs: []string{"id", "timeline", "rules"}},
	}
	for i := range modules {
		modules[i].Routes = httpapi.RoutesOf(modules[i].Name)
	}
	return modules
}

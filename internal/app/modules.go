package app

import "github.com/danvoulez/logline/internal/lifecycle"

// Modules is what this build holds: names, needs and contributions, without
// anything to run.
func Modules() []lifecycle.Module {
	return []lifecycle.Module{
		{
			Name: "id", About: "identities, their keys, and who may sign what",
			Routes: []string{"POST /v1/identities", "GET /v1/identities/{id}", "GET,POST /v1/identities/{id}/events", "GET /v1/node"},
		},
		{
			Name: "timeline", About: "append-only timelines, their proofs and bundles", Needs: []string{"id"},
			Routes: []string{"GET /v1/tenants", "GET /v1/tenants/{tenant}/…"},
		},
		{Name: "rules", About: "what is let through, and why: for now, whatever the roles permit"},
		{
			Name: "engine", About: "the one way in: decides and appends spans", Needs: []string{"id", "timeline", "rules"},
			Routes:  []string{"POST /v1/tenants/{tenant}/spans"},
			Workers: []string{"one sequencer for each busy tenant"},
		},
		{
			Name: "onboarding", About: "the first tenant, and those after it", Needs: []string{"id", "timeline", "engine"},
			Routes: []string{"POST /v1/tenants"},
		},
		{
			Name: "httpapi", About: "the HTTP server and API", Needs: []string{"id", "timeline", "engine"},
			Routes: []string{"GET /livez", "GET /readyz", "GET /metrics", "GET /v1/version"},
		},
	}
}

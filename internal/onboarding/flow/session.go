package flow

import (
	"encoding/json"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
)

// The steps, by the names that routes have.
const (
	StepIdentity    = "identity"
	StepTenant      = "tenant"
	StepRecovery    = "recovery"
	StepTemplate    = "template"
	StepInvitations = "invitations"
	StepFirstSpan   = "first_span"
	StepProof       = "proof"
)

// Steps are all of them, in the order in which they are shown.
func Steps() []string {
	return []string{StepIdentity, StepTenant, StepRecovery, StepTemplate, StepInvitations, StepFirstSpan, StepProof}
}

// How a step stands.
const (
	Open    = "open"
	Done    = "done"
	Skipped = "skipped"
)

// The roads by which people come. All of them end in the same state.
const (
	RoadTerminal = "terminal"
	RoadPage     = "page"
	RoadAPI      = "api"
)

// Session is an onboarding session as its holder sees it.
type Session struct {
	ID       string
	Road     string
	Expires  time.Time
	Identity string // LogLine ID, "" until the step identity is done
	Tenant   string // id, "" until there is one
	Complete bool   // no step is open
	Steps    []Step // all, in order
}

// Step is one step and what came of it.
type Step struct {
	Name   string `json:"-"`
	Status string `json:"status"`

	Identity string           `json:"identity,omitempty"` // LogLine ID
	Held     bool             `json:"held,omitempty"`     // this node holds its keys
	Tenant   *timeline.Tenant `json:"-"`                  // of the step tenant, as it is now
	Joined   bool             `json:"joined,omitempty"`   // by an invitation
	Role     string           `json:"role,omitempty"`     // that it gave
	Method   string           `json:"method,omitempty"`   // of recovery
	Template string           `json:"template,omitempty"`
	Version  string           `json:"version,omitempty"`
	Drafts   []Draft          `json:"drafts,omitempty"` // spans that complete the step
	Missing  []string         `json:"-"`                // ids of the drafts that are not on the timeline
	Span     string           `json:"span,omitempty"`   // id
	Seq      uint64           `json:"seq,omitempty"`
	Leaf     string           `json:"leaf,omitempty"` // b64u
	Root     string           `json:"root,omitempty"` // b64u
	Size     uint64           `json:"size,omitempty"`

	// Said is what was asked for, under the session's token: it tells a repeat from
	// another request, and nothing to who has the row alone.
	Said string `json:"said,omitempty"`
	// Bound: something was made by it, so that no other request can take its place.
	Bound bool `json:"bound,omitempty"`
	// Claim is what it is being done with, nil for nothing.
	Claim *claim `json:"claim,omitempty"`
}

func (s *Step) over() bool { return s.Status == Done || s.Status == Skipped }

// Draft is a span that is still to be signed. Its id is chosen once, so that to sign
// it again is harmless.
type Draft struct {
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Visibility string          `json:"visibility"`
	Title      string          `json:"title,omitempty"`
	Subject    string          `json:"subject,omitempty"`
	Tags       []string        `json:"tags,omitempty"`
	Payload    json.RawMessage `json:"payload"`
}

// memory is what a row remembers as JSON.
type memory struct {
	Identity string           `json:"identity,omitempty"`
	Key      string           `json:"key,omitempty"` // public key that proved the identity; "" for a login
	Held     bool             `json:"held,omitempty"`
	Tenant   string           `json:"tenant,omitempty"` // id
	Steps    map[string]*Step `json:"steps,omitempty"`
}

// step is one that may be changed.
func (m *memory) step(name string) *Step {
	if m.Steps == nil {
		m.Steps = map[string]*Step{}
	}
	if m.Steps[name] == nil {
		m.Steps[name] = &Step{Status: Open}
	}
	m.Steps[name].Name = name
	return m.Steps[name]
}

func (m *memory) complete() bool {
	for _, name := range Steps() {
		if !m.step(name).over() {
			return false
		}
	}
	return true
}

// row is a session as it is stored.
type row struct {
	id, road string
	token    []byte // hash
	begun    time.Time
	expires  time.Time
	memory   memory
}

func (r *row) session() Session {
	s := Session{ID: r.id, Road: r.road, Expires: r.expires, Identity: r.memory.Identity, Tenant: r.memory.Tenant, Complete: r.memory.complete()}
	for _, name := range Steps() {
		s.Steps = append(s.Steps, *r.memory.step(name))
	}
	return s
}

var (
	// errToken is one value for all that does not open a session.
	errToken = fault.New(fault.Unauthenticated, "onboarding_token_invalid",
		"this is not the token of an onboarding session that is open here; sessions last seven days. Begin another one: what was done stays done, and is found again")
	errRoad  = fault.New(fault.Invalid, "onboarding_road_unknown", "a road is terminal, page or api").At("/road", "is none of them")
	errFull  = fault.New(fault.Unavailable, "onboarding_full", "as many people are being brought in at this node as it keeps in mind; try again later")
	errMany  = fault.New(fault.Limited, "onboarding_too_many", "as many onboarding sessions are open from your address as one may have; finish one of them, or try again later")
	errLogin = fault.New(fault.Forbidden, "onboarding_login_required",
		"this node holds the keys of this identity and signs for who is logged in as it; send the login's cookie with this request")
)

// errRecorded says of a step that is over what is recorded.
func errRecorded(s *Step) error {
	what := map[string]string{
		StepIdentity: "with the identity " + s.Identity, StepTenant: "with a tenant; GET the session to see it", StepRecovery: "with the method " + s.Method,
		StepTemplate: "with the template " + s.Template, StepInvitations: "already", StepFirstSpan: "with the span " + s.Span, StepProof: "already",
	}[s.Name]
	if s.Status == Skipped {
		what = "by leaving it out"
	}
	return fault.Newf(fault.Conflict, "onboarding_step_recorded",
		"the step %s is done, %s; a session does each step once, and answers the same request the same. Begin another session to do it otherwise", s.Name, what)
}

func errEarly(step, first string) error {
	return fault.Newf(fault.Conflict, "onboarding_step_early", "the step %s comes after the step %s, which is open", step, first)
}

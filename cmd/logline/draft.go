package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// States of a step.
const (
	stepToSign   = "to sign"
	stepAlready  = "there already"
	stepRecorded = "recorded"
	stepWaits    = "waits for votes"
)

// step is a draft on its way into a tenant.
type step struct {
	draft  template.Draft
	causes []string
	id     string // of the span: the same each time the command is run
	state  string
	seq    uint64
}

// steps take drafts into a tenant one after the other. Run again, they record
// nothing twice: a span that is there is found, or has the same id.
type steps struct {
	s      *session
	tenant *client.Tenant
	list   []*step
}

// newSteps are steps in the session's tenant, none as yet.
func newSteps(ctx context.Context, s *session) (*steps, error) {
	tenant, err := s.client.Tenant(ctx, s.profile.Tenant)
	if err != nil {
		return nil, err
	}
	return &steps{s: s, tenant: tenant}, nil
}

// add adds a draft. what says which one it is, of all that the identity ever does
// in this tenant.
func (a *steps) add(d template.Draft, what ...string) *step {
	made, _ := time.Parse(time.RFC3339, a.tenant.CreatedAt) // any time will do, as long as it is the same
	next := &step{draft: d, state: stepToSign,
		id: importer.SpanID("logline "+a.tenant.Id+" "+a.s.keys.ID(), strings.Join(what, "\n"), made)}
	a.list = append(a.list, next)
	return next
}

// find looks on the timeline for an executed span of a type and subject whose
// payload matches, the newest first; nil where there is none.
func (s *session) find(ctx context.Context, typ, subject string, matches func(payload json.RawMessage) bool) (*entryView, error) {
	filter := client.Filter{Types: []string{typ}, Subject: subject, Status: span.StatusExecuted, Descending: true}
	for raw, err := range s.client.All(ctx, s.profile.Tenant, filter) {
		if err != nil {
			return nil, err
		}
		entry, err := parseEntry(raw)
		if err != nil {
			return nil, err
		}
		if matches(entry.Span.Payload) {
			return &entry, nil
		}
	}
	return nil, nil
}

// found notes that a step's span is on the timeline, as e, which may be nil.
func (a *step) found(e *entryView) {
	if e != nil {
		a.id, a.seq, a.state = e.Span.ID, e.Seq, stepAlready
	}
}

// sign signs and appends what is still to sign, in order, and stops at the first
// that is refused, and at a contract that waits for votes: what comes after it is
// decided by it.
func (a *steps) sign(cmd *cobra.Command) error {
	for _, one := range a.list {
		if one.state != stepToSign {
			continue
		}
		if err := a.signOne(cmd, one); err != nil {
			return err
		}
		if one.draft.Type != span.TypeContract || one.state == stepRecorded {
			continue
		}
		if err := a.inForce(cmd.Context(), one); err != nil {
			return err
		}
	}
	return nil
}

// inForce makes sure that a contract whose activation was not simply recorded is in
// force by now.
func (a *steps) inForce(ctx context.Context, one *step) error {
	p, err := span.ParseContract(one.draft.Payload)
	if err != nil {
		return err
	}
	now, err := a.s.versionNow(ctx, p.Name, modeEnforce)
	if err != nil || now != nil && now.Hash == p.Hash {
		return err
	}
	one.state = stepWaits
	return fault.Newf(fault.Conflict, "contract_waits", "%s %s waits for votes, which a contract in force asks for (logline why %s); run this again once it has them",
		p.Name, p.Version, one.id)
}

func (a *steps) signOne(cmd *cobra.Command, one *step) error {
	f := appendFlags{spanID: one.id, typ: one.draft.Type, title: one.draft.Title, subject: one.draft.Subject,
		tags: one.draft.Tags, causes: one.causes, visibility: one.draft.Visibility, key: a.s.signWith}
	sealed, err := f.seal(cmd, a.s, one.draft.Payload)
	if err != nil {
		return err
	}
	answer, err := a.s.client.Append(cmd.Context(), sealed.Tenant, sealed.Canonical())
	if client.CodeOf(err) == codeIDConflict {
		answer, err = a.s.earlier(cmd.Context(), sealed, err)
	}
	if err != nil {
		return err
	}
	logKey, err := a.s.logKey(cmd.Context())
	if err != nil {
		return err
	}
	checked, err := checkReceipt(*answer.Receipt, sealed.ID, sealed.Header.Hash(), logKey)
	if err != nil {
		return err
	}
	one.seq, one.state = checked.entry.Seq, stepRecorded
	switch {
	case answer.Status == http.StatusAccepted:
		one.state = stepWaits
	case answer.Repeat():
		one.state = stepAlready
	}
	return nil
}

// print shows the steps and what became of them.
func (a *steps) print() error {
	table := ui.NewTable("SPAN", "TYPE", "SUBJECT", "TITLE", ">ENTRY", "STATE")
	for _, one := range a.list {
		id, entry := one.id, seqOf(one.seq)
		if one.state == stepToSign {
			id, entry = "-", "-"
		}
		table.Row(id, one.draft.Type, one.draft.Subject, one.draft.Title, entry, one.state)
	}
	return writeTable(a.s.env, table)
}

type stepFacts struct {
	template.Draft
	Span  string  `json:"span"`
	State string  `json:"state"`
	Entry *uint64 `json:"entry,omitempty"`
}

func (a *step) facts() stepFacts {
	out := stepFacts{Draft: a.draft, Span: a.id, State: a.state}
	if a.state != stepToSign {
		out.Entry = &a.seq
	}
	return out
}

func (a *steps) facts() []stepFacts {
	out := make([]stepFacts, len(a.list))
	for i, one := range a.list {
		out[i] = one.facts()
	}
	return out
}

// of is the step of a type, the first of them; nil where there is none.
func (a *steps) of(typ string) *step {
	for _, one := range a.list {
		if one.draft.Type == typ {
			return one
		}
	}
	return nil
}

package trial

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Began is when every trial begins: a Thursday.
var began = time.Date(2026, time.January, 1, 9, 0, 0, 0, time.UTC)

// Options are what a trial may be told.
type Options struct {
	// Cron is the first time after another that a cron line names in a time
	// zone. Without it schedules with a cron line do not run.
	Cron func(line, zone string, after time.Time) (time.Time, error)
	// Began is when the clock begins; zero is nine o'clock on 2026-01-01.
	Began time.Time
	// Tenant is the slug of the tenant; "" is that of the first contract that
	// names one, else test.
	Tenant string
}

// Stage is a timeline in memory with contracts in force. It is not safe for
// concurrent use.
type Stage struct {
	options Options
	set     *contract.Set
	cast    *cast
	rows    rules.Memory
	now     time.Time
	seq     uint64
	rand    *rand.ChaCha8
	spans   map[string]*span.Span
	decided map[string]span.Decision
	last    string   // the span that was submitted last and stands
	pending []string // ids, in the order in which they came
	tenant  expr.Tenant
}

// NewStage has contracts in force on an empty timeline.
func NewStage(contracts []*contract.Contract, o Options) (*Stage, error) {
	s := &Stage{options: o, now: o.Began, rand: rand.NewChaCha8([32]byte{1}), spans: map[string]*span.Span{}, decided: map[string]span.Decision{}}
	if s.now.IsZero() {
		s.now = began
	}
	s.now = s.now.UTC().Truncate(time.Millisecond)
	inForce := make([]contract.InForce, len(contracts))
	slug := o.Tenant
	for i, c := range contracts {
		inForce[i].Contract = c
		if slug == "" && c.Tenant != contract.NodeWide {
			slug = c.Tenant
		}
	}
	if slug == "" {
		slug = "test"
	}
	s.tenant, s.set = tenant(slug), contract.NewSet(inForce)
	var err error
	if s.cast, err = newCast(s.rand, func() time.Time { return s.now }); err != nil {
		return nil, err
	}
	return s, s.plan(contracts)
}

// plan lets the schedules of contracts run from now on.
func (s *Stage) plan(contracts []*contract.Contract) error {
	if !slices.ContainsFunc(contracts, func(c *contract.Contract) bool { return slices.ContainsFunc(c.Schedules, (*contract.Schedule).Clocked) }) {
		return nil
	}
	return s.given(context.Background(), rules.Supposition{InForce: contracts})
}

// Now is what the clock says.
func (s *Stage) Now() time.Time { return s.now }

func (s *Stage) world() *rules.World {
	return &rules.World{
		Standing: s.cast, State: &s.rows, Contracts: s.set, Tenant: s.tenant,
		Directory: s.cast.directory, NextCron: s.options.Cron, Explain: true, Past: s.past,
	}
}

// past is a span that is recorded here.
func (s *Stage) past(_ context.Context, spanID string) (*rules.Past, error) {
	sp := s.spans[spanID]
	if sp == nil {
		return nil, nil
	}
	return &rules.Past{Span: *sp, Decision: s.decided[spanID]}, nil
}

func (s *Stage) at() standing.Position {
	return standing.Position{Seq: s.seq, RecordedAt: span.FormatTime(s.now)}
}

// Draft is a span before anybody signs it.
type Draft struct {
	By, Type                   string // By "" is a member
	Title, Subject, OnBehalfOf string
	Tags                       []string
	Visibility                 string // "" is organization
	OccurredAt                 string
	Data                       expr.Value
}

// somebody is the symbolic name of the standard author.
const somebody = "member"

// span makes a span of a draft. It is not signed: nothing here looks.
func (s *Stage) span(author *player, d Draft) (*span.Span, error) {
	if !span.ValidType(d.Type) {
		return nil, fault.Newf(fault.Invalid, "type_invalid", "%q cannot be the type of a span", d.Type)
	}
	data := d.Data
	if data.Type() != expr.Map {
		data = expr.MapValue(nil)
	}
	payload, err := span.Canonicalize(data.AppendJSON(nil))
	if err != nil {
		return nil, err
	}
	spanID, err := span.RandomID(s.now, s.rand)
	if err != nil {
		return nil, err
	}
	sp := &span.Span{Payload: payload}
	sp.Header = span.Header{
		ID: spanID, Tenant: tenantID, Author: author.keys.ID(), Type: d.Type, Title: d.Title, Subject: d.Subject, Tags: d.Tags,
		Time: span.FormatTime(s.now), OccurredAt: d.OccurredAt, OnBehalfOf: d.OnBehalfOf, Status: span.StatusExecuted, Visibility: d.Visibility,
	}
	if sp.Visibility == "" {
		sp.Visibility = span.VisibilityOrganization
	}
	return sp, nil
}

// draft makes a span by whoever the draft names.
func (s *Stage) draft(d Draft) (*span.Span, error) {
	if d.By == "" {
		d.By = somebody
	}
	author, err := s.cast.named(d.By)
	if err != nil {
		return nil, err
	}
	if d.OnBehalfOf != "" {
		d.OnBehalfOf = s.cast.real(span.IdentityScheme + symbol(d.OnBehalfOf))
	}
	return s.span(author, d)
}

// record appends an entry and folds it.
func (s *Stage) record(ctx context.Context, sp *span.Span, o *rules.Outcome) error {
	decision, _ := o.Seal([16]byte{})
	e := &span.Entry{Seq: s.seq, RecordedAt: span.FormatTime(s.now), Span: sp.Header, Decision: decision}
	changes, err := rules.Fold(ctx, &s.rows, e, sp.Payload)
	if err != nil {
		return err
	}
	s.rows.Apply(changes)
	s.spans[sp.ID], s.decided[sp.ID] = sp, decision
	s.seq++
	return nil
}

// suppose records an entry that makes a supposition true.
func (s *Stage) suppose(ctx context.Context, sp *span.Span, g rules.Supposition) error {
	o, err := rules.Suppose(ctx, s.world(), sp, g, s.at())
	if err != nil {
		return err
	}
	return s.record(ctx, sp, o)
}

// given is a span of the node's that carries suppositions.
func (s *Stage) given(ctx context.Context, g rules.Supposition) error {
	sp, err := s.span(s.cast.node, Draft{Type: "test.given"})
	if err != nil {
		return err
	}
	return s.suppose(ctx, sp, g)
}

// Introduce says who somebody is.
func (s *Stage) Introduce(ctx context.Context, name string, p Person) error {
	subject := p.Subject
	if subject == "" {
		subject = id.SubjectPerson
	}
	if p.Status == rules.StatusGhost {
		subject = id.SubjectGhost
	}
	player, err := s.cast.introduce(name, subject, p)
	if err != nil {
		return err
	}
	var g rules.Supposition
	if p.Trust != 0 {
		g.Trust = map[string]float64{player.keys.ID(): p.Trust}
	}
	if w := s.set.Workflow("identity"); p.Status != "" && w != nil && w.State(p.Status) != nil {
		g.States = []rules.SupposedState{{Workflow: w.ID(), Key: player.keys.ID(), State: p.Status}}
	} else if err := s.status(player, p.Status); err != nil {
		return err
	}
	return s.given(ctx, g)
}

// status gives a player a status that identities have without any contract.
func (s *Stage) status(p *player, status string) error {
	switch status {
	case "", rules.StatusGhost, rules.StatusValidated:
	case id.StatusRevoked:
		if _, err := p.keys.Revoke("trial", s.now); err != nil {
			return err
		}
		p.chain = p.keys.Chain()
	default:
		return fault.Newf(fault.Invalid, "status_unknown",
			"no identity is %s: write ghost, validated or revoked, or a state of a workflow named identity", status)
	}
	return nil
}

// Put puts an instance of a workflow into a state.
func (s *Stage) Put(ctx context.Context, workflow, key, state string) error {
	return s.given(ctx, rules.Supposition{States: []rules.SupposedState{{Workflow: workflow, Key: s.cast.real(key), State: state}}})
}

// Record has a span on the record as it is: nothing is decided, it moves no
// workflow, and expressions count it.
func (s *Stage) Record(ctx context.Context, d Draft) error {
	sp, err := s.draft(d)
	if err != nil {
		return err
	}
	return s.suppose(ctx, sp, rules.Supposition{Counted: true})
}

// Submitted is a span that was decided, and what came of it since.
type Submitted struct {
	Span     *span.Span
	Outcomes []*rules.Outcome // its own, then the node's that followed
	Verdict  rules.Verdict
	Reasons  []string

	timed []bool // of each outcome, whether time brought it
}

func (r *Submitted) add(o *rules.Outcome) { r.note(o, false) }

func (r *Submitted) note(o *rules.Outcome, timed bool) {
	r.Outcomes, r.timed = append(r.Outcomes, o), append(r.timed, timed)
	if o.Detail != nil {
		r.Reasons = append(r.Reasons, o.Detail.Reasons...)
	}
	if o.Refusal != nil && !slices.Contains(r.Reasons, o.Refusal.Reason) {
		r.Reasons = append(r.Reasons, o.Refusal.Reason)
	}
}

// Submit has a span decided, and recorded where it is allowed or waits.
func (s *Stage) Submit(ctx context.Context, d Draft) (*Submitted, error) {
	sp, err := s.draft(d)
	if err != nil {
		return nil, err
	}
	o, err := rules.Decide(ctx, s.world(), sp, s.at())
	if err != nil {
		return nil, err
	}
	r := &Submitted{Span: sp, Verdict: o.Verdict}
	r.add(o)
	if o.Verdict > rules.Pending {
		return r, nil
	}
	if o.Verdict == rules.Pending {
		s.pending = append(s.pending, sp.ID)
	}
	s.last = sp.ID
	return r, s.record(ctx, sp, o)
}

// Revert has the span undone that was submitted last and stands. What the protocol
// refuses is told as a rejection.
func (s *Stage) Revert(ctx context.Context, name string) (*Submitted, error) {
	author, err := s.cast.named(name)
	if err != nil {
		return nil, err
	}
	sp, err := s.span(author, Draft{Type: span.TypeRevert})
	if err != nil {
		return nil, err
	}
	r := &Submitted{Span: sp}
	past := s.spans[s.last]
	switch {
	case past == nil:
		r.Verdict, r.Reasons = rules.Reject, []string{"no span stands that could be reverted"}
		return r, nil
	case slices.Contains(s.pending, s.last):
		r.Verdict, r.Reasons = rules.Reject, []string{"only an executed span can be reverted; this one is pending"}
		return r, nil
	}
	if sp.Payload, err = span.Canonical(span.Revert{Span: past.ID, HeaderHash: past.Header.Hash().String(), Reason: "trial"}); err != nil {
		return nil, err
	}
	o, err := rules.Decide(ctx, s.world(), sp, s.at())
	if err != nil {
		return r, refused(err, r)
	}
	r.Verdict = o.Verdict
	r.add(o)
	if o.Verdict > rules.Pending {
		return r, nil
	}
	if o.Verdict == rules.Pending {
		s.pending = append(s.pending, sp.ID)
	} else {
		s.last = ""
	}
	return r, s.record(ctx, sp, o)
}

// Approve votes for the span that waits last. A vote that is refused is told as
// a rejection.
func (s *Stage) Approve(ctx context.Context, name string, r *Submitted) error {
	voter, err := s.cast.named(name)
	if err != nil {
		return err
	}
	if len(s.pending) == 0 {
		r.Verdict = rules.Reject
		r.Reasons = append(r.Reasons, "no span waits for votes")
		return nil
	}
	asked := s.spans[s.pending[len(s.pending)-1]]
	payload, err := span.Canonical(span.Approval{Span: asked.ID, HeaderHash: asked.Header.Hash().String(), Vote: span.VoteApprove})
	if err != nil {
		return err
	}
	sp, err := s.span(voter, Draft{Type: span.TypeApproval})
	if err != nil {
		return err
	}
	sp.Payload = payload
	o, err := rules.Decide(ctx, s.world(), sp, s.at())
	if err != nil {
		return refused(err, r)
	}
	r.add(o)
	if o.Verdict > rules.Pending {
		r.Verdict = o.Verdict
		return nil
	}
	if err := s.record(ctx, sp, o); err != nil {
		return err
	}
	for _, settled := range o.Settle {
		if err := s.resolve(ctx, settled.Span, r); err != nil {
			return err
		}
	}
	return nil
}

// refused tells an error of the protocol as a rejection; what is no fault of
// the voter's is handed on.
func refused(err error, r *Submitted) error {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Forbidden, fault.Conflict:
		r.Verdict = rules.Reject
		r.Reasons = append(r.Reasons, fault.From(err).Detail)
		return nil
	}
	return err
}

// resolve settles a span that waits.
func (s *Stage) resolve(ctx context.Context, spanID string, r *Submitted) error {
	settled, err := rules.Resolve(ctx, s.world(), s.spans[spanID], s.at())
	if err != nil {
		return err
	}
	payload, err := span.Canonical(settled.Payload)
	if err != nil {
		return err
	}
	sp, err := s.span(s.cast.node, Draft{Type: span.TypeResolution})
	if err != nil {
		return err
	}
	sp.Payload = payload
	s.pending = slices.DeleteFunc(s.pending, func(id string) bool { return id == spanID })
	r.add(settled.Outcome)
	if r.Span == nil || r.Span.ID == spanID {
		r.Verdict = settled.Outcome.Verdict
	}
	return s.record(ctx, sp, settled.Outcome)
}

// maxRuns bounds what the clock brings in one Advance.
const maxRuns = 10_000

// Advance lets time pass. What is due meanwhile is done at its time.
func (s *Stage) Advance(ctx context.Context, d time.Duration, r *Submitted) error {
	until := s.now.Add(d)
	for range maxRuns {
		due, err := rules.Due(ctx, &s.rows, until, 1)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			s.now = until
			return nil
		}
		s.reach(due[0].Due)
		if err := s.answer(ctx, due[0], r); err != nil {
			return err
		}
	}
	return fault.Newf(fault.Invalid, "advance_too_far", "more than %d things happen meanwhile; advance by less", maxRuns)
}

// reach puts the clock on; it never goes back.
func (s *Stage) reach(t time.Time) {
	if t.After(s.now) {
		s.now = t
	}
}

func (s *Stage) answer(ctx context.Context, t rules.Timer, r *Submitted) error {
	if t.Kind == rules.TimerApproval {
		return s.resolve(ctx, t.Span, r)
	}
	o, err := rules.Fire(ctx, s.world(), t, s.spans[t.Span], s.at())
	if err != nil {
		return err
	}
	return s.ran(ctx, o, r)
}

// ran records an entry of the node's.
func (s *Stage) ran(ctx context.Context, o *rules.Outcome, r *Submitted) error {
	sp, err := s.span(s.cast.node, Draft{Type: "test.run"})
	if err != nil {
		return err
	}
	r.note(o, true)
	return s.record(ctx, sp, o)
}

// StateOf is the state of the instance that a span concerns, "" where there is
// none.
func (s *Stage) StateOf(ctx context.Context, w *contract.Workflow, sp *span.Span) (string, error) {
	key, err := rules.KeyOf(ctx, s.world(), w, sp, s.at())
	if err != nil {
		return "", err
	}
	return rules.StateOf(ctx, s.world(), w.ID(), key)
}

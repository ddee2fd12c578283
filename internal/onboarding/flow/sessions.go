package flow

import (
	"context"
	"crypto/rand"
	"database/sql"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// Bounds, where Config names no others.
const (
	Life       = 7 * 24 * time.Hour
	MaxOpen    = 10_000
	PerAddress = 200

	idle = time.Hour // after which a session that did nothing may make room
)

// Directory registers identities. *id.Directory implements it.
type Directory interface {
	Register(ctx context.Context, events [][]byte, handle, name string) (id.Info, bool, error)
	Chain(ctx context.Context, identity string) (*id.Chain, error)
}

// Custody signs for identities whose keys this node holds; not_found not_in_custody
// for any other. *id.Custody implements it.
type Custody interface {
	Maker(ctx context.Context, identity string) (string, error)
	Held(ctx context.Context, identity string) (id.Held, error)
}

// Founder makes tenants. *onboarding.Service implements it: the first one for the
// bootstrap token, later ones without a token where the node lets them be made.
type Founder interface {
	CreateTenant(ctx context.Context, token, slug, name, owner string, publicReading bool) (timeline.Tenant, error)
}

// Log is looked at for what stands. *timeline.Log implements it.
type Log interface {
	Tenant(ctx context.Context, idOrSlug string) (timeline.Tenant, error)
	Get(ctx context.Context, tenant, spanID string) (timeline.Record, error)
	Inclusion(ctx context.Context, tenant string, index, size uint64) (leaf span.Hash, proof []span.Hash, err error)
}

// Acts are what the node's admin timeline tells of: AddIn notes one in the
// transaction in which it is done. *admin.Book implements it.
type Acts interface {
	AddIn(ctx context.Context, tx *sql.Tx, a admin.Act) error
}

// Deps is what sessions work with.
type Deps struct {
	DB        *storage.DB // migrated
	Directory Directory
	Custody   Custody
	Founder   Founder
	Log       Log
	Acts      Acts
	// Append records a span that the node signed for somebody.
	Append func(ctx context.Context, tenant string, raw []byte) error
	// Tell has the admin timeline tell of what was noted; nil: it looks by itself.
	Tell func(ctx context.Context) error
}

// Config of Sessions.
type Config struct {
	Secret     []byte // of the node's, under which addresses are counted
	Max        int    // sessions that are not finished; default MaxOpen
	PerAddress int    // of them of one address; default PerAddress. This machine's have no bound but Max
	Now        func() time.Time
	Rand       io.Reader
	Logger     *slog.Logger // nil: silent
}

// Sessions are all of a node. Its methods are safe for concurrent use, by any number
// of processes.
type Sessions struct {
	Deps
	db  database
	cfg Config
}

// database is what sessions are kept in.
type database interface {
	InTx(ctx context.Context, fn func(*sql.Tx) error) error
	read(ctx context.Context, id string, now time.Time) (*row, error)
}

// kept is the database itself.
type kept struct{ *storage.DB }

func (k kept) read(ctx context.Context, id string, now time.Time) (*row, error) {
	return load(ctx, k.Read, id, now)
}

// New makes Sessions; it starts nothing.
func New(deps Deps, cfg Config) *Sessions {
	if cfg.Max <= 0 {
		cfg.Max = MaxOpen
	}
	if cfg.PerAddress <= 0 {
		cfg.PerAddress = PerAddress
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sessions{Deps: deps, db: kept{deps.DB}, cfg: cfg}
}

// Begin opens a session for somebody at an address, and gives the token that is
// shown once. unavailable onboarding_full, limited onboarding_too_many.
func (s *Sessions) Begin(ctx context.Context, road string, from netip.Addr) (Session, string, error) {
	if !slices.Contains([]string{RoadTerminal, RoadPage, RoadAPI}, road) {
		return Session{}, "", errRoad
	}
	now := s.cfg.Now().UTC().Truncate(time.Millisecond)
	token, err := newToken(s.cfg.Rand)
	if err != nil {
		return Session{}, "", err
	}
	name, err := span.RandomID(now, s.cfg.Rand)
	if err != nil {
		return Session{}, "", err
	}
	r := &row{id: name, road: road, token: hashOf(token), begun: now, expires: now.Add(Life)}
	place := origin(s.cfg.Secret, from)
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := prune(ctx, tx, now); err != nil {
			return err
		}
		if err := makeRoom(ctx, tx, place, s.cfg, now); err != nil {
			return err
		}
		return insert(ctx, tx, r, place)
	})
	if err != nil {
		return Session{}, "", err
	}
	return r.session(), token, nil
}

// Prune removes what has expired.
func (s *Sessions) Prune(ctx context.Context) error {
	return s.db.InTx(ctx, func(tx *sql.Tx) error { return prune(ctx, tx, s.cfg.Now()) })
}

// open is the session that a token opens; one value of error for all that it does not.
func (s *Sessions) open(ctx context.Context, id, token string) (*row, error) {
	r, err := s.db.read(ctx, id, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	if !opens(token, r) {
		return nil, errToken
	}
	return r, nil
}

// Get is a session for who holds its token; unauthenticated
// onboarding_token_invalid.
func (s *Sessions) Get(ctx context.Context, id, token string) (Session, error) {
	r, err := s.open(ctx, id, token)
	if err != nil {
		return Session{}, err
	}
	out := r.session()
	for i := range out.Steps {
		if err := s.look(ctx, &r.memory, &out.Steps[i]); err != nil {
			return Session{}, err
		}
	}
	return out, nil
}

// look adds to a step what timelines say of it now.
func (s *Sessions) look(ctx context.Context, m *memory, step *Step) error {
	if m.Tenant == "" {
		return nil
	}
	if step.Name == StepTenant {
		t, err := s.Log.Tenant(ctx, m.Tenant)
		if err != nil {
			return err
		}
		step.Tenant = &t
	}
	step.Missing = nil
	if step.over() {
		return nil
	}
	missing, err := s.missing(ctx, m, step)
	for _, d := range missing {
		step.Missing = append(step.Missing, d.ID)
	}
	return err
}

// Input is what somebody asks of a step: its JSON is what tells it from another
// request, without what admits or proves, which is different each time.
type Input interface {
	step() string
	// check refuses what is of no form that the step takes.
	check() error
	// skips says whether it asks for the step to be left out.
	skips() bool
	// ready says which step comes first, "" where none does.
	ready(m *memory) (first string)
	// do brings about what is asked for, and records it.
	do(ctx context.Context, t *turn) error
}

// Do does a step, once: the same asked again is answered the same, anything else
// with conflict onboarding_step_recorded. Errors of the effect come as they are, and
// leave the step open.
func (s *Sessions) Do(ctx context.Context, id, token string, in Input) (Step, error) {
	r, err := s.open(ctx, id, token)
	if err != nil {
		return Step{}, err
	}
	if err := in.check(); err != nil {
		return Step{}, err
	}
	t := &turn{s: s, row: r, token: token, name: in.step()}
	if t.said, err = said(token, in); err != nil {
		return Step{}, err
	}
	if err := t.begin(ctx, in); err != nil {
		return Step{}, err
	}
	step := *t.row.memory.step(t.name)
	return step, s.look(ctx, &t.row.memory, &step)
}

// turn is one request for a step.
type turn struct {
	s     *Sessions
	row   *row // as last read
	token string
	name  string
	said  string
}

func (t *turn) memory() *memory { return &t.row.memory }
func (t *turn) step() *Step     { return t.row.memory.step(t.name) }

func (t *turn) begin(ctx context.Context, in Input) error {
	step := t.step()
	switch {
	case step.over() && (step.Said == t.said || step.Said == "" && in.skips()):
		return nil // the latter: it was left out already, as nothing is to do in a tenant that is joined
	case step.over(), step.Bound && step.Said != t.said:
		return errRecorded(step)
	}
	if first := in.ready(t.memory()); first != "" {
		return errEarly(t.name, first)
	}
	if t.name != StepIdentity {
		if err := t.s.current(ctx, t.memory()); err != nil {
			return err
		}
	}
	return in.do(ctx, t)
}

// current refuses to go on where what proved the identity holds no more: it has
// ended, or the key was rotated away.
func (s *Sessions) current(ctx context.Context, m *memory) error {
	chain, err := s.Directory.Chain(ctx, m.Identity)
	if err != nil {
		return err
	}
	over := chain.Status() != id.StatusActive
	if m.Key != "" && !over {
		grant, ok := chain.Key(m.Key)
		over = !ok || !grant.Covers(id.TypeIdentity) || chain.MayAuthenticate(m.Key, s.cfg.Now()) != nil
	}
	if over {
		return fault.New(fault.Forbidden, "onboarding_identity_changed",
			"the identity has ended, or the key that began this session is its key no more; begin another session with the key that is")
	}
	return nil
}

// record notes what became of the step, in the session as it is by now: another
// process may have been faster. Where that makes it done or skipped, the act is noted
// in the same transaction, so that there is exactly one.
func (t *turn) record(ctx context.Context, status string, change func(m *memory, step *Step)) error {
	noted := false
	err := t.s.db.InTx(ctx, func(tx *sql.Tx) error {
		r, err := load(ctx, tx, t.row.id, t.s.cfg.Now())
		if err != nil {
			return err
		}
		t.row, noted = r, false
		step := t.step()
		if step.over() || step.Bound && step.Said != t.said {
			if step.Said != t.said {
				return errRecorded(step)
			}
			return nil
		}
		if step.Claim != nil && step.Claim.Said != t.said { // this took longer than its claim lasts
			return errUnderWay(t.name)
		}
		step.Status, step.Said, step.Claim = status, t.said, nil
		change(t.memory(), step)
		if step.over() {
			if err := t.s.Acts.AddIn(ctx, tx, t.act()); err != nil {
				return err
			}
			noted = true
		}
		return update(ctx, tx, r)
	})
	if err == nil && noted && t.s.Tell != nil {
		// It is done, whether or not the caller still waits.
		if err := t.s.Tell(context.WithoutCancel(ctx)); err != nil {
			t.s.cfg.Logger.WarnContext(ctx, "a step of onboarding is noted and not in the admin timeline yet", slog.String("step", t.name), slog.Any("error", err))
		}
	}
	return err
}

// act is what the admin timeline tells of the step.
func (t *turn) act() admin.Act {
	facts := map[string]any{"session": t.row.id, "step": t.name, "road": t.row.road}
	if t.step().Status == Skipped {
		facts["skipped"] = true
	}
	if t.memory().Tenant != "" {
		facts["tenant"] = t.memory().Tenant
	}
	return admin.Act{Type: admin.OnboardingStep, Subject: t.memory().Tenant, By: t.memory().Identity, Facts: facts, At: t.s.cfg.Now()}
}

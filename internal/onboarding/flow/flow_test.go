package flow

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// journey brings a guest in, all steps, each asked for until it succeeds; it says in
// how many tries each was.
func (g *guest) journey(slug string, patience int) (tenant, spanID string) {
	var proof *Proof
	w := g.w
	w.t.Helper()
	until := func(in Input, status string) (step Step) {
		var err error
		for range patience {
			if step, err = g.do(in); err == nil {
				require.Equal(w.t, status, step.Status, step.Name)
				return step
			}
			require.Equal(w.t, fault.Unavailable, fault.KindOf(err), "%s: %v", in.step(), err)
		}
		require.NoError(w.t, err)
		return step
	}
	signed := Open // a person with keys signs; for others the node does, at once
	if g.keys == nil {
		signed = Done
	}
	until(g.who(), Done)
	found := &Tenant{Slug: slug, Name: "Guests", RetentionDays: 30, As: as(g.self)}
	step := until(found, signed)
	tenant = step.Tenant.ID
	if signed == Open {
		require.NoError(w.t, again(patience, func() error { return g.sign(step, tenant) }))
		until(found, Done)
	}
	until(&Recovery{Method: ByNothing}, Done)
	take := &Template{Template: "audit-trail", As: as(g.self)}
	step = until(take, signed)
	if signed == Open {
		require.NoError(w.t, again(patience, func() error { return g.sign(step, tenant) }))
		until(take, Done)
	}
	until(&Invitations{Skip: true}, Skipped)
	require.NoError(w.t, again(patience, func() (err error) {
		if spanID == "" {
			spanID, err = span.RandomID(w.clock(), rand.Reader)
			require.NoError(w.t, err)
		}
		return g.append(tenant, Draft{ID: spanID, Type: "note.written", Visibility: span.VisibilityOrganization, Payload: []byte(`{"text":"hello"}`)}, []byte("sixteen bytes..."))
	}))
	first := until(&FirstSpan{Span: spanID}, Done)
	require.NoError(w.t, again(patience, func() (err error) {
		proof, err = w.proof(tenant, first.Seq)
		return err
	}))
	until(proof, Done)
	return tenant, spanID
}

func again(patience int, do func() error) (err error) {
	for range patience {
		if err = do(); err == nil || fault.KindOf(err) != fault.Unavailable {
			return err
		}
	}
	return err
}

// complete holds that a guest is brought in: each step over and told of once.
func (g *guest) complete() {
	g.w.t.Helper()
	g.completeBy(g.w.acts())
}

// completeBy is complete by what the admin timeline tells.
func (g *guest) completeBy(told map[string]map[string]int) {
	w := g.w
	w.t.Helper()
	s, err := w.Get(w.t.Context(), g.session, g.token)
	require.NoError(w.t, err)
	require.True(w.t, s.Complete, "%+v", s)
	require.Equal(w.t, g.self, s.Identity)
	acts := told[g.session]
	for _, name := range Steps() {
		require.Equal(w.t, 1, acts[name], "the admin timeline tells of the step %s once: %v", name, acts)
	}
	require.Len(w.t, acts, len(Steps()))
}

func TestJourney(t *testing.T) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		for i, held := range []bool{false, true} {
			g := w.guest(held)
			tenant, _ := g.journey(slugOf(i), 1)
			g.complete()
			view, err := w.log.Standing(t.Context(), tenant)
			require.NoError(t, err)
			require.True(t, view.Can(g.self, standing.RightOwn), "the guest owns the tenant")
			s, err := w.Get(t.Context(), g.session, g.token)
			require.NoError(t, err)
			require.Len(t, s.Steps[1].Drafts, 1)
			c := span.Contract{}
			require.NoError(t, json.Unmarshal(s.Steps[1].Drafts[0].Payload, &c))
			compiled, err := rules.Compile(c.Source)
			require.NoError(t, err)
			require.Equal(t, compiled.Hash.String(), c.Hash)
			require.Equal(t, 30*24*time.Hour, compiled.Retains[0].For)
		}
	}, backend.SQLite, backend.Postgres)
}

// TestEveryCallFails brings somebody in again and again, with another call of a store
// failing each time, before its effect or after it, and asks again: all end alike,
// with one tenant, each span once and each act once.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		for _, held := range []bool{false, true} {
			for _, what := range []storetest.Fault{storetest.FailsBefore, storetest.FailsAfter} {
				hit := map[string]int{}
				var guests []*guest
				for n := 0; ; n++ {
					if testing.Short() && n%5 != 0 {
						continue
					}
					g := w.guest(held)
					w.faults.Arm(n, what)
					tenant, spanID := g.journey("g"+strings.ReplaceAll(g.session, "-", ""), 2)
					befell := w.faults.Disarm()
					g.stands(tenant, spanID)
					guests = append(guests, g)
					if hit[befell]++; befell == "" {
						break
					}
				}
				told := w.acts()
				for _, g := range guests {
					g.completeBy(told)
				}
				require.Greater(t, len(hit), 8, "%v", hit)
				for _, name := range []string{"InTx", "read", "Directory.Chain"} {
					require.Positive(t, hit[name], "%v", hit)
				}
			}
		}
	}, backend.Memory)
}

// stands holds what is in the tenant of a guest: what makes a timeline, and each span
// that was asked for once.
func (g *guest) stands(tenant, spanID string) {
	w := g.w
	w.t.Helper()
	s, err := w.Get(w.t.Context(), g.session, g.token)
	require.NoError(w.t, err)
	want := map[string]bool{spanID: true}
	for _, step := range s.Steps {
		for _, d := range step.Drafts {
			want[d.ID] = true
		}
	}
	page, err := w.log.Query(w.t.Context(), tenant, timeline.Query{Author: g.self}, standing.Everything())
	require.NoError(w.t, err)
	for i := range page.Records {
		require.True(w.t, want[page.Records[i].Entry.Span.ID], "%s", page.Records[i].Line)
	}
	require.Len(w.t, page.Records, len(want))
}

// TestTwoProcesses asks two processes of a node for the same steps at once: they end
// at one tenant, one set of spans and one act each.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		one := newWorld(t, url)
		db, store := backend.Open(t, url)
		two := newProcess(t, one.node, db, store, Config{})
		for i := range 5 {
			g := one.guest(false)
			h := *g
			h.w = two
			both := func(ask func(g *guest) error) {
				var wg sync.WaitGroup
				errs := make([]error, 2)
				for i, g := range []*guest{g, &h} {
					wg.Go(func() { errs[i] = ask(g) })
				}
				wg.Wait()
				for _, err := range errs {
					require.NoError(t, err)
				}
			}
			steps := func(in func(g *guest) Input) {
				var mu sync.Mutex
				var answers []Step
				both(func(g *guest) error {
					step, err := g.do(in(g))
					if err == nil {
						err = g.sign(step, tenantOf(step))
					}
					if err == nil {
						step, err = g.do(in(g))
					}
					mu.Lock()
					defer mu.Unlock()
					answers = append(answers, step)
					return err
				})
				require.Equal(t, answers[0].Status, answers[1].Status)
				require.Equal(t, answers[0].Drafts, answers[1].Drafts)
			}
			steps(func(g *guest) Input { return g.who() })
			found := &Tenant{Slug: slugOf(i), Name: "Guests", RetentionDays: 3}
			steps(func(*guest) Input { return found })
			steps(func(*guest) Input { return &Recovery{Method: BySheet} })
			s, err := one.Get(t.Context(), g.session, g.token)
			require.NoError(t, err)
			var take Step
			both(func(g *guest) error {
				step, err := g.do(&Template{Template: "audit-trail"})
				if err == nil {
					err = g.sign(step, s.Tenant)
				}
				if err == nil {
					take, err = g.do(&Template{Template: "audit-trail"})
				}
				return err
			})
			require.Equal(t, Done, take.Status)
			steps(func(*guest) Input { return &Invitations{Done: true} })
			first := g.first(s.Tenant)
			steps(func(*guest) Input { return &FirstSpan{Span: first} })
			seq := g.must(&FirstSpan{Span: first}, Done).Seq
			proof, err := one.proof(s.Tenant, seq)
			require.NoError(t, err)
			steps(func(*guest) Input { return proof })
			g.complete()
			g.stands(s.Tenant, first)
		}
	}, backend.Postgres)
}

func tenantOf(step Step) string {
	if step.Tenant == nil {
		return ""
	}
	return step.Tenant.ID
}

func TestStepsOnceAndInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g := w.guest(false)
	refuse := func(in Input, code string) {
		t.Helper()
		_, err := g.do(in)
		require.Equal(t, code, fault.CodeOf(err), "%v", err)
	}
	early := "onboarding_step_early"
	hash := span.B64(make([]byte, 32))
	for _, in := range []Input{&Tenant{Slug: "a", Name: "A"}, &Recovery{Method: ByNothing}, &Template{Skip: true}, &Invitations{Skip: true}, &FirstSpan{Span: g.session}, &Proof{Size: 1, LeafHash: hash, Root: hash}} {
		refuse(in, early)
	}
	g.must(g.who(), Done)
	g.must(g.who(), Done)
	other := g.who()
	other.Name = "Another"
	refuse(other, "onboarding_step_recorded")

	refuse(&Tenant{Slug: "Not a slug", Name: "A"}, "slug_invalid")
	refuse(&Tenant{Slug: "first", Name: "First"}, "tenant_taken") // another's
	refuse(&Tenant{Slug: "ours", Name: "Ours", RetentionDays: longestRetention + 1}, "retention_invalid")
	step := g.must(&Tenant{Slug: "ours", Name: "Ours", RetentionDays: 7}, Open)
	require.Equal(t, []string{step.Drafts[0].ID}, step.Missing)
	refuse(&Tenant{Slug: "ours", Name: "Ours"}, "onboarding_step_recorded") // it is made, though the step is open
	require.Equal(t, step.Drafts, g.must(&Tenant{Slug: "ours", Name: "Ours", RetentionDays: 7}, Open).Drafts)

	refuse(&Recovery{Method: "luck"}, "recovery_method_unknown")
	refuse(&Recovery{Method: ByNode}, "recovery_not_held")
	g.must(&Recovery{Method: BySheet}, Done)
	refuse(&Recovery{Method: ByNothing}, "onboarding_step_recorded")

	refuse(&Template{}, "onboarding_template_how")
	refuse(&Template{Template: "a", Skip: true}, "onboarding_template_how")
	refuse(&Template{Template: "none-such"}, "template_unknown")
	chosen := g.must(&Template{Template: "audit-trail"}, Open)
	require.NotEqual(t, chosen.Drafts, g.must(&Template{Template: "audit-trail", Examples: true}, Open).Drafts, "nothing stands: another may be taken")
	chosen = g.must(&Template{Template: "audit-trail"}, Open)
	require.NoError(t, g.append(step.Tenant.ID, chosen.Drafts[0], []byte("sixteen bytes...")))
	refuse(&Template{Skip: true}, "onboarding_step_recorded")
	require.Len(t, g.must(&Template{Template: "audit-trail"}, Open).Missing, len(chosen.Drafts)-1)

	refuse(&Invitations{}, "onboarding_invitations_how")
	g.must(&Invitations{Skip: true}, Skipped)
	refuse(&Invitations{Done: true}, "onboarding_step_recorded")

	refuse(&FirstSpan{Span: "x"}, "span_id_malformed")
	refuse(&FirstSpan{Span: g.session}, "span_unknown")
	refuse(&FirstSpan{Span: chosen.Drafts[0].ID}, "span_unknown") // of a reserved type
	refuse(&Proof{Size: 1, LeafHash: hash, Root: hash}, early)
	first := g.must(&FirstSpan{Span: g.first(step.Tenant.ID)}, Done)
	good, err := w.proof(step.Tenant.ID, first.Seq)
	require.NoError(t, err)
	for change, code := range map[string]string{"leaf": "proof_differs", "root": "proof_differs", "seq": "proof_of_another", "size": "range_invalid", "text": "hash_malformed"} {
		bad := *good
		switch change {
		case "leaf":
			bad.LeafHash = hash
		case "root":
			bad.Root = hash
		case "seq":
			bad.Seq--
		case "size":
			bad.Size += 100
		case "text":
			bad.Root = "x"
		}
		refuse(&bad, code)
	}
	g.must(good, Done)
	s, err := w.Get(t.Context(), g.session, g.token)
	require.NoError(t, err)
	require.False(t, s.Complete, "drafts are missing")
}

func as(identity string) Login {
	return func(context.Context) (string, error) { return identity, nil }
}

// TestHeldNeedsItsLogin: for an identity whose keys the node holds, the token of the
// session alone makes nothing that outlives it.
func TestHeldNeedsItsLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g := w.guest(true)
	g.must(g.who(), Done)
	_, err := g.do(&Tenant{Slug: "ours", Name: "Ours"})
	require.ErrorIs(t, err, errLogin)
	_, err = g.do(&Tenant{Slug: "ours", Name: "Ours", As: as(w.node.ID())})
	require.ErrorIs(t, err, errLogin)
	g.must(&Tenant{Slug: "ours", Name: "Ours", As: as(g.self)}, Done)
	_, err = g.do(&Template{Template: "audit-trail"})
	require.ErrorIs(t, err, errLogin)
	_, err = g.do(&Recovery{Method: BySheet})
	require.Equal(t, "recovery_held", fault.CodeOf(err))
	g.must(&Recovery{Method: ByNode}, Done)
	g.must(&Template{Template: "audit-trail", As: as(g.self)}, Done)
}

// closedFounder is a node on which nobody makes a tenant any more.
type closedFounder struct{}

func (closedFounder) CreateTenant(context.Context, string, string, string, string, bool) (timeline.Tenant, error) {
	return timeline.Tenant{}, onboarding.ErrTenantsClosed
}

// TestAnotherSessionFinds: what a session that has ended made, another one of the same
// identity finds, also where what admitted it is spent; nobody else does.
func TestAnotherSessionFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g, other := w.guest(false), w.guest(false)
	g.must(g.who(), Done)
	made := g.must(&Tenant{Slug: "ours", Name: "Ours"}, Done)
	w.Founder = closedFounder{}
	w.now.Add(Life.Milliseconds())
	_, err := g.do(&Template{Skip: true})
	require.ErrorIs(t, err, errToken)

	session, token, err := w.Begin(t.Context(), RoadPage, here)
	require.NoError(t, err)
	g.session, g.token = session.ID, token
	g.must(g.who(), Done)
	_, err = g.do(&Tenant{Slug: "ours", Name: "Another"})
	require.ErrorIs(t, err, onboarding.ErrTenantsClosed)
	_, err = g.do(&Tenant{Slug: "theirs", Name: "Ours"})
	require.ErrorIs(t, err, onboarding.ErrTenantsClosed)
	require.Equal(t, made.Tenant.ID, g.must(&Tenant{Slug: "ours", Name: "Ours"}, Done).Tenant.ID)
	g.must(&Template{Skip: true}, Skipped)

	session, token, err = w.Begin(t.Context(), RoadPage, here)
	require.NoError(t, err)
	other.session, other.token = session.ID, token
	other.must(other.who(), Done)
	_, err = other.do(&Tenant{Slug: "ours", Name: "Ours"})
	require.ErrorIs(t, err, onboarding.ErrTenantsClosed)
}

// TestKeyThatIsNoMore: a session begun by a key that was rotated away makes nothing.
func TestKeyThatIsNoMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g := w.guest(false)
	g.must(g.who(), Done)
	event, err := g.keys.Rotate(w.clock(), rand.Reader)
	require.NoError(t, err)
	_, _, err = w.engine.EmbedEvent(t.Context(), g.self, event.Raw)
	require.NoError(t, err)
	_, err = g.do(&Tenant{Slug: "ours", Name: "Ours"})
	require.Equal(t, "onboarding_identity_changed", fault.CodeOf(err))
	event, err = g.keys.Revoke("", w.clock())
	require.NoError(t, err)
	_, _, err = w.engine.EmbedEvent(t.Context(), g.self, event.Raw)
	require.NoError(t, err)
	_, err = g.do(&Recovery{Method: ByNothing})
	require.Equal(t, "onboarding_identity_changed", fault.CodeOf(err))
}

// TestAnotherSpanUnderADraftsID: what stands under the id of a draft is looked at, and
// not taken for the draft.
func TestAnotherSpanUnderADraftsID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g := w.guest(false)
	g.must(g.who(), Done)
	step := g.must(&Tenant{Slug: "ours", Name: "Ours", RetentionDays: 7}, Open)
	d := step.Drafts[0]
	d.Type, d.Payload = "note.written", []byte(`{"text":"hello"}`)
	require.NoError(t, g.append(step.Tenant.ID, d, []byte("sixteen bytes...")))
	_, err := g.do(&Tenant{Slug: "ours", Name: "Ours", RetentionDays: 7})
	require.Equal(t, "onboarding_draft_changed", fault.CodeOf(err))
}

// TestWhoOpensASession: the token alone, for its own session, for seven days.
func TestWhoOpensASession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.Memory))
	g, h := w.guest(false), w.guest(false)
	for name, try := range map[string][2]string{
		"none": {g.session, ""}, "another's": {g.session, h.token}, "unknown": {h.session + "x", h.token}, "cut": {g.session, g.token[:len(g.token)-1]},
		"hash": {g.session, span.B64(hashOf(g.token))},
	} {
		_, err := w.Get(t.Context(), try[0], try[1])
		require.Equal(t, errToken, err, name)
		_, err = w.Do(t.Context(), try[0], try[1], g.who())
		require.Equal(t, errToken, err, name)
	}
	_, _, err := w.Begin(t.Context(), "walking", here)
	require.Equal(t, errRoad, err)

	w.now.Add(Life.Milliseconds() - 1)
	_, err = w.Get(t.Context(), g.session, g.token)
	require.NoError(t, err)
	w.now.Add(1)
	_, err = w.Get(t.Context(), g.session, g.token)
	require.Equal(t, errToken, err)
	require.NoError(t, w.Prune(t.Context()))
	n, err := w.sql.Count(t.Context(), "onboarding_sessions")
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestBounds: one address has so many open sessions, the node so many; who finished
// takes no place, and who did nothing for an hour makes room.
func TestBounds(t *testing.T) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		w := newWorld(t, url)
		w.cfg.Max, w.cfg.PerAddress = 6, 2
		begin := func(from string) (string, string, error) {
			s, token, err := w.Begin(t.Context(), RoadPage, netip.MustParseAddr(from))
			return s.ID, token, err
		}
		first, token, err := begin("192.0.2.1")
		require.NoError(t, err)
		w.now.Add(1)
		_, _, err = begin("::ffff:192.0.2.1")
		require.NoError(t, err)
		_, _, err = begin("192.0.2.1")
		require.Equal(t, errMany, err)
		_, _, err = begin("2001:db8::1")
		require.NoError(t, err)
		_, _, err = begin("2001:db8::2")
		require.NoError(t, err)
		_, _, err = begin("2001:db8::3")
		require.Equal(t, errMany, err, "one /64 is one customer")
		_, _, err = begin("127.0.0.1")
		require.NoError(t, err)
		g := w.guest(false)
		g.journey("ours", 1)
		_, _, err = begin("127.0.0.1")
		require.NoError(t, err, "who is done takes no place")
		_, _, err = begin("127.0.0.1")
		require.Equal(t, errFull, err)
		_, err = w.Get(t.Context(), first, token)
		require.NoError(t, err, "they are all young")
		w.now.Add(idle.Milliseconds())
		_, _, err = begin("127.0.0.1")
		require.NoError(t, err)
		_, err = w.Get(t.Context(), first, token)
		require.Equal(t, errToken, err, "the oldest made room")
	}, backend.SQLite, backend.Postgres)
}

// TestWhatARowHolds: nothing of a name, an address or a credential.
func TestWhatARowHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backend.URL(t, backend.SQLite))
	g := w.guest(false)
	in := g.who()
	in.Handle, in.Name = "ana-of-the-test", "Ana Lima"
	g.must(in, Done)
	g.must(&Tenant{Slug: "secret-slug", Name: "Secret name", Admission: "", RetentionDays: 7}, Open)
	rows, err := w.sql.Read.QueryContext(t.Context(), `SELECT token, road, origin, identity, memory FROM onboarding_sessions`)
	require.NoError(t, err)
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var token, origin, memory []byte
		var road, identity string
		require.NoError(t, rows.Scan(&token, &road, &origin, &identity, &memory))
		all := fmt.Sprintf("%s%s%s%s%s", token, road, origin, identity, memory)
		for _, secret := range []string{g.token, in.Handle, in.Name, "Secret name", here.String(), bootstrap} {
			require.NotContains(t, all, secret)
		}
		seen++
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 1, seen)
	n, err := w.Forget(t.Context(), g.self, true)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = w.Forget(t.Context(), g.self, false)
	require.NoError(t, err)
	_, err = w.Get(t.Context(), g.session, g.token)
	require.Equal(t, errToken, err)
}

// FuzzToken: what has the form of a token opens nothing but the session that it is of.
func FuzzToken(f *testing.F) {
	good, err := newToken(strings.NewReader(strings.Repeat("x", 32)))
	require.NoError(f, err)
	r := &row{token: hashOf(good)}
	f.Add(good)
	f.Add("llo_")
	f.Add("llo_" + strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, text string) {
		require.Equal(t, text == good, opens(text, r))
		if Is(text) {
			require.Len(t, text, 47)
		}
	})
}

package id

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// onEveryDatabase runs a test on SQLite in memory and in a file and on
// PostgreSQL. reopen gives another handle on the same database, nil in memory.
func onEveryDatabase(t *testing.T, test func(t *testing.T, d *Directory, reopen func() *Directory)) {
	t.Helper()
	open := func(t *testing.T, url string) *Directory {
		t.Helper()
		db, err := storage.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		return NewDirectory(db, FastVerifier(), func() time.Time { return testTime })
	}
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, "memory:"), nil)
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		url := "sqlite:" + filepath.Join(t.TempDir(), "logline.db")
		test(t, open(t, url), func() *Directory { return open(t, url) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := pgtest.New(t).URL
		test(t, open(t, url), func() *Directory { return open(t, url) })
	})
}

func register(t testing.TB, d *Directory, k *Keys, handle, name string) Info {
	t.Helper()
	info, created, err := d.Register(context.Background(), k.Events(), handle, name)
	require.NoError(t, err)
	require.True(t, created)
	return info
}

func TestDirectoryRegister(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, reopen func() *Directory) {
		ctx := t.Context()
		k := newKeys(t, SubjectPerson, 1)
		_, err := d.Get(ctx, k.ID())
		requireCode(t, "identity_unknown", err)
		require.Equal(t, fault.NotFound, fault.KindOf(err))
		_, _, err = k.Delegate("phone", []string{"a.*"}, "", testTime, source(2))
		require.NoError(t, err)
		info := register(t, d, k, "ana", "Ana Pérez")
		require.Equal(t, Info{ID: k.ID(), Subject: SubjectPerson, Handle: "ana", Name: "Ana Pérez", Status: StatusActive,
			Events: k.Events(), Chain: k.Chain()}, info)

		directories := []*Directory{d}
		if reopen != nil {
			directories = append(directories, reopen())
		}
		for _, d := range directories {
			got, err := d.Get(ctx, k.ID())
			require.NoError(t, err)
			require.Equal(t, info, got)
			for _, handle := range []string{"ana", "@ana"} {
				got, err = d.ByHandle(ctx, handle)
				require.NoError(t, err)
				require.Equal(t, info, got)
			}
			chain, err := d.Chain(ctx, k.ID())
			require.NoError(t, err)
			require.Equal(t, info.Chain, chain)
			// The same again, with or without labels, or an earlier part of it.
			for _, again := range []func() (Info, bool, error){
				func() (Info, bool, error) { return d.Register(ctx, k.Events(), "ana", "Ana Pérez") },
				func() (Info, bool, error) { return d.Register(ctx, k.Events(), "", "") },
				func() (Info, bool, error) { return d.Register(ctx, k.Events()[:1], "ana", "") },
			} {
				got, created, err := again()
				require.NoError(t, err)
				require.False(t, created)
				require.Equal(t, info, got)
			}
		}
		for _, handle := range []string{"", "@", "nobody", "ANA"} {
			_, err := d.ByHandle(ctx, handle)
			requireCode(t, "identity_unknown", err)
		}
		_, err = d.Chain(ctx, "logline-id://nobody")
		requireCode(t, "identity_unknown", err)
	})
}

func TestDirectoryRegisterRefuses(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		ctx := t.Context()
		ana, bo := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 2)
		register(t, d, ana, "ana", "Ana")
		refused := func(code string, events [][]byte, handle, name string) *fault.Error {
			t.Helper()
			_, created, err := d.Register(ctx, events, handle, name)
			requireCode(t, code, err)
			require.False(t, created)
			return fault.From(err)
		}
		refused("handle_taken", bo.Events(), "ana", "")
		_, err := d.Get(ctx, bo.ID())
		requireCode(t, "identity_unknown", err)
		refused("identity_conflict", ana.Events(), "other", "")
		refused("identity_conflict", ana.Events(), "ana", "Other")
		for _, handle := range []string{"Ana", "-a", ".a", "a b", "é", "@a", strings.Repeat("a", 64), "a\n"} {
			refused("handle_malformed", bo.Events(), handle, "")
		}
		refused("name_malformed", bo.Events(), "", strings.Repeat("é", 129))
		refused("name_malformed", bo.Events(), "", "a\x00")
		refused("name_malformed", bo.Events(), "", "a\xff")
		refused("events_missing", nil, "", "")
		refused("events_too_many", make([][]byte, MaxRegisterEvents+1), "", "")
		e := refused("member_missing", [][]byte{bo.Events()[0], []byte("{}")}, "", "")
		require.Equal(t, "/events/1/kind", e.Fields[0].Pointer)
		e = refused("signature_invalid", [][]byte{edit(t, bo.Events()[0], func(o object) { o["time"] = ghostTime })}, "", "")
		require.Equal(t, "/events/0/signature/value", e.Fields[0].Pointer)

		// Other events of a known identity: a longer chain, and a fork.
		first := ana.Events()
		one, _, err := bo.Delegate("one", nil, "", testTime, source(3))
		require.NoError(t, err)
		fork := newKeys(t, SubjectPerson, 2)
		two, _, err := fork.Delegate("two", nil, "", testTime, source(4))
		require.NoError(t, err)
		refused("event_repeated", [][]byte{bo.Events()[0], one.Raw, one.Raw}, "", "")
		refused("inception_repeated", [][]byte{bo.Events()[0], bo.Events()[0]}, "", "")
		register(t, d, bo, "", "")
		refused("identity_conflict", [][]byte{bo.Events()[0], two.Raw}, "", "")
		_, err = ana.Rotate(testTime, source(5))
		require.NoError(t, err)
		refused("identity_conflict", ana.Events(), "", "")
		got, err := d.Get(ctx, ana.ID())
		require.NoError(t, err)
		require.Equal(t, first, got.Events)

		// Any number of identities have no handle.
		register(t, d, newKeys(t, SubjectAgent, 6), strings.Repeat("a", 63), strings.Repeat("é", 128))
		register(t, d, newKeys(t, SubjectAgent, 7), "", "")
	})
}

func TestDirectoryAdd(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, reopen func() *Directory) {
		ctx := t.Context()
		k := newKeys(t, SubjectPerson, 1)
		register(t, d, k, "ana", "")
		add := func(e *Event, err error) Info {
			t.Helper()
			require.NoError(t, err)
			parsed, next, changed, err := d.Check(ctx, k.ID(), e.Raw)
			require.NoError(t, err)
			require.True(t, changed)
			require.Equal(t, e.Raw, parsed.Raw)
			info, err := d.Add(ctx, k.ID(), e.Raw)
			require.NoError(t, err)
			require.Equal(t, next, info.Chain)
			require.Equal(t, k.Chain(), info.Chain)
			require.Equal(t, k.Events(), info.Events)
			return info
		}
		// repeat says that sending the event again changes nothing.
		repeat := func(e *Event) {
			t.Helper()
			_, next, changed, err := d.Check(ctx, k.ID(), e.Raw)
			require.NoError(t, err)
			require.False(t, changed)
			require.Equal(t, k.Chain(), next)
			info, err := d.Add(ctx, k.ID(), e.Raw)
			require.NoError(t, err)
			require.Equal(t, k.Events(), info.Events)
		}
		refused := func(code string, e *Event) {
			t.Helper()
			_, _, _, err := d.Check(ctx, k.ID(), e.Raw)
			requireCode(t, code, err)
			_, err = d.Add(ctx, k.ID(), e.Raw)
			requireCode(t, code, err)
		}
		delegation, device, err := k.Delegate("phone", nil, "", testTime, source(2))
		add(delegation, err)
		repeat(delegation)
		undelegation, err := k.Undelegate(device.Public(), testTime)
		add(undelegation, err)
		repeat(undelegation)
		refused("delegation_ended", delegation)
		rotation, err := k.Rotate(testTime, source(3))
		add(rotation, err)
		repeat(rotation)
		refused("event_under", delegation)
		refused("event_under", undelegation) // says no longer what is the case
		again, err := k.DelegateKey(device.Public(), "phone", nil, "", "", testTime)
		add(again, err)
		revocation, err := k.Revoke("lost", testTime)
		info := add(revocation, err)
		require.Equal(t, StatusRevoked, info.Status)
		repeat(revocation)
		repeat(rotation)
		refused("identity_revoked", again)

		_, err = d.Add(ctx, k.ID(), []byte("{}"))
		requireCode(t, "member_missing", err)
		_, err = d.Add(ctx, "logline-id://nobody", rotation.Raw)
		requireCode(t, "identity_unknown", err)
		if reopen != nil {
			d = reopen()
		}
		got, err := d.Get(ctx, k.ID())
		require.NoError(t, err)
		require.Equal(t, info.Events, got.Events)
		require.Equal(t, info.Chain, got.Chain)
		require.Equal(t, StatusRevoked, got.Status)
		refolded, err := fold(StdVerifier(), got.Events)
		require.NoError(t, err)
		require.Equal(t, got.Chain, refolded)
	})
}

func TestDirectoryClaim(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		ctx := t.Context()
		g, k := newGhost(t, "a"), newKeys(t, SubjectPerson, 1)
		register(t, d, g, "", "")
		claim, err := g.ClaimBy(k, testTime)
		require.NoError(t, err)
		_, err = d.Add(ctx, g.ID(), claim.Raw)
		requireCode(t, "claimer_unknown", err)
		register(t, d, k, "ana", "")
		info, err := d.Add(ctx, g.ID(), claim.Raw)
		require.NoError(t, err)
		require.Equal(t, StatusClaimed, info.Status)
		require.Equal(t, k.ID(), info.Chain.ClaimedBy())

		// The claimer's key may rotate: what was taken stays, what was not is refused.
		other := newGhost(t, "b")
		late, err := other.ClaimBy(k, testTime)
		require.NoError(t, err)
		rotation, err := k.Rotate(testTime, source(2))
		require.NoError(t, err)
		_, err = d.Add(ctx, k.ID(), rotation.Raw)
		require.NoError(t, err)
		_, err = d.Add(ctx, g.ID(), claim.Raw)
		require.NoError(t, err, "a repeat")
		_, created, err := d.Register(ctx, g.Events(), "", "")
		require.NoError(t, err)
		require.False(t, created)
		_, _, err = d.Register(ctx, other.Events(), "", "")
		requireCode(t, "counter_signer_wrong", err)
		_, _, err = d.Register(ctx, [][]byte{late.Raw}, "", "")
		requireCode(t, "inception_expected", err)

		third := newGhost(t, "c")
		_, err = third.ClaimBy(k, testTime)
		require.NoError(t, err)
		info = register(t, d, third, "", "")
		require.Equal(t, StatusClaimed, info.Status)
		require.Equal(t, third.Events(), info.Events)
	})
}

// TestDirectoryConcurrentRotations races events that exclude each other:
// exactly one of each kind of rival is taken.
func TestDirectoryConcurrentRotations(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, reopen func() *Directory) {
		ctx := t.Context()
		k := newKeys(t, SubjectPerson, 1)
		register(t, d, k, "", "")
		directories := []*Directory{d}
		if reopen != nil {
			directories = append(directories, reopen()) // as another process would
		}
		const rivals = 16
		events := make([]*Event, rivals)
		for i := range events {
			rival := newKeys(t, SubjectPerson, 1) // the same identity
			var err error
			events[i], err = rival.Rotate(testTime, source(byte(10+i)))
			require.NoError(t, err)
		}
		errs := make([]error, rivals)
		var wg sync.WaitGroup
		for i, e := range events {
			wg.Go(func() { _, errs[i] = directories[i%len(directories)].Add(ctx, k.ID(), e.Raw) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, winner, "two rotations were taken")
				winner = i
				continue
			}
			requireCode(t, "event_seq", err)
		}
		require.NotEqual(t, -1, winner, "%v", errors.Join(errs...))
		got, err := d.Get(ctx, k.ID())
		require.NoError(t, err)
		require.Equal(t, [][]byte{k.Events()[0], events[winner].Raw}, got.Events)
		require.Equal(t, events[winner].Key, got.Chain.Primary())
	})
}

func TestDirectoryConcurrentDelegations(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		ctx := t.Context()
		k := newKeys(t, SubjectPerson, 1)
		register(t, d, k, "", "")
		const n = 16
		var wg sync.WaitGroup
		for i := range n {
			e, _, err := k.Delegate(fmt.Sprint(i), nil, "", testTime, source(byte(10+i)))
			require.NoError(t, err)
			for range 2 { // each sent twice at once
				wg.Go(func() {
					if _, err := d.Add(ctx, k.ID(), e.Raw); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		got, err := d.Get(ctx, k.ID())
		require.NoError(t, err)
		require.ElementsMatch(t, k.Events(), got.Events)
		refolded, err := fold(StdVerifier(), got.Events)
		require.NoError(t, err)
		require.Equal(t, refolded, got.Chain, "the stored order is the order folded")
	})
}

func TestDirectoryConcurrentHandles(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		ctx := t.Context()
		const n = 12
		type answer struct {
			created bool
			err     error
		}
		answers := make([]answer, n)
		var wg sync.WaitGroup
		for i := range n {
			events := newKeys(t, SubjectPerson, byte(i/2)).Events() // each identity twice
			wg.Go(func() { _, answers[i].created, answers[i].err = d.Register(ctx, events, "ana", "") })
		}
		wg.Wait()
		var created, same int
		for _, a := range answers {
			switch {
			case a.err == nil && a.created:
				created++
			case a.err == nil:
				same++
			default:
				requireCode(t, "handle_taken", a.err)
			}
		}
		require.Equal(t, 1, created)
		require.Equal(t, 1, same)
	})
}

func TestDirectoryReportsTrouble(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "memory:")
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	d := NewDirectory(db, FastVerifier(), time.Now)
	k := newKeys(t, SubjectPerson, 1)
	register(t, d, k, "", "")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.Get(gone, k.ID())
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	_, err = db.Write.Exec(`UPDATE identities SET chain = x'7b7d'`)
	require.NoError(t, err)
	_, err = d.Get(t.Context(), k.ID())
	require.Equal(t, fault.Internal, fault.KindOf(err))
	require.NoError(t, db.Close())
	_, err = d.Chain(t.Context(), k.ID())
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	_, _, err = d.Register(t.Context(), k.Events(), "", "")
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
}

package id

import (
	"crypto/rand"
	"database/sql"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	testNode  = "logline-id://" + "nodenodenodenodenodenodenodenodenodenodenodenodenoda"
	testMaker = "logline-id://" + "makermakermakermakermakermakermakermakermakermakerma"
)

func custodyOn(t *testing.T, db *storage.DB, masters ...*MasterKey) (*Custody, *Directory) {
	t.Helper()
	now := func() time.Time { return testTime }
	dir := NewDirectory(db, StdVerifier(), now)
	return NewCustody(db, masters, dir, testNode, now, source(9)), dir
}

func TestCustody(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, ctx := database(t), t.Context()
		db := open()
		c, dir := custodyOn(t, db, masterOf(t, 1))
		info, err := c.Create(ctx, SubjectService, "billing", "Billing", testMaker)
		require.NoError(t, err)
		known, err := dir.Get(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, info, known)
		chain, err := fold(StdVerifier(), known.Events)
		require.NoError(t, err)
		require.Equal(t, testNode, chain.Custody())
		maker, err := c.Maker(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, testMaker, maker)

		held, err := c.Held(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, chain.Primary(), held.Public())
		require.Len(t, held.Secret, 32)

		// Another process of the node rotates; this one signs with the new key.
		other, _ := custodyOn(t, open(), masterOf(t, 1))
		rotation, err := other.Rotation(ctx, info.ID)
		require.NoError(t, err)
		unkept, err := c.Held(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, held.Public(), unkept.Public(), "nothing changed until it is kept")
		after, err := other.Keep(ctx, rotation)
		require.NoError(t, err)
		rotated, err := c.Held(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, after.Chain.Primary(), rotated.Public())
		require.NotEqual(t, held.Public(), rotated.Public())
		require.Equal(t, held.Secret, rotated.Secret)

		revocation, err := c.Revocation(ctx, info.ID, "left")
		require.NoError(t, err)
		ended, err := c.Keep(ctx, revocation)
		require.NoError(t, err)
		require.Equal(t, StatusRevoked, ended.Status)
		_, err = c.Rotation(ctx, info.ID)
		requireCode(t, "identity_revoked", err)
	})
}

func TestCustodyRefusals(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, ctx := database(t)(), t.Context()
		without, dir := custodyOn(t, db)
		_, err := without.Create(ctx, SubjectService, "", "", testMaker)
		requireCode(t, "master_key_required", err)
		c, _ := custodyOn(t, db, masterOf(t, 1))
		for _, subject := range []string{SubjectNode, SubjectGhost, "", "robot"} {
			_, err = c.Create(ctx, subject, "", "", testMaker)
			requireCode(t, "subject_unknown", err)
		}
		_, err = c.Create(ctx, SubjectService, "A B", "", testMaker)
		requireCode(t, "handle_malformed", err)
		info, err := c.Create(ctx, SubjectService, "taken", "", testMaker)
		require.NoError(t, err)
		_, err = c.Create(ctx, SubjectService, "taken", "", testMaker)
		requireCode(t, "handle_taken", err)
		var rows int
		require.NoError(t, db.Read.QueryRow(`SELECT (SELECT count(*) FROM sealed_keys) + (SELECT count(*) FROM identities)`).Scan(&rows))
		require.Equal(t, 2, rows, "a refusal leaves neither keys nor identity")

		own := newKeys(t, SubjectPerson, 3)
		register(t, dir, own, "", "")
		for _, identity := range []string{own.ID(), testMaker, testNode} {
			_, err = c.Held(ctx, identity)
			requireCode(t, "not_in_custody", err)
			_, err = c.Maker(ctx, identity)
			requireCode(t, "not_in_custody", err)
		}
		_, err = without.Held(ctx, info.ID)
		requireCode(t, "master_key_required", err)
		wrong, _ := custodyOn(t, db, masterOf(t, 2))
		_, err = wrong.Held(ctx, info.ID)
		requireCode(t, "master_key_wrong", err)

		// The sealed keys of one identity in another's row sign for neither.
		second, err := c.Create(ctx, SubjectService, "", "", testMaker)
		require.NoError(t, err)
		require.NoError(t, db.InTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE sealed_keys SET sealed = (SELECT sealed FROM sealed_keys WHERE identity = $1) WHERE identity = $2`, info.ID, second.ID)
			return err
		}))
		_, err = c.Held(ctx, second.ID)
		requireCode(t, "sealed_unopenable", err)
	})
}

// TestCustodyChangesAtOnce: of two changes made on the same state one is kept,
// and the keys that are sealed are those that the directory knows.
func TestCustodyChangesAtOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, ctx := database(t), t.Context()
		c, dir := custodyOn(t, open(), masterOf(t, 1))
		info, err := c.Create(ctx, SubjectAgent, "", "", testMaker)
		require.NoError(t, err)
		const n = 4
		changes := make([]*Change, n)
		processes := make([]*Custody, n)
		for i := range n {
			processes[i], _ = custodyOn(t, open(), masterOf(t, 1))
			processes[i].rand = source(byte(20 + i))
			changes[i], err = processes[i].Rotation(ctx, info.ID)
			require.NoError(t, err)
		}
		failures := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { _, failures[i] = processes[i].Keep(ctx, changes[i]) })
		}
		wg.Wait()
		kept := 0
		for _, err := range failures {
			if err == nil {
				kept++
				continue
			}
			require.Equal(t, fault.Conflict, fault.KindOf(err), "%v", err)
		}
		require.Equal(t, 1, kept)
		held, err := c.Held(ctx, info.ID)
		require.NoError(t, err)
		chain, err := dir.Chain(ctx, info.ID)
		require.NoError(t, err)
		require.Equal(t, chain.Primary(), held.Public())
		_, err = c.Rotation(ctx, info.ID)
		require.NoError(t, err)
	})
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, ctx := database(t), t.Context()
		db := open()
		c, dir := custodyOn(t, db, masterOf(t, 1))
		info, err := c.Create(ctx, SubjectService, "", "", testMaker)
		require.NoError(t, err)
		at := testTime
		keys := NewAPIKeys(db, func() time.Time { return at }, source(4), APIKeyConfig{})
		terms := APIKey{Identity: info.ID, Label: "ci", Types: []string{"orders.*"}, CreatedBy: testMaker,
			ExpiresAt: span.FormatTime(testTime.Add(3 * time.Hour))}
		made, text, err := keys.Create(ctx, terms)
		require.NoError(t, err)
		require.Regexp(t, `^llk_[a-z2-7]{75}$`, text)
		require.Equal(t, terms.Label, made.Label)

		got, err := keys.Authenticate(ctx, text)
		require.NoError(t, err)
		require.Equal(t, info.ID, got.Identity)
		require.True(t, got.Reaches("anywhere"))
		require.False(t, got.Manages())
		require.NoError(t, got.APIKey.MaySign("orders.paid"))
		requireCode(t, "api_key_type_not_allowed", got.APIKey.MaySign("notes.written"))
		requireCode(t, "api_key_type_not_allowed", got.APIKey.MaySign("logline.member"))

		// The database holds neither the key nor its secret.
		var keyID, label, types string
		var hash []byte
		require.NoError(t, db.Read.QueryRow(`SELECT id, hash, label, types FROM api_keys`).Scan(&keyID, &hash, &label, &types))
		require.Equal(t, made.ID, keyID)
		require.Len(t, hash, 32)
		require.NotContains(t, keyID+label+types+string(hash), text[len(apiKeyPrefix)+opaqueNameLen:])

		// Last use is kept by the minute and written once a minute.
		used := func() string {
			t.Helper()
			all, err := keys.List(ctx, info.ID, "", 10)
			require.NoError(t, err)
			require.Len(t, all, 1)
			return all[0].UsedAt
		}
		require.Equal(t, "2026-01-02T03:04:00.000Z", used())
		at = testTime.Add(50 * time.Second)
		_, err = keys.Authenticate(ctx, text)
		require.NoError(t, err)
		require.Equal(t, "2026-01-02T03:04:00.000Z", used())
		at = testTime.Add(time.Minute)
		_, err = keys.Authenticate(ctx, text)
		require.NoError(t, err)
		require.Equal(t, "2026-01-02T03:05:00.000Z", used())

		at = testTime.Add(3 * time.Hour)
		_, err = keys.Authenticate(ctx, text)
		requireCode(t, "api_key_expired", err)
		at = testTime

		// Another process revokes it.
		elsewhere := NewAPIKeys(open(), func() time.Time { return at }, source(5), APIKeyConfig{})
		revoked, err := elsewhere.Revoke(ctx, info.ID, made.ID, testMaker)
		require.NoError(t, err)
		require.Equal(t, testStamp, revoked.RevokedAt)
		_, err = keys.Authenticate(ctx, text)
		requireCode(t, "api_key_revoked", err)
		_, err = keys.Revoke(ctx, testMaker, made.ID, testMaker)
		requireCode(t, "api_key_unknown", err)

		// A revoked identity's keys end with it.
		terms.ExpiresAt, terms.Tenant = "", "0190a000-0000-8000-8000-000000000000"
		_, text, err = keys.Create(ctx, terms)
		require.NoError(t, err)
		got, err = keys.Authenticate(ctx, text)
		require.NoError(t, err)
		require.True(t, got.Reaches(terms.Tenant))
		require.False(t, got.Reaches("0190a000-0000-8000-8000-000000000001"))
		revocation, err := c.Revocation(ctx, info.ID, "")
		require.NoError(t, err)
		_, err = c.Keep(ctx, revocation)
		require.NoError(t, err)
		_, err = keys.Authenticate(ctx, text)
		requireCode(t, "identity_not_active", err)
		_, _, err = keys.Create(ctx, terms)
		requireCode(t, "identity_not_active", err)
		_ = dir
	})
}

func TestAPIKeyRefusals(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, ctx := database(t)(), t.Context()
		_, dir := custodyOn(t, db)
		own := newKeys(t, SubjectPerson, 3)
		register(t, dir, own, "", "")
		keys := NewAPIKeys(db, func() time.Time { return testTime }, source(4), APIKeyConfig{})
		for code, k := range map[string]APIKey{
			"types_malformed":        {Types: []string{"Orders"}},
			"types_reserved_pattern": {Types: []string{"logline.*"}},
			"types_too_many":         {Types: make([]string, maxAPIKeyTypes+1)},
			"label_malformed":        {Label: "a\nb"},
			"rights_unknown":         {Rights: []string{RightRead, "write"}},
			"expires_malformed":      {ExpiresAt: testStamp},
		} {
			k.Identity = own.ID()
			_, _, err := keys.Create(ctx, k)
			requireCode(t, code, err)
		}
		_, _, err := keys.Create(ctx, APIKey{Identity: testMaker})
		requireCode(t, "identity_unknown", err)
		var first string
		for i := range MaxAPIKeys {
			k, _, err := keys.Create(ctx, APIKey{Identity: own.ID()})
			require.NoError(t, err)
			if i == 0 {
				first = k.ID
			}
		}
		_, _, err = keys.Create(ctx, APIKey{Identity: own.ID()})
		requireCode(t, "api_keys_too_many", err)
		_, err = keys.Revoke(ctx, own.ID(), first, own.ID())
		require.NoError(t, err)
		_, text, err := keys.Create(ctx, APIKey{Identity: own.ID()})
		require.NoError(t, err)

		// Pages are whole and in order.
		var seen []string
		for after := ""; ; {
			page, err := keys.List(ctx, own.ID(), after, 10)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			for _, k := range page {
				require.Greater(t, k.ID, after)
				after = k.ID
				seen = append(seen, k.ID)
			}
		}
		require.Len(t, seen, MaxAPIKeys+1)

		// A wrong checksum is refused without the database, a wrong secret by it.
		mistyped := []byte(text)
		mistyped[30] ^= 1
		require.NoError(t, db.Close())
		_, err = keys.Authenticate(ctx, string(mistyped))
		requireCode(t, "api_key_malformed", err)
		_, err = keys.Authenticate(ctx, text)
		requireCode(t, "database_closed", err)
	})
}

// TestAPIKeyRotation: two keys for a while, and never longer than that.
func TestAPIKeyRotation(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, ctx := database(t)(), t.Context()
		_, dir := custodyOn(t, db, nil)
		own := newKeys(t, SubjectPerson, 3)
		register(t, dir, own, "", "")
		at := testTime
		keys := NewAPIKeys(db, func() time.Time { return at }, source(4), APIKeyConfig{Overlap: 48 * time.Hour})
		good := func(text string) bool {
			_, err := keys.Authenticate(ctx, text)
			return err == nil
		}
		old, oldText, err := keys.Create(ctx, APIKey{Identity: own.ID(), Label: "ci", Types: []string{"orders.*"}, Rights: []string{RightTasks, RightRead},
			ExpiresAt: span.FormatTime(testTime.Add(30 * 24 * time.Hour))})
		require.NoError(t, err)
		require.Equal(t, []string{RightRead, RightTasks}, old.Rights)

		for _, overlap := range []time.Duration{-time.Second, 48*time.Hour + 1} {
			_, _, err = keys.Rotate(ctx, own.ID(), old.ID, overlap, "", own.ID())
			requireCode(t, "overlap_too_long", err)
		}
		_, _, err = keys.Rotate(ctx, testMaker, old.ID, 0, "", testMaker)
		requireCode(t, "api_key_unknown", err)

		// The new one has the terms of the old one, and a life as long.
		at = testTime.Add(24 * time.Hour)
		fresh, freshText, err := keys.Rotate(ctx, own.ID(), old.ID, time.Hour, "", testMaker)
		require.NoError(t, err)
		require.NotEqual(t, old.ID, fresh.ID)
		require.Equal(t, []any{old.Label, old.Rights, old.Types, old.ID, testMaker, span.FormatTime(at.Add(30 * 24 * time.Hour))},
			[]any{fresh.Label, fresh.Rights, fresh.Types, fresh.Replaces, fresh.CreatedBy, fresh.ExpiresAt})
		was, err := keys.Get(ctx, own.ID(), old.ID)
		require.NoError(t, err)
		require.Equal(t, fresh.ID, was.ReplacedBy)
		require.Equal(t, span.FormatTime(at.Add(time.Hour)), was.ExpiresAt)
		require.True(t, good(oldText) && good(freshText))
		_, _, err = keys.Rotate(ctx, own.ID(), old.ID, 0, "", own.ID())
		requireCode(t, "api_key_replaced", err)
		at = at.Add(time.Hour)
		require.False(t, good(oldText), "the overlap is over")
		require.True(t, good(freshText))

		// At once; an end before the overlap's stays; what has ended is not replaced.
		next, nextText, err := keys.Rotate(ctx, own.ID(), fresh.ID, 0, span.FormatTime(at.Add(time.Minute)), own.ID())
		require.NoError(t, err)
		require.False(t, good(freshText))
		require.True(t, good(nextText))
		last, _, err := keys.Rotate(ctx, own.ID(), next.ID, time.Hour, "", own.ID())
		require.NoError(t, err)
		was, err = keys.Get(ctx, own.ID(), next.ID)
		require.NoError(t, err)
		require.Equal(t, next.ExpiresAt, was.ExpiresAt)
		_, err = keys.Revoke(ctx, own.ID(), last.ID, testMaker)
		require.NoError(t, err)
		was, err = keys.Get(ctx, own.ID(), last.ID)
		require.NoError(t, err)
		require.Equal(t, testMaker, was.RevokedBy)
		_, _, err = keys.Rotate(ctx, own.ID(), last.ID, 0, "", own.ID())
		requireCode(t, "api_key_ended", err)
	})
}

// TestAPIKeyIsReplacedOnce: of several that replace a key at once, one does.
func TestAPIKeyIsReplacedOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, ctx := database(t)(), t.Context()
		_, dir := custodyOn(t, db, nil)
		own := newKeys(t, SubjectPerson, 3)
		register(t, dir, own, "", "")
		keys := NewAPIKeys(db, func() time.Time { return testTime }, rand.Reader, APIKeyConfig{})
		old, _, err := keys.Create(ctx, APIKey{Identity: own.ID()})
		require.NoError(t, err)
		errs := make([]error, 8)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { _, _, errs[i] = keys.Rotate(ctx, own.ID(), old.ID, time.Hour, "", own.ID()) })
		}
		all.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			requireCode(t, "api_key_replaced", err)
		}
		require.Equal(t, 1, made)
		list, err := keys.List(ctx, own.ID(), "", 10)
		require.NoError(t, err)
		require.Len(t, list, 2)
	})
}

func TestAPIKeyLives(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return span.FormatTime(testTime.Add(d)) }
	for _, c := range []struct {
		cfg         APIKeyConfig
		asked, want string
		code        string
	}{
		{APIKeyConfig{}, "", "", ""},
		{APIKeyConfig{}, in(1000 * time.Hour), in(1000 * time.Hour), ""},
		{APIKeyConfig{Life: time.Hour}, "", in(time.Hour), ""},
		{APIKeyConfig{Life: time.Hour, MaxLife: time.Minute}, "", in(time.Minute), ""},
		{APIKeyConfig{MaxLife: time.Minute}, "", in(time.Minute), ""},
		{APIKeyConfig{Life: time.Hour, MaxLife: 2 * time.Hour}, in(2 * time.Hour), in(2 * time.Hour), ""},
		{APIKeyConfig{Life: time.Hour, MaxLife: 2 * time.Hour}, in(2*time.Hour + time.Millisecond), "", "expires_too_late"},
		{APIKeyConfig{}, in(0), "", "expires_malformed"},
	} {
		keys := NewAPIKeys(nil, func() time.Time { return testTime }, source(4), c.cfg)
		k, _, err := keys.make(APIKey{ExpiresAt: c.asked})
		require.Equal(t, c.code, fault.CodeOf(err), "%+v", c)
		require.Equal(t, c.want, k.ExpiresAt, "%+v", c)
	}
}

func TestAPIKeyRights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k    APIKey
		want []string
	}{
		{APIKey{}, []string{RightRead}}, // the least
		{APIKey{Types: []string{"a.*"}}, []string{RightAppend, RightRead}},
		{APIKey{Types: []string{"a.*"}, Rights: []string{RightRead}}, []string{RightRead}},
		{APIKey{Rights: []string{RightTasks, RightAppend}}, []string{RightAppend, RightTasks}},
	} {
		got, err := rightsOf(c.k)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
		c.k.Rights = got
		require.Equal(t, slices.Contains(got, RightAppend), c.k.MaySign("a.b") == nil)
	}
	for _, rights := range [][]string{{""}, {"admin"}, {RightRead, RightRead}, {"READ"}} {
		_, err := rightsOf(APIKey{Rights: rights})
		requireCode(t, "rights_unknown", err)
	}
}

func TestAPIKeyWrongSecret(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, ctx := database(t)(), t.Context()
		_, dir := custodyOn(t, db)
		own := newKeys(t, SubjectPerson, 3)
		register(t, dir, own, "", "")
		keys := NewAPIKeys(db, func() time.Time { return testTime }, source(4), APIKeyConfig{})
		_, text, err := keys.Create(ctx, APIKey{Identity: own.ID()})
		require.NoError(t, err)
		forged := text[:len(apiKeyPrefix)+opaqueNameLen] + text[len(apiKeyPrefix)+opaqueNameLen+1:len(apiKeyPrefix)+opaqueBodyLen] + "a"
		forged += opaqueSum(forged)
		_, err = keys.Authenticate(ctx, forged)
		requireCode(t, "api_key_unknown", err)
		other, err := newAPIKey(source(8))
		require.NoError(t, err)
		_, err = keys.Authenticate(ctx, other)
		requireCode(t, "api_key_unknown", err)
	})
}

// FuzzAPIKey: only a key as it was made has its id, and a refusal repeats
// nothing of what was given.
func FuzzAPIKey(f *testing.F) {
	text, err := newAPIKey(source(1))
	require.NoError(f, err)
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add(text + "a")
	f.Add("llk_")
	f.Add("eyJhbGciOiJFZERTQSJ9.e30.x")
	f.Fuzz(func(t *testing.T, src string) {
		id, err := apiKeyID(src)
		if err != nil {
			requireCode(t, "api_key_malformed", err)
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
			return
		}
		require.True(t, IsAPIKey(src))
		require.Len(t, src, len(apiKeyPrefix)+opaqueBodyLen+opaqueSumLen)
		require.Equal(t, src[:20], apiKeyPrefix+id)
		require.Equal(t, opaqueSum(src[:len(apiKeyPrefix)+opaqueBodyLen+opaqueSumLen-opaqueSumLen]), src[len(apiKeyPrefix)+opaqueBodyLen+opaqueSumLen-opaqueSumLen:])
		for i := range src { // and no single mistyped character passes
			changed := []byte(src)
			changed[i] ^= 1
			_, err := apiKeyID(string(changed))
			require.Error(t, err)
		}
	})
}

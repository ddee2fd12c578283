package id

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
)

func text(s string) *string { return &s }

func TestSetLabels(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		ctx := t.Context()
		d := NewDirectory(database(t)(), StdVerifier(), func() time.Time { return testTime })
		ana, bob := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 2)
		register(t, d, ana, "ana", "Ana")
		register(t, d, bob, "", "")
		set := func(k *Keys, handle, name *string) Info {
			t.Helper()
			info, err := d.SetLabels(ctx, k.ID(), Labels{handle, name})
			require.NoError(t, err)
			known, err := d.Get(ctx, k.ID())
			require.NoError(t, err)
			require.Equal(t, known, info)
			return info
		}
		info := set(ana, nil, text("Ana María"))
		require.Equal(t, []string{"ana", "Ana María"}, []string{info.Handle, info.Name})
		info = set(ana, text("ana.m"), nil)
		require.Equal(t, []string{"ana.m", "Ana María"}, []string{info.Handle, info.Name})
		_, err := d.ByHandle(ctx, "@ana")
		requireCode(t, "identity_unknown", err)

		// Taken, malformed and unknown change nothing; what is given up is free at once.
		for code, l := range map[string]Labels{"handle_taken": {Handle: text("ana.m"), Name: text("x")}, "handle_malformed": {Handle: text("A")}, "name_malformed": {Name: text("a\x00")}} {
			_, err = d.SetLabels(ctx, bob.ID(), l)
			requireCode(t, code, err)
		}
		_, err = d.SetLabels(ctx, testMaker, Labels{Name: text("x")})
		requireCode(t, "identity_unknown", err)
		require.Empty(t, set(bob, nil, nil).Name)
		info = set(ana, text(""), text(""))
		require.Equal(t, []string{"", ""}, []string{info.Handle, info.Name})
		require.Equal(t, ana.Events(), info.Events, "key events stay")
		require.Equal(t, "ana.m", set(bob, text("ana.m"), nil).Handle)
		require.Equal(t, "ana.m", set(bob, text("ana.m"), nil).Handle, "one's own is no other's")
	})
}

func TestOneHandleForOneIdentity(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open := database(t)
		const n = 6
		directories, keys := make([]*Directory, n), make([]*Keys, n)
		for i := range n {
			directories[i] = NewDirectory(open(), StdVerifier(), func() time.Time { return testTime })
			keys[i] = newKeys(t, SubjectPerson, byte(i))
			if i%2 == 0 {
				register(t, directories[i], keys[i], "", "")
			}
		}
		failures := make([]error, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if i%2 == 0 {
					_, failures[i] = directories[i].SetLabels(context.Background(), keys[i].ID(), Labels{Handle: text("wanted")})
				} else {
					_, _, failures[i] = directories[i].Register(context.Background(), keys[i].Events(), "wanted", "")
				}
			})
		}
		wg.Wait()
		got := 0
		for _, err := range failures {
			if err == nil {
				got++
				continue
			}
			requireCode(t, "handle_taken", err)
		}
		require.Equal(t, 1, got)
	})
}

// TestErasedLabelsLeaveTheDisk: no file of the database has them any more, the
// write-ahead log included.
func TestErasedLabelsLeaveTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(dir, "logline.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	d := NewDirectory(db, StdVerifier(), func() time.Time { return testTime })
	onDisk := func(what string) bool {
		t.Helper()
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, f := range files {
			raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
			if bytes.Contains(raw, []byte(what)) {
				return true
			}
		}
		return false
	}
	k := newKeys(t, SubjectPerson, 1)
	register(t, d, k, "quetzalcoatl", "Xochiquetzal Nezahualcóyotl")
	for i := range 40 { // neighbours, so that pages split and fill
		register(t, d, newKeys(t, SubjectPerson, byte(2+i)), "", "")
	}
	require.True(t, onDisk("quetzalcoatl"))
	_, err = d.SetLabels(t.Context(), k.ID(), Labels{Handle: text("popocatepetl"), Name: text("Iztaccíhuatl")})
	require.NoError(t, err)
	require.False(t, onDisk("quetzalcoatl"))
	require.False(t, onDisk("Xochiquetzal"))
	require.True(t, onDisk("popocatepetl"))
	_, err = d.SetLabels(t.Context(), k.ID(), Labels{Handle: text(""), Name: text("")})
	require.NoError(t, err)
	for _, word := range []string{"quetzalcoatl", "Xochiquetzal", "popocatepetl", "Iztacc"} {
		require.False(t, onDisk(word), word)
	}
}

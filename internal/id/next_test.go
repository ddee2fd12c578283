package id

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// TestNextKeyKeptElsewhere: a key file lives without its next key, changes all that
// needs none of it, and rotates and ends the identity only with it.
func TestNextKeyKeptElsewhere(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	seed, err := k.NextSeed()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "k.key")
	require.NoError(t, saveKeys(path, k, "right", 1))
	require.NoError(t, k.ForgetNext())
	require.NoError(t, replaceKeys(path, k, "right", 1))

	k, err = LoadKeys(path, func() (string, error) { return "right", nil })
	require.NoError(t, err)
	require.False(t, k.HoldsNext())
	plain, err := formatKeyFile(k)
	require.NoError(t, err)
	require.False(t, bytes.Contains(plain, []byte(span.B64(seed[:]))), "a thief of the file would have it")
	_, _, err = k.Delegate("phone", nil, "", testTime, source(2))
	require.NoError(t, err)
	for name, change := range map[string]func() error{
		"rotate": func() error { _, err := k.Rotate(testTime, source(3)); return err },
		"revoke": func() error { _, err := k.Revoke("", testTime); return err },
		"print":  func() error { _, err := k.NextSeed(); return err },
		"forget": k.ForgetNext,
	} {
		require.Equal(t, "next_key_absent", fault.CodeOf(change()), name)
	}
	require.Equal(t, "next_key_wrong", fault.CodeOf(k.TakeNext([32]byte{1})))
	require.NoError(t, k.TakeNext(seed))
	rotated, err := k.Rotate(testTime, source(3))
	require.NoError(t, err)
	require.Equal(t, NewSecretKey(seed).Public(), rotated.Key)
	require.True(t, k.HoldsNext())
	requireCode(t, "next_key_spent", k.TakeNext(seed))
	_, err = k.Revoke("", testTime)
	require.NoError(t, err)
	_, err = k.NextSeed()
	requireCode(t, "next_key_none", err)
	_, err = newGhost(t, "a").NextSeed()
	requireCode(t, "next_key_none", err)
}

// TestRecover: the events and the next key make the identity's keys anew, and end
// all others.
func TestRecover(t *testing.T) {
	t.Parallel()
	lost := newKeys(t, SubjectPerson, 1)
	first, err := lost.NextSeed()
	require.NoError(t, err)
	_, phone, err := lost.Delegate("phone", nil, "", testTime, source(2))
	require.NoError(t, err)
	k, event, err := Recover(lost.Events(), first, testTime, source(3))
	require.NoError(t, err)
	require.Equal(t, lost.ID(), k.ID())
	require.Equal(t, event.Raw, k.Events()[len(lost.Events())])
	require.Equal(t, NewSecretKey(first).Public(), k.Signer().Public())
	require.Error(t, k.Chain().MayAuthenticate(phone.Public(), testTime))
	require.NotEqual(t, lost.Secret(), k.Secret())
	path := filepath.Join(t.TempDir(), "k.key")
	require.NoError(t, SaveKeys(path, k, ""))
	back, err := LoadKeys(path, nil)
	require.NoError(t, err)
	require.Equal(t, k, back)

	second, err := k.NextSeed()
	require.NoError(t, err)
	refused := func(code string, events [][]byte, seed [32]byte) {
		t.Helper()
		_, _, err := Recover(events, seed, testTime, source(4))
		requireCode(t, code, err)
	}
	refused("next_key_spent", k.Events(), first)
	refused("next_key_wrong", lost.Events(), second)
	refused("inception_expected", nil, first)
	refused("inception_expected", k.Events()[1:], second)
	_, third, err := Recover(k.Events(), second, testTime, source(4))
	require.NoError(t, err)
	require.Equal(t, KindRotation, third.Kind)
	refused("next_key_spent", append(k.Events(), third.Raw), first)
	_, err = k.Revoke("", testTime)
	require.NoError(t, err)
	refused("identity_revoked", k.Events(), second)
}

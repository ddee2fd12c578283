package id

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// TestDevice: a device has a key of its own, which signs once the primary has delegated
// it and until it is withdrawn, and makes no key event.
func TestDevice(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	device, err := NewDevice(k.Events(), source(2))
	require.NoError(t, err)
	require.True(t, device.IsDevice())
	require.False(t, k.IsDevice())
	require.False(t, device.Approved())
	require.Equal(t, k.ID(), device.ID())
	path := filepath.Join(t.TempDir(), "device.key")
	require.NoError(t, saveKeys(path, device, "right", 1))

	own := device.Signer().Public()
	require.NotEqual(t, k.Signer().Public(), own)
	_, err = k.DelegateKey(own, "laptop", []string{"**", TypeAPI}, "", "", testTime)
	require.NoError(t, err)
	require.NoError(t, device.Follow(k.Events()))
	require.True(t, device.Approved())
	require.NoError(t, replaceKeys(path, device, "right", 1))
	device, err = LoadKeys(path, func() (string, error) { return "right", nil })
	require.NoError(t, err)
	require.True(t, device.Approved())
	require.Equal(t, own, device.Delegated(own).Public())
	token, err := SignToken(device.Signer(), device.ID(), here, testTime, MaxTokenLife)
	require.NoError(t, err)
	identity, key, err := verifyToken(t, token, here, testTime, chainsOf(k))
	require.NoError(t, err)
	require.Equal(t, k.ID(), identity)
	require.Equal(t, own, key)

	seed, err := k.NextSeed()
	require.NoError(t, err)
	ghost := newGhost(t, "a")
	for name, change := range map[string]func() error{
		"rotate":     func() error { _, err := device.Rotate(testTime, source(3)); return err },
		"revoke":     func() error { _, err := device.Revoke("", testTime); return err },
		"delegate":   func() error { _, _, err := device.Delegate("x", nil, "", testTime, source(3)); return err },
		"undelegate": func() error { _, err := device.Undelegate(own, testTime); return err },
		"claim":      func() error { _, err := ghost.ClaimBy(device, testTime); return err },
		"sheet":      func() error { _, err := device.NextSeed(); return err },
		"take next":  func() error { return device.TakeNext(seed) },
		"forget":     device.ForgetNext,
	} {
		require.Equal(t, "device_key_alone", fault.CodeOf(change()), name)
	}
	require.Equal(t, k.Events(), device.Events())

	_, err = k.Undelegate(own, testTime)
	require.NoError(t, err)
	before := device.Events()
	requireCode(t, "device_events_other", device.Follow(newKeys(t, SubjectPerson, 4).Events()))
	requireCode(t, "device_events_other", device.Follow(before[:1]))
	require.Error(t, device.Follow(append(k.Events(), before[1])))
	require.Equal(t, before, device.Events(), "nothing is taken of what is refused")
	require.NoError(t, device.Follow(k.Events()))
	require.False(t, device.Approved())
	require.Nil(t, device.Delegated(own))
	_, err = NewDevice(nil, source(5))
	requireCode(t, "inception_expected", err)

	plain, err := formatKeyFile(device)
	require.NoError(t, err)
	for name, change := range map[string]func(object){
		"with a primary":   func(o object) { o["primary"] = o["device"] },
		"with a next":      func(o object) { o["next"] = o["device"] },
		"with a delegated": func(o object) { o["delegated"] = []any{o["device"]} },
		"without any":      func(o object) { delete(o, "device") },
		"short":            func(o object) { o["device"] = "AA" },
	} {
		_, err := parseKeyFile(edit(t, plain, change))
		require.Error(t, err, name)
	}
}

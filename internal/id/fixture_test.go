package id

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

const testStamp = "2026-01-02T03:04:05.678Z"

// source is reproducible randomness, a stream of its own for each seed.
func source(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newKeys(t testing.TB, subject string, seed byte) *Keys {
	t.Helper()
	k, err := NewKeys(subject, testTime, source(seed))
	require.NoError(t, err)
	return k
}

func newKey(seed byte) *SecretKey { return NewSecretKey([32]byte{seed, 0xAA}) }

func newGhost(t testing.TB, actor string) *Keys {
	t.Helper()
	k, err := GhostKeys(make([]byte, 32), "tenant", "git", actor)
	require.NoError(t, err)
	return k
}

// object is a key event being forged.
type object = map[string]any

// forge seals an event of any form, by another way than the package does: the
// JCS comes from a generic object.
func forge(t testing.TB, event object, by *SecretKey, counter ...*SecretKey) []byte {
	t.Helper()
	body, err := json.Marshal(event)
	require.NoError(t, err)
	body, err = span.Canonicalize(body)
	require.NoError(t, err)
	message := append([]byte("logline.key.v1\n"), body...)
	sealed := object{}
	for k, v := range event {
		sealed[k] = v
	}
	sealed["signature"] = object{"key": by.Public(), "value": span.B64(by.Sign(message))}
	if len(counter) > 0 {
		sealed["counter"] = object{"key": counter[0].Public(), "value": span.B64(counter[0].Sign(message))}
	}
	raw, err := json.Marshal(sealed)
	require.NoError(t, err)
	return raw
}

// edit changes a sealed event without signing it again; nil removes a member.
func edit(t testing.TB, raw []byte, change func(object)) []byte {
	t.Helper()
	var o object
	require.NoError(t, json.Unmarshal(raw, &o))
	change(o)
	out, err := json.Marshal(o)
	require.NoError(t, err)
	return out
}

// fold folds events as anybody would who got them; claimers are the
// identities known beside.
func fold(v Verifier, events [][]byte, claimers ...*Chain) (*Chain, error) {
	var c *Chain
	for _, raw := range events {
		e, err := ParseEvent(raw)
		if err != nil {
			return nil, err
		}
		if c == nil {
			c, err = Begin(e, v)
		} else {
			var claimer *Chain
			for _, k := range claimers {
				if k.ID() == e.By {
					claimer = k
				}
			}
			_, err = c.Apply(e, v, claimer)
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

func requireCode(t testing.TB, code string, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
}

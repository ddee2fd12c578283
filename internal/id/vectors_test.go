package id

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// TestVectorsKeyEvents runs the protocol's key-event vectors and knows nothing
// of them but their form.
func TestVectorsKeyEvents(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../../testdata/vectors/key-events.json")
	require.NoError(t, err)
	var vectors struct {
		Keys   []struct{ Label, Seed, Public string }
		Accept []struct {
			ID            string
			Events        []json.RawMessage
			ClaimerEvents []json.RawMessage `json:"claimer_events"`
		}
		Refuse []struct {
			Why    string
			Events []json.RawMessage
		}
	}
	require.NoError(t, json.Unmarshal(src, &vectors))
	require.NotEmpty(t, vectors.Keys)
	require.NotEmpty(t, vectors.Accept)
	require.NotEmpty(t, vectors.Refuse)

	events := func(raw []json.RawMessage) [][]byte {
		out := make([][]byte, len(raw))
		for i, r := range raw {
			out[i] = r
		}
		return out
	}
	for name, v := range map[string]Verifier{"std": StdVerifier(), "fast": FastVerifier()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, k := range vectors.Keys {
				seed, err := span.ParseB64(k.Seed, 32)
				require.NoError(t, err)
				require.Equal(t, k.Public, NewSecretKey([32]byte(seed)).Public(), k.Label)
			}
			var claimers []*Chain
			for _, c := range vectors.Accept {
				if c.ClaimerEvents != nil {
					claimer, err := fold(v, events(c.ClaimerEvents))
					require.NoError(t, err, c.ID)
					claimers = append(claimers, claimer)
				}
				chain, err := fold(v, events(c.Events), claimers...)
				require.NoError(t, err, c.ID)
				require.Equal(t, c.ID, chain.ID())
				require.Equal(t, len(c.Events), chain.Len())
			}
			for _, c := range vectors.Refuse {
				// Only the last event is at fault.
				if last := len(c.Events) - 1; last > 0 {
					_, err := fold(v, events(c.Events[:last]), claimers...)
					require.NoError(t, err, c.Why)
				}
				_, err := fold(v, events(c.Events), claimers...)
				require.Error(t, err, c.Why)
				require.Contains(t, []fault.Kind{fault.Invalid, fault.Conflict}, fault.KindOf(err), c.Why)
				t.Logf("%s: %s", c.Why, fault.CodeOf(err))
			}
		})
	}
}

// What makes ghosts and claims makes those of the vectors, to the byte.
func TestVectorsGhosts(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../../testdata/vectors/key-events.json")
	require.NoError(t, err)
	var vectors struct {
		Keys   []struct{ Seed, Public string }
		Accept []struct {
			Events        []json.RawMessage
			ClaimerEvents []json.RawMessage `json:"claimer_events"`
		}
	}
	require.NoError(t, json.Unmarshal(src, &vectors))
	seeds := map[string][]byte{}
	for _, k := range vectors.Keys {
		seeds[k.Public], err = span.ParseB64(k.Seed, 32)
		require.NoError(t, err)
	}
	read := func(raw json.RawMessage) (*Event, time.Time) {
		e, err := ParseEvent(raw)
		require.NoError(t, err)
		at, err := span.ParseTime(e.Time)
		require.NoError(t, err)
		return e, at
	}
	claims := 0
	for _, c := range vectors.Accept {
		inception, at := read(c.Events[0])
		if inception.Subject != SubjectGhost {
			continue
		}
		ghost, err := NewGhost(inception.Expires, at, bytes.NewReader(seeds[inception.Key]))
		require.NoError(t, err)
		require.Equal(t, string(inception.Raw), string(ghost.Events()[0]))
		if c.ClaimerEvents == nil {
			continue
		}
		claim, at := read(c.Events[1])
		first, _ := read(c.ClaimerEvents[0])
		if seeds[first.Key] == nil {
			continue // not among the keys of the vectors
		}
		chain, err := Begin(first, StdVerifier())
		require.NoError(t, err)
		made, err := ghost.ClaimBy(&Keys{primary: NewSecretKey([32]byte(seeds[first.Key])), chain: chain}, at)
		require.NoError(t, err)
		require.Equal(t, string(claim.Raw), string(made.Raw))
		claims++
	}
	require.Positive(t, claims)
}

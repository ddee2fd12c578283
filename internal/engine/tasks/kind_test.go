package tasks

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func TestWaits(t *testing.T) {
	t.Parallel()
	k := NewKinds(Kind{Name: "k", First: time.Second, Longest: 10 * time.Second})["k"]
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 5000: 10 * time.Second} {
		require.Zero(t, k.wait(failures, 0), "full jitter")
		require.Equal(t, want/2, k.wait(failures, 0.5), failures)
	}
}

func TestTurn(t *testing.T) {
	t.Parallel()
	of := func(tenants ...string) (out []Task) {
		for _, tenant := range tenants {
			out = append(out, Task{Key: Key{Tenant: tenant}})
		}
		return out
	}
	for _, c := range []struct {
		before string
		list   []Task
		want   string
	}{
		{"b", of(), "b"}, {"", of("a", "c", "b"), "c"}, {"b", of("c", "d"), "d"}, {"b", of("d", "a", "c"), "a"}, {"b", of("a", "b"), "b"}, {"b", of("b"), "b"},
	} {
		require.Equal(t, c.want, turn(c.before, c.list), "%v", c)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	k := Key{"t", "019c0000-0000-7000-8000-000000000001", 12}
	got, err := ParseID("t", k.ID())
	require.NoError(t, err)
	require.Equal(t, k, got)
	for _, id := range []string{"", ".", "x.1", k.Origin, k.Origin + ".", k.Origin + ".-1", k.Origin + ".01", k.Origin + ".1.2", k.Origin + ".99999999999", k.Origin + ". 1"} {
		_, err := ParseID("t", id)
		require.ErrorIs(t, err, ErrUnknown, id)
	}
}

// FuzzParseID: what is taken for a task's name is exactly what names one.
func FuzzParseID(f *testing.F) {
	f.Add("019c0000-0000-7000-8000-000000000001.0")
	f.Add("019c0000-0000-7000-8000-000000000001.07")
	f.Fuzz(func(t *testing.T, id string) {
		k, err := ParseID("t", id)
		if err != nil {
			require.ErrorIs(t, err, ErrUnknown)
			return
		}
		require.Equal(t, id, k.ID())
		require.True(t, span.IsUUID(k.Origin))
		require.GreaterOrEqual(t, k.Action, 0)
	})
}

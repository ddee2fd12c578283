package fault_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// Sentinels are shared: whatever is added to one makes a copy.
func TestAdditionsLeaveTheSentinelAlone(t *testing.T) {
	t.Parallel()
	sentinel := fault.New(fault.Conflict, "taken", "it is taken").At("/a", "first").With("k", 1)
	cause := errors.New("secret cause")
	for range 2 { // twice, so that a shared backing array would show
		got := sentinel.At("/b", "second").With("k", 2).With("l", 3).After(time.Second).Because(cause)
		require.Equal(t, []fault.Field{{Pointer: "/a", Detail: "first"}, {Pointer: "/b", Detail: "second"}}, got.Fields)
		require.Equal(t, map[string]any{"k": 2, "l": 3}, got.Meta)
		require.ErrorIs(t, got, sentinel)
		require.ErrorIs(t, got, cause)
		require.Contains(t, got.Error(), "secret cause", "for the log")
		require.NotContains(t, got.Detail, "secret")
	}
	require.Equal(t, []fault.Field{{Pointer: "/a", Detail: "first"}}, sentinel.Fields)
	require.Equal(t, map[string]any{"k": 1}, sentinel.Meta)
	require.Zero(t, sentinel.RetryAfter)
	require.NotErrorIs(t, sentinel, fault.New(fault.Conflict, "other", "it is taken"))
}

func TestFrom(t *testing.T) {
	t.Parallel()
	require.Nil(t, fault.From(nil))
	require.Empty(t, fault.KindOf(nil))
	require.Empty(t, fault.CodeOf(nil))
	known := fault.Newf(fault.NotFound, "missing", "no %s", "x")
	require.Same(t, known, fault.From(fmt.Errorf("read: %w", known)))
	require.Equal(t, fault.NotFound, fault.KindOf(fmt.Errorf("read: %w", known)))

	foreign := errors.New("password=hunter2")
	f := fault.From(foreign)
	require.Equal(t, fault.Internal, f.Kind)
	require.Equal(t, "internal", fault.CodeOf(foreign))
	require.NotContains(t, f.Detail, "hunter2")
	require.ErrorIs(t, f, foreign)
}

package storage_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

func openURL(t *testing.T, url string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestChannel(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := openURL(t, d.URL)
	channel := func() *storage.Channel {
		c, err := db.Channel(t.Context(), `an "odd" name`)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := channel(), channel()
	long := strings.Repeat("x", 7999)
	for _, text := range []string{"one", long, "'; --", ""} {
		require.NoError(t, a.Send(t.Context(), text))
		for _, c := range []*storage.Channel{a, b} {
			got, err := c.Receive(t.Context())
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
	}
	// Nothing sent is waited for in vain, and the end of ctx is soon noticed.
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := b.Receive(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())

	c := channel()
	received := make(chan error, 1)
	go func() {
		_, err := c.Receive(context.Background())
		received <- err
	}()
	d.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	require.Equal(t, fault.Unavailable, fault.KindOf(<-received))
	require.Error(t, c.Send(t.Context(), "x"))
}

func TestChannelUnsupported(t *testing.T) {
	t.Parallel()
	_, err := openURL(t, "memory:").Channel(t.Context(), "c")
	require.Equal(t, "channel_unsupported", fault.CodeOf(err))
}

// A channel that is silent for long asks the server, and stays as it is.
func TestSilentChannel(t *testing.T) {
	t.Parallel()
	db := openURL(t, pgtest.New(t).URL)
	c, err := db.Channel(t.Context(), "c")
	require.NoError(t, err)
	defer c.Close()
	const idle = 50 * time.Millisecond
	c.SetIdle(idle)
	ctx, stop := context.WithCancel(t.Context())
	received := make(chan string)
	go func() {
		defer close(received)
		for {
			text, err := c.Receive(ctx)
			if err != nil {
				return
			}
			received <- text
		}
	}()
	for range 3 {
		select {
		case <-received:
			t.Fatal("the channel was given up")
		case <-time.After(10 * idle):
		}
		require.NoError(t, c.Send(t.Context(), "still here"))
		require.Equal(t, "still here", <-received)
	}
	stop()
	<-received // closed
}

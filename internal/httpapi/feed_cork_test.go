package httpapi

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// written is a connection that keeps every write.
type written struct {
	net.Conn
	writes [][]byte
	fails  error
}

func (w *written) Write(b []byte) (int, error) {
	if w.fails != nil {
		return 0, w.fails
	}
	w.writes = append(w.writes, bytes.Clone(b))
	return len(b), nil
}

func (w *written) SetWriteDeadline(time.Time) error { return nil }

func TestCorkHoldsUntilThereIsEnough(t *testing.T) {
	t.Parallel()
	under := &written{}
	c := &corkedConn{Conn: under, stall: time.Minute}
	write := func(b []byte) {
		n, err := c.Write(b)
		require.NoError(t, err)
		require.Equal(t, len(b), n)
	}
	some := bytes.Repeat([]byte("a"), corkBytes/2)
	write(some)
	write(some)
	require.Empty(t, under.writes)
	write([]byte("b")) // does not fit any more
	require.Equal(t, [][]byte{append(bytes.Clone(some), some...)}, under.writes)
	require.NoError(t, c.Flush())
	require.NoError(t, c.Flush(), "of nothing")
	require.Equal(t, [][]byte{[]byte("b")}, under.writes[1:])
	long := bytes.Repeat([]byte("c"), corkBytes+1)
	write([]byte("d"))
	write(long) // in order, whatever its length
	require.Equal(t, [][]byte{[]byte("d"), long}, under.writes[2:])
	write([]byte("e"))
	require.NoError(t, c.Uncork(time.Second))
	write([]byte("f"))
	require.Equal(t, [][]byte{[]byte("e"), []byte("f")}, under.writes[4:])
}

func TestCorkSaysWhatFails(t *testing.T) {
	t.Parallel()
	under := &written{fails: errors.New("gone")}
	c := &corkedConn{Conn: under, stall: time.Minute}
	_, err := c.Write([]byte("a"))
	require.NoError(t, err)
	require.ErrorIs(t, c.Flush(), under.fails)
	_, err = c.Write(bytes.Repeat([]byte("a"), corkBytes+1))
	require.ErrorIs(t, err, under.fails)
}

package httpapi

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// roomy gives out bytes and holds the room it is offered against what it gave.
type roomy struct {
	t    *testing.T
	data *bytes.Reader
	gave int
}

func (r *roomy) Read(p []byte) (int, error) {
	require.LessOrEqual(r.t, len(p), max(firstRoom, 4*r.gave), "after %d bytes", r.gave)
	n, err := r.data.Read(p[:min(len(p), 10_000)])
	r.gave += n
	return n, err
}

// TestRoomGrowsWithWhatComes: many connections that announce large bodies and
// send nothing must cost next to nothing.
func TestRoomGrowsWithWhatComes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, firstRoom - 1, firstRoom, firstRoom + 1, 2 << 20} {
		data := bytes.Repeat([]byte("x1"), n)[:n]
		for _, announced := range []int64{int64(n), -1} {
			held := 0
			hold := func(more int) error { held += more; return nil }
			got, err := readWhole(&roomy{t: t, data: bytes.NewReader(data)}, announced, n, hold)
			require.NoError(t, err)
			require.Equal(t, data, got)
			require.Equal(t, cap(got) > firstRoom, held > 0, "%d bytes of %d", held, n)
			require.LessOrEqual(t, cap(got)-firstRoom, held)
			if n == 0 {
				continue
			}
			_, err = readWhole(&roomy{t: t, data: bytes.NewReader(data[:n-1])}, int64(n), n, hold)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			_, err = readWhole(&roomy{t: t, data: bytes.NewReader(data)}, -1, n-1, hold)
			require.Equal(t, "body_too_large", fault.CodeOf(err))
		}
	}
	_, err := readWhole(bytes.NewReader(make([]byte, 2<<20)), 2<<20, 2<<20, func(int) error { return errRoom })
	require.ErrorIs(t, err, errRoom)
}

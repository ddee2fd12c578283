package httpapi

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
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
		got, err := readAnnounced(&roomy{t: t, data: bytes.NewReader(data)}, n)
		require.NoError(t, err)
		require.Equal(t, data, got)
		if n == 0 {
			continue
		}
		_, err = readAnnounced(&roomy{t: t, data: bytes.NewReader(data[:n-1])}, n)
		require.Error(t, err)
	}
}

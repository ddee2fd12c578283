package bundle

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzStateRows: a state file with any row in it is refused, or written again
// as a file that is read as the same state.
func FuzzStateRows(f *testing.F) {
	b := newBuilder(f, 1)
	b.story()
	var file bytes.Buffer
	left := verify(f, b.whole(), Options{}).State()
	require.NoError(f, left.Write(&file))
	var honest stateFile
	require.NoError(f, json.Unmarshal(file.Bytes(), &honest))
	require.Len(f, honest.Standing, len(left.rows))
	for _, row := range honest.Standing {
		f.Add(row.Key, []byte(row.Value))
	}
	f.Add("member/x", []byte(`["owner"]`))
	f.Add("pending/", []byte(`null`))
	f.Add("founding", []byte(`{}`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		changed := honest
		changed.Standing = append([]stateRow{{Key: key, Value: value}}, honest.Standing...)
		src, err := json.Marshal(changed)
		if err != nil {
			return // no JSON at all
		}
		state, err := ReadState(bytes.NewReader(src))
		if err != nil {
			require.Equal(t, "state_invalid", fault.CodeOf(err))
			return
		}
		var first, second strings.Builder
		require.NoError(t, state.Write(&first))
		again, err := ReadState(strings.NewReader(first.String()))
		require.NoError(t, err)
		require.NoError(t, again.Write(&second))
		require.Equal(t, first.String(), second.String())
		require.Equal(t, state.Size, again.Size)
		require.Equal(t, len(state.rows), len(again.rows))
	})
}

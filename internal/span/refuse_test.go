package span

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// TestRefusalsAreShort: a refusal does not send back the megabytes it refuses.
func TestRefusalsAreShort(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("ä", 1<<19)
	for _, src := range []string{
		`{"` + name + `":1e999}`, `{"` + name + `":1,"` + name + `":1}`, strings.Repeat(`{"`+name[:60_000]+`":`, 64) + `{`,
	} {
		_, err := Canonicalize([]byte(src))
		require.Error(t, err)
		pointer := fault.From(err).Fields[0].Pointer
		require.Less(t, len(pointer), 64*(maxToken+8))
		require.True(t, strings.HasPrefix(pointer, "/ää"))
	}
	_, err := Parse([]byte(`{"`+name+`":1}`), Limits{})
	require.Less(t, len(err.Error()), 2000)
}

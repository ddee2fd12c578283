package backup

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

// TestEmptyPayload: a payload without members, which most spans of a hurried
// person have, is in an archive like any other.
func TestEmptyPayload(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &writer{to: &out}
	require.NoError(t, w.line(entry{Line: jsontext.Value(`{}`), Payload: jsontext.Value(`{}`), Salt: "s", Detail: jsontext.Value(`{}`)}))
	require.NoError(t, w.line(entry{Line: jsontext.Value(`{"v":1}`)}))
	require.Equal(t, `{"line":{},"payload":{},"salt":"s","detail":{}}`+"\n"+`{"line":{"v":1}}`+"\n", out.String())
}

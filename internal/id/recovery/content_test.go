package recovery

import (
	"bytes"
	"compress/zlib"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// content is what the page's first stream draws.
func content(t *testing.T, page []byte) string {
	t.Helper()
	_, rest, found := bytes.Cut(page, []byte("stream\n"))
	require.True(t, found)
	r, err := zlib.NewReader(bytes.NewReader(rest))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

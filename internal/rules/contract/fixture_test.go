package contract_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// read compiles a file of testdata, which must be all right.
func read(t testing.TB, name string, o contract.Options) *contract.Contract {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return compile(t, string(text), o)
}

// compile compiles a source that must be all right, warnings included.
func compile(t testing.TB, source string, o contract.Options) *contract.Contract {
	t.Helper()
	file, all := lll.Parse("c.lll", source)
	require.Empty(t, all, file.RenderAll(all))
	c, found := contract.Compile(file, o)
	require.Empty(t, found, file.RenderAll(found))
	return c
}

// tester is a *testing.T, *testing.F or *rapid.T.
type tester interface {
	require.TestingT
	Helper()
}

// diagnose is what Parse and Compile say of a source, one line each.
func diagnose(t tester, source string, o contract.Options) []string {
	t.Helper()
	file, all := lll.Parse("c.lll", source)
	c, found := contract.Compile(file, o)
	require.Equal(t, lll.Failed(found), c == nil)
	var out []string
	for _, d := range append(all, found...) {
		out = append(out, file.Header(d))
	}
	return out
}

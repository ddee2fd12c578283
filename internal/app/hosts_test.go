package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNamesOfTheNode: what is set as its address names the node, and with it whose
// tokens it takes.
func TestNamesOfTheNode(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing":    {nil, nil},
		"hosts":      {map[string]string{"LOGLINE_HOSTS": "a.example, b:8080"}, []string{"a.example", "b:8080"}},
		"public URL": {map[string]string{"LOGLINE_PUBLIC_URL": "https://Log.example.com"}, []string{"log.example.com"}},
		"a script":   {map[string]string{"LOGLINE_PUBLIC_URL": "https://exämple.com"}, nil},
		"both":       {map[string]string{"LOGLINE_PUBLIC_URL": "https://log.example.com:8443", "LOGLINE_HOSTS": "a.example"}, []string{"a.example", "log.example.com:8443"}},
	} {
		cfg, _, err := Load(sources(t, "", c.env))
		require.NoError(t, err, name)
		names, err := (&App{cfg: cfg}).names()
		require.NoError(t, err, name)
		require.Equal(t, c.want, names.Hosts, name)
		require.False(t, names.Must)
	}
	_, _, err := Load(sources(t, "", map[string]string{"LOGLINE_HOSTS": "https://a.example"}))
	require.ErrorContains(t, err, "without a scheme")
}

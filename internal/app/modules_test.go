package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

// Every route of the API's document belongs to exactly one module that exists,
// so that --list-modules tells of all and each can be switched off.
func TestEveryRouteHasItsModule(t *testing.T) {
	t.Parallel()
	spec, err := spectest.Load()
	require.NoError(t, err)
	var documented, listed []string
	for path, item := range spec.Document.Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	for _, m := range Modules() {
		listed = append(listed, m.Routes...)
	}
	require.ElementsMatch(t, documented, listed)
}

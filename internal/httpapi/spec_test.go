package httpapi_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

func TestRoutesAreTheDocuments(t *testing.T) {
	t.Parallel()
	spec, err := spectest.Load()
	require.NoError(t, err)
	var documented, served []string
	for path, item := range spec.Document.Paths.Map() {
		for method, op := range item.Operations() {
			documented = append(documented, method+" "+path)
			require.NotEmpty(t, op.OperationID, path)
			require.NotNil(t, op.Responses.Default(), "%s %s does not say what its problems look like", method, path)
		}
	}
	for _, r := range httpapi.New(httpapi.Deps{}).Routes() {
		if strings.HasSuffix(r.Path, "/tile/*") {
			continue // the document's tile path, where the index has more elements than a path can say
		}
		if r.Path == "/onboard" || r.Path == "/account" || r.Path == "/recover" || strings.HasPrefix(r.Path, "/onboard/") {
			continue // pages for people, no part of the API
		}
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		served = append(served, r.Method+" "+strings.Join(parts, "/"))
	}
	sort.Strings(documented)
	sort.Strings(served)
	require.Equal(t, documented, served)
}

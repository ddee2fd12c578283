package web

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAssets(t *testing.T) {
	t.Parallel()
	assets, err := Load()
	require.NoError(t, err)
	require.Contains(t, assets, "lib/receipts.js")
	tags := map[string]string{}
	for name, a := range assets {
		require.NotEmpty(t, a.Body, name)
		require.NotEmpty(t, a.Type, name)
		require.Empty(t, tags[a.ETag], "%s and %s have one tag", name, tags[a.ETag])
		tags[a.ETag] = name
	}
}

// Nothing is fetched from elsewhere, and each import names a file that is there.
func TestAssetsStandAlone(t *testing.T) {
	t.Parallel()
	assets, err := Load()
	require.NoError(t, err)
	imports := regexp.MustCompile(`(?m)^(?:import|export) .*from "([^"]+)";$|^import "([^"]+)";$`)
	elsewhere := regexp.MustCompile(`(?:src|href)="(?:https?:)?//|url\(|@import|\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write`)
	for name, a := range assets {
		body := string(a.Body)
		require.Empty(t, elsewhere.FindString(body), name)
		for _, found := range imports.FindAllStringSubmatch(body, -1) {
			from := found[1] + found[2]
			require.True(t, strings.HasPrefix(from, "./") || strings.HasPrefix(from, "../"), "%s imports %s", name, from)
			require.Contains(t, assets, path.Join(path.Dir(name), from), "%s imports it", name)
		}
	}
}

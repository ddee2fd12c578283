package contract

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// join makes all paths of up to n of these segments.
func join(segments []string, n int) []string {
	out := append([]string(nil), segments...)
	for last := out; n > 1; n-- {
		var next []string
		for _, head := range last {
			for _, s := range segments {
				next = append(next, head+"."+s)
			}
		}
		out = append(out, next...)
		last = next
	}
	return out
}

// A pattern that is said to cover another one matches all that the other does.
func TestCoveringIsSound(t *testing.T) {
	t.Parallel()
	plain := join([]string{"a", "*", "a*", "ab"}, 2)
	patterns := append([]string{"**", span.TypeMember}, plain...)
	for _, p := range plain {
		patterns = append(patterns, p+".**")
	}
	types := append(join([]string{"a", "ab", "b"}, 4), span.TypeMember)
	matches := func(p, typ string) bool { return names([]string{p}, typ) }
	said := 0
	for _, outer := range patterns {
		for _, inner := range patterns {
			if !covers(outer, inner) {
				continue
			}
			said++
			for _, typ := range types {
				if matches(inner, typ) {
					require.True(t, matches(outer, typ), "%s is said to cover %s, and not %s", outer, inner, typ)
				}
			}
		}
	}
	require.Greater(t, said, 2*len(patterns), "it is said of more than each itself")
}

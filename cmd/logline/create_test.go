package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func TestSlugOf(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Acme": "acme", "Ação & Cia. Lda": "acao-cia-lda", "  Voulez-Vous  ": "voulez-vous", "42 Days": "42-days",
		"": "", "???": "", "東京": "", "東京 Tokyo": "tokyo", "e\u0301cole": "ecole", "ﬁsh": "fish",
		strings.Repeat("ab ", 40):              strings.TrimRight(strings.Repeat("ab-", 21), "-"),
		"01890a5d-ac96-774b-bcce-b302099a8050": "", // a UUID would be taken for an id
	} {
		require.Equal(t, want, slugOf(name), "%q", name)
	}
}

// A name makes a slug that is one, that is its own slug;
// or it makes none.
func FuzzSlugOf(f *testing.F) {
	for _, seed := range []string{"Acme", "Ação & Cia. Lda", "???", "İstanbul", "\xff", strings.Repeat("a", 80)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		slug := slugOf(name)
		if slug == "" {
			return
		}
		require.True(t, span.ValidSlug(slug), "%q", slug)
		require.Equal(t, slug, slugOf(slug))
		require.Equal(t, slug, slugOf("  "+name), "what stands before it makes no difference")
	})
}

package web

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// TestCanonicalFormsAgree holds the browser's canonical JSON to the server's: the
// same documents are refused, and of the others the same bytes are hashed.
// LOGLINE_TEST_SEED repeats a run.
func TestCanonicalFormsAgree(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if given := os.Getenv("LOGLINE_TEST_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	docs := documents(rand.New(rand.NewPCG(seed, 1)), 4000)
	texts, want := make([]string, len(docs)), make([]*string, len(docs))
	taken := 0
	for i, doc := range docs {
		texts[i] = span.B64([]byte(doc))
		if canonical, err := span.Canonicalize([]byte(doc)); err == nil {
			text := span.B64(canonical)
			want[i] = &text
			taken++
		}
	}
	require.Greater(t, taken, len(docs)/4, "most documents are refused: they show little")
	require.Less(t, taken, len(docs)*19/20, "no document is refused: they show little")
	file := filepath.Join(t.TempDir(), "documents.json")
	body, err := json.Marshal(texts)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, body, 0o600))
	var got []*string
	inNode(t, &got, "testdata/canonical.js", file)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i], "LOGLINE_TEST_SEED=%d: %q", seed, docs[i])
	}
}

// documents are random JSON, some of it a byte away from JSON.
func documents(r *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		doc := []byte(object(r, 0))
		if r.IntN(3) == 0 {
			doc[r.IntN(len(doc))] = `{}[],:"\0e-.tn 19`[r.IntN(16)]
		}
		out[i] = string(doc)
	}
	return out
}

func object(r *rand.Rand, depth int) string {
	var members []string
	for range r.IntN(4) {
		members = append(members, text(r)+space(r)+":"+value(r, depth+1))
	}
	return "{" + strings.Join(members, ",") + space(r) + "}"
}

func value(r *rand.Rand, depth int) string {
	switch k := r.IntN(8); {
	case k == 0 && depth < 6:
		return object(r, depth)
	case k == 1 && depth < 6:
		return "[" + value(r, depth+1) + space(r) + "," + value(r, depth+1) + "]"
	case k == 2:
		return []string{"true", "false", "null"}[r.IntN(3)]
	case k < 6:
		return number(r)
	}
	return text(r)
}

func number(r *rand.Rand) string {
	switch r.IntN(6) {
	case 0:
		return fmt.Sprint(r.Int64N(1<<54) - 1<<53)
	case 1:
		return fmt.Sprint(r.NormFloat64())
	case 2:
		return fmt.Sprintf("%de%d", r.Int64N(1<<50), r.IntN(40)-30)
	case 3:
		return fmt.Sprintf("900719925474099%d.%d", r.IntN(3), r.IntN(3))
	case 4:
		return fmt.Sprintf("-%d.%05d", r.IntN(1000), r.IntN(100000))
	}
	return fmt.Sprintf("%g", r.ExpFloat64()*1e-7)
}

func text(r *rand.Rand) string {
	pieces := []string{"a", "b", "é", "€", "😀", "דּ", "\uffff", `\n`, `\u20ac`, `\ud83d\ude00`, `\ud800`, `\u0001`, `\/`, `\"`, "\x7f", "\u2028", "1", `\u0000`}
	var b strings.Builder
	for range r.IntN(4) {
		b.WriteString(pieces[r.IntN(len(pieces)*3)%len(pieces)])
	}
	return `"` + b.String() + `"`
}

func space(r *rand.Rand) string { return []string{"", "", "", " ", "\n", "\t", "\r"}[r.IntN(7)] }

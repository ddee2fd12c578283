package web

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/span"
)

// TestTypedSheetsAreReadAlike holds the page's reader of recovery sheets to the
// command line's: of sheets as people type them, with slips, both read the same, or
// refuse with the same words. LOGLINE_TEST_SEED repeats a run.
func TestTypedSheetsAreReadAlike(t *testing.T) {
	t.Parallel()
	dice := rand.Uint64()
	if given := os.Getenv("LOGLINE_TEST_SEED"); given != "" {
		var err error
		dice, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	r := rand.New(rand.NewPCG(dice, 2))
	texts, want := make([]string, 3000), make([]string, 3000)
	kinds := map[string]int{}
	for i := range texts {
		var seed [32]byte
		for at := range seed {
			seed[at] = byte(r.Uint32())
		}
		sheet, err := recovery.New("logline-id://5hjpakgtwztk3a74oqwg2r6x3wa3ddxuf2lkpnq52s2gh3tqwtwa", seed, "https://logline.example", time.UnixMilli(int64(r.Uint32())*1000))
		require.NoError(t, err)
		texts[i] = typed(r, sheet.Text())
		got, err := recovery.Parse([]byte(texts[i]))
		kinds[fault.CodeOf(err)]++
		if err != nil {
			want[i] = fault.CodeOf(err) + ": " + fault.From(err).Detail
			continue
		}
		seed = got.Seed()
		want[i] = got.Identity + " " + span.B64(seed[:])
	}
	for _, kind := range []string{"", "recovery_group", "recovery_length", "recovery_character", "recovery_identity", "recovery_checksum", "recovery_sheet_other"} {
		require.Greater(t, kinds[kind], 10, "few texts are %q: they show little", kind)
	}
	file := filepath.Join(t.TempDir(), "sheets.json")
	body, err := json.Marshal(texts)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, body, 0o600))
	var got []string
	inNode(t, &got, "testdata/sheets.js", file)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i], "LOGLINE_TEST_SEED=%d: %q", dice, texts[i])
	}
}

// slips is what a hand or a program puts where it does not belong.
const slips = "0123456789abcdefghijklmnopqrstuvwxyzABCOILUYZ :-–.,?\t\n\r\u00a0\u0085\u200b\ufeffé"

// typed is a text with up to three slips.
func typed(r *rand.Rand, text string) string {
	runes, all := []rune(text), []rune(slips)
	for range r.IntN(4) {
		at, c := 1+r.IntN(len(runes)-1), all[r.IntN(len(all))]
		switch r.IntN(4) {
		case 0:
			runes[at] = c
		case 1:
			runes = slices.Insert(runes, at, c)
		case 2:
			runes = slices.Delete(runes, at, at+1)
		case 3:
			runes[at], runes[at-1] = runes[at-1], runes[at]
		}
	}
	return string(runes)
}

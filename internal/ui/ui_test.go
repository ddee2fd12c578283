package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableAlignsAndCuts(t *testing.T) {
	t.Parallel()
	table := NewTable(">SEQ", "TYPE", "SUBJECT")
	table.Row("1", "git.commit", "short")
	table.Row("12345", "x", "a subject that is too long for the line")
	var b strings.Builder
	require.NoError(t, table.Write(&b, 40))
	require.Equal(t, "  SEQ  TYPE        SUBJECT\n    1  git.commit  short\n12345  x           a subject that is to…\n", b.String())
	for line := range strings.Lines(b.String()) {
		require.LessOrEqual(t, len([]rune(line)), 41)
	}
}

func TestTableTakesControlCharactersOut(t *testing.T) {
	t.Parallel()
	table := NewTable("A")
	table.Row("red \x1b[31m\r\nnot \u202e")
	var b strings.Builder
	require.NoError(t, table.Write(&b, 0))
	require.Equal(t, "A\nred  [31m  not\n", b.String())
}

func TestBarOnATerminalIsDrawnInPlaceAndTakenOff(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var b strings.Builder
	bar := NewBar(&b, "importing", true, 60, func() time.Time { return now })
	bar.Update(50, 100, time.Second)
	require.Contains(t, b.String(), "\rimporting  ██")
	require.Contains(t, b.String(), " 50%  50/100  50/s, 1.0 s left")
	size := b.Len()
	bar.Update(51, 100, time.Second) // too soon
	require.Equal(t, size, b.Len())
	bar.Finish()
	require.True(t, strings.HasSuffix(b.String(), " \r"))
	require.NotContains(t, b.String(), "\n")
}

func TestBarElsewhereIsAPlainLineNowAndThen(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var b strings.Builder
	bar := NewBar(&b, "importing", false, 0, func() time.Time { return now })
	bar.Update(500, 13019, time.Second)
	require.Empty(t, b.String())
	now = now.Add(6 * time.Second)
	bar.Update(5000, 13019, 5*time.Second)
	bar.Finish()
	require.Equal(t, "importing: 5,000 of 13,019 (38%), 1,000/s, 8.0 s left\n", b.String())
}

func TestNumbersInWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0.4 s", Duration(400*time.Millisecond))
	require.Equal(t, "12 s", Duration(12*time.Second))
	require.Equal(t, "3 min 05 s", Duration(185*time.Second))
	require.Equal(t, "2 h 10 min", Duration(130*time.Minute))
	require.Equal(t, "1,000,000", Count(1e6))
	require.Equal(t, "-999", Count(-999))
	require.Equal(t, "1 entry", Plural(1, "entry", "entries"))
	require.Equal(t, "1,002 entries", Plural(1002, "entry", "entries"))
}

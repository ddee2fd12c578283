package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func TestCursorsBeginWhereTheyAreSent(t *testing.T) {
	t.Parallel()
	made, err := cursorAt(span.B64([]byte("\x01digestof\x00\x00\x00\x00\x00\x00\x00\x07")), 5_000_000)
	require.NoError(t, err)
	raw, err := span.ParseB64(made, 17)
	require.NoError(t, err)
	require.Equal(t, "\x01digestof\x00\x00\x00\x00\x00\x4c\x4b\x40", string(raw))
	_, err = cursorAt("abc", 1)
	require.ErrorContains(t, err, "no cursor")
}

func TestIDsOfBodies(t *testing.T) {
	t.Parallel()
	line := func(id string) string { return `{"author":"a","id":"` + id + `","payload":{}}` + "\n" }
	const first, second, third = "0198d2a0-0000-7000-8000-000000000001", "0198d2a0-0000-7000-8000-000000000002", "0198d2a0-0000-7000-8000-000000000003"
	require.Equal(t, []string{first, second, third}, spanIDs([][]byte{[]byte(line(first) + line(second)), []byte(line(third))}))
}

func TestTheFirstSeqOfAnAnswer(t *testing.T) {
	t.Parallel()
	seq, err := seqIn([]byte(`{"entry":{"decision":{"outcome":"allow"},"recorded_at":"","seq":42,"span":{"seq":1}}}`))
	require.NoError(t, err)
	require.EqualValues(t, 42, seq)
	_, err = seqIn([]byte(`{"error":1}`))
	require.ErrorContains(t, err, "no seq")
}

func TestTheDatabaseOfAServersArguments(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"--database-url", "postgres://x"}, databaseArgs([]string{"serve", "--data-dir", "d", "--database-url", "postgres://x"}))
	require.Empty(t, databaseArgs([]string{"serve", "--data-dir", "d"}))
}

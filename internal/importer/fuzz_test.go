package importer

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// FuzzReadCommit: whatever git writes, each nine fields ended by NUL are one
// commit, field by field, with a payload that a span can hold; what is left
// over is an end in the middle.
func FuzzReadCommit(f *testing.F) {
	f.Add([]byte("c1\x00t1\x00\x001700000000\x00a@x\x00A\x00a@x\x00A\x00First\x00c2\x00t2\x00c1 c0\x00-1\x00b@x\x00B\x00c@x\x00C\x00Merge\x00"))
	f.Add([]byte("c\x00t\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("c\x00t\x00p\x0099999999999999999999\x00\xff\x00\xed\xa0\x80\x00e\x00n\x00" + "x" + strings.Repeat("é", 5000) + "\x00rest"))
	f.Fuzz(func(t *testing.T, src []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(src), 64)
		parts := strings.Split(string(src), "\x00")
		for ; len(parts) > fields; parts = parts[fields:] {
			item, err := readCommit(r)
			require.NoError(t, err)
			want := make([]string, fields)
			for i := range want {
				want[i] = strings.ToValidUTF8(parts[i], "\uFFFD")
			}
			require.Equal(t, want[fieldCommit], item.SourceID)
			require.Equal(t, want[fieldCommit], item.Subject)
			require.Equal(t, want[fieldAuthor], item.Actor)
			require.Equal(t, want[fieldAuthorName], item.ActorName)
			require.Equal(t, strings.Join(strings.Fields(want[fieldParents]), " "), strings.Join(item.Causes, " "))
			require.Equal(t, len(item.Causes) > 1, item.Type == TypeMerge)
			require.Equal(t, want[fieldCommitter] != want[fieldAuthor], len(item.People) == 1)
			subject := item.Payload["subject"].(string)
			require.True(t, utf8.ValidString(subject))
			require.LessOrEqual(t, len(subject), maxSubjectLine)
			require.True(t, strings.HasPrefix(want[fieldSubject], subject))
			require.Equal(t, subject != want[fieldSubject], item.Payload["subject_truncated"] == true)
			_, kept := item.Payload["commit_time"]
			require.Equal(t, !SpanTime(item.Time).Equal(item.Time), kept)
			_, err = span.ParseTime(span.FormatTime(SpanTime(item.Time)))
			require.NoError(t, err)
			_, err = span.Canonical(item.Payload)
			require.NoError(t, err)
		}
		_, err := readCommit(r)
		require.ErrorIs(t, err, map[bool]error{true: io.EOF, false: io.ErrUnexpectedEOF}[len(parts) == 1 && parts[0] == ""])
		require.Equal(t, len(parts) == 1 && parts[0] == "", errors.Is(err, io.EOF))
	})
}

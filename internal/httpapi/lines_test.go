package httpapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzLines holds reading lines against splitting the whole.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\nb \r\n\t\nlast"), 3, false)
	f.Add(bytes.Repeat([]byte("x"), 200), 10, true)
	f.Add([]byte("\n"), 1, false)
	f.Add([]byte("12345\n123456\n"), 5, true)
	f.Add(bytes.Repeat([]byte("x"), 192), 191, false) // full buffers alone, and no end of line
	f.Fuzz(func(t *testing.T, src []byte, limit int, slow bool) {
		limit = min(max(limit, 1), 1000)
		var r io.Reader = bytes.NewReader(src)
		if slow {
			r = iotest.OneByteReader(r)
		}
		br := bufio.NewReaderSize(r, 16) // the smallest: lines longer than the buffer are the hard case
		for i, want := range bytes.Split(src, []byte("\n")) {
			got, err := readLine(br, limit)
			last := errors.Is(err, io.EOF)
			require.Equal(t, i == bytes.Count(src, []byte("\n")), last, "line %d", i)
			if len(want) > limit {
				require.Equal(t, codeLineTooLarge, fault.CodeOf(err))
				require.Empty(t, got)
				continue
			}
			require.True(t, err == nil || last, "%v", err)
			require.Equal(t, string(bytes.TrimSpace(want)), string(got))
		}
	})
}

func TestReadLineBrokenOff(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "half", "whole\nhalf"} {
		q := newLineQueue()
		src := io.MultiReader(bytes.NewReader([]byte(text)), iotest.ErrReader(io.ErrUnexpectedEOF))
		require.True(t, readLines(src, 100, q))
		lines := q.take(nil)
		require.Equal(t, codeLineIncomplete, fault.CodeOf(lines[len(lines)-1].err))
		require.Empty(t, q.take(nil))
	}
}

func TestLineQueueIsBounded(t *testing.T) {
	t.Parallel()
	q := newLineQueue()
	for i := range queueLines {
		require.True(t, q.put(numbered{number: i + 1, bytes: []byte("x")}))
	}
	waiting := make(chan bool)
	go func() { waiting <- q.put(numbered{number: queueLines + 1}) }()
	select {
	case <-waiting:
		t.Fatal("the queue took more than it holds")
	default:
	}
	require.Len(t, q.take(nil), chunkLines)
	require.True(t, <-waiting)
	big := make([]byte, queueBytes)
	go func() { waiting <- q.put(numbered{bytes: big}) }()
	q.close()
	require.False(t, <-waiting, "a closed queue lets nobody wait")
	require.Len(t, q.take(nil), chunkLines)
	require.Len(t, q.take(nil), 1)
	require.Empty(t, q.take(nil))
}

// TestLinesThatCameTogetherAreTakenTogether: who waits is told of the first line
// of a read when all of its lines are there, and of blank ones never.
func TestLinesThatCameTogetherAreTakenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newLineQueue()
		r, w := io.Pipe()
		read := make(chan bool, 1)
		go func() { read <- readLines(r, 100, q) }()
		taken := make(chan int, 1)
		for _, lines := range []int{1, 50, 400} {
			go func() { taken <- len(q.take(nil)) }()
			synctest.Wait() // it waits for the first
			_, err := io.WriteString(w, strings.Repeat("x\n", lines)+"\n\n")
			require.NoError(t, err)
			require.Equal(t, lines, <-taken)
		}
		require.NoError(t, w.Close())
		require.True(t, <-read)
		require.Empty(t, q.take(nil))
	})
}

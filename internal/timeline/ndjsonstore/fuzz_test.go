package ndjsonstore

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// sampleBatch has something of everything.
func sampleBatch() *timeline.Batch {
	tl := storetest.NewTimeline("a")
	b := tl.Batch(storetest.Spec{N: 1, Tags: []string{"t"}, Causes: []string{storetest.ID(9)}},
		storetest.Spec{N: 2, Status: timeline.StatusPending, Targets: []string{storetest.ID(1)}, Refuses: storetest.ID(7)}, storetest.Spec{N: 3})
	b.State = []standing.Row{{Key: "k", Value: []byte("v")}, {Key: "gone"}}
	b.Statuses = []standing.StatusChange{{Seq: 0, Status: timeline.StatusReverted}}
	b.Redacted = []uint64{1}
	b.Embedded = []string{storetest.Identity("x")}
	b.Earlier = []timeline.Note{{Size: 1, Text: []byte("one")}}
	return b
}

// FuzzCommit: a commit that is read is one that was written: no byte of it can
// change, and what it says lies within its own size.
func FuzzCommit(f *testing.F) {
	line, err := appendCommit(nil, sampleBatch())
	require.NoError(f, err)
	f.Add(line, uint16(0), byte(0))
	f.Add(line, uint16(40), byte(1))
	f.Add([]byte(`{}`), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, line []byte, at uint16, flip byte) {
		c, err := parseCommit(line)
		if err != nil {
			return
		}
		rows := make([]timeline.Row, c.Size-c.From)
		for i := range rows {
			rows[i] = timeline.Row{Seq: c.From + uint64(i)}
		}
		b := c.batch("t", rows)
		for _, s := range b.Statuses {
			require.Less(t, s.Seq, c.Size)
		}
		for _, id := range b.Spent {
			require.Less(t, id.Seq, c.Size)
		}
		if flip != 0 && int(at) < len(line) {
			line[at] ^= flip
			_, err := parseCommit(line)
			require.Error(t, err, "one byte changed and nobody noticed")
		}
	})
}

// FuzzContent: what is put in comes out, and its erased form takes its place.
func FuzzContent(f *testing.F) {
	f.Add(uint64(0), "salt", []byte(`{"n":1}`), []byte(`{"notes":[]}`), []byte(`{"seq":0,"payload":1}`))
	f.Add(uint64(1<<53), "", []byte(nil), []byte(nil), []byte(`{"seq":9007199254740992}`))
	f.Fuzz(func(t *testing.T, seq uint64, salt string, payload, detail, raw []byte) {
		var any timeline.Record
		any.Seq = seq
		if readContent(raw, &any) == nil {
			require.True(t, IsContent(seq, raw))
			require.True(t, any.Payload == nil || json.Valid(any.Payload))
		}
		// JCS: one value, no newline; nil for none.
		jcs := func(b []byte) []byte {
			if !json.Valid(b) || !bytes.Equal(bytes.TrimSpace(b), b) || bytes.ContainsAny(b, "\n\r") || string(b) == "null" {
				return nil
			}
			return b
		}
		salt = string(bytes.ToValidUTF8([]byte(salt), nil))
		r := timeline.Row{Seq: seq, Salt: salt, Payload: jcs(payload), Detail: jcs(detail)}
		line := AppendContent([]byte("before"), &r)[len("before"):]
		require.NotContains(t, string(line), "\n")
		got := timeline.Record{Seq: seq}
		require.NoError(t, readContent(line, &got))
		require.Equal(t, string(r.Payload), string(got.Payload))
		require.Equal(t, string(r.Detail), string(got.Detail))
		require.Equal(t, salt, got.Salt)
		erased := ErasedContent(seq, len(line))
		require.Len(t, erased, len(line))
		require.True(t, IsContent(seq, erased))
		require.Error(t, readContent(erased, &got))
	})
}

func FuzzRecord(f *testing.F) {
	raw, err := Record(sampleBatch().Create)
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`{"id":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parseRecord(raw)
		if err != nil {
			return
		}
		again, err := Record(r)
		require.NoError(t, err)
		back, err := parseRecord(again)
		require.NoError(t, err)
		require.Equal(t, r, back)
	})
}

// aTimeline is the files of a small timeline.
func aTimeline(t testing.TB) (*faultfs.FS, *storetest.Timeline) {
	fsys := faultfs.New(rand.New(rand.NewPCG(1, 1)))
	s, err := Open(context.Background(), "/d", fuzzConfig(fsys))
	require.NoError(t, err)
	tl := storetest.NewTimeline("a")
	for n := range 4 {
		b := tl.Batch(storetest.Spec{N: 2 * n, NoDetail: true}, storetest.Spec{N: 2*n + 1, NoDetail: true})
		require.NoError(t, s.Append(context.Background(), b))
		tl.Done(b)
	}
	require.NoError(t, s.Close())
	return fsys, tl
}

func fuzzConfig(fsys segment.FS) Config {
	return Config{FS: fsys, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Limits: segment.Limits{Lines: 3}}
}

// FuzzFiles changes a timeline's files: cut short, bytes changed, something
// behind. It opens as a timeline that was, or not at all and says what is wrong.
func FuzzFiles(f *testing.F) {
	for which := range byte(8) {
		f.Add(which, uint16(3), byte(0), []byte("tail"))
		f.Add(which, uint16(200), byte(1), []byte{})
		f.Add(which, uint16(65535), byte(0), []byte("half a line\n{}\n"))
	}
	f.Fuzz(func(t *testing.T, which byte, at uint16, flip byte, tail []byte) {
		fsys, tl := aTimeline(t)
		home := filepath.Join("/d", tl.Tenant.ID)
		path := []string{
			filepath.Join(home, LinesDir, segment.Name(4)), filepath.Join(home, PayloadsDir, segment.Name(4)),
			filepath.Join(home, commitsDir, segment.Name(3)), filepath.Join(home, LinesDir, segment.Name(0)),
			filepath.Join(home, PayloadsDir, segment.Name(0)), filepath.Join(home, commitsDir, segment.Name(0)),
			filepath.Join(home, indexFile), filepath.Join(home, RecordFile),
		}[which%8]
		if which%8 != 6 && which&8 == 0 {
			require.NoError(t, fsys.Remove(filepath.Join(home, indexFile)))
		}
		h, err := fsys.Open(path, false)
		require.NoError(t, err)
		size, err := h.Size()
		require.NoError(t, err)
		switch {
		case flip != 0 && int64(at) < size:
			one := make([]byte, 1)
			_, _ = h.ReadAt(one, int64(at))
			_, err = h.WriteAt([]byte{one[0] ^ flip}, int64(at))
		case int64(at) < size:
			err = h.Truncate(int64(at))
			size = int64(at)
			fallthrough
		default:
			if len(tail) > 0 {
				_, err = h.WriteAt(tail, size)
			}
		}
		require.NoError(t, err)
		s, err := Open(context.Background(), "/d", fuzzConfig(fsys))
		if err != nil {
			require.Equal(t, "timeline_damaged", fault.CodeOf(err), "%v", err)
			return
		}
		head, err := s.Head(context.Background(), tl.Tenant.ID)
		require.NoError(t, err)
		require.Zero(t, head.Size%2, "half a batch")
		if head.Size == tl.Head.Size {
			require.Equal(t, tl.Head, head)
		} else {
			require.Equal(t, byte(2), which%8, "committed entries are gone, and it is not the last commit that is")
		}
		// It goes on from there.
		require.NoError(t, s.Close())
		s, err = Open(context.Background(), "/d", fuzzConfig(fsys))
		require.NoError(t, err)
		again, err := s.Head(context.Background(), tl.Tenant.ID)
		require.NoError(t, err)
		require.Equal(t, head, again)
		require.NoError(t, s.Close())
	})
}

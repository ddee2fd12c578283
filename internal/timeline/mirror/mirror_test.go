package mirror_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/mirror"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// world is a timeline and what mirrors it.
type world struct {
	t     *testing.T
	store *memstore.Store
	story *storetest.Story
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: memstore.New()}
	w.story = storetest.NewStory(t, w.store, "acme", "")
	return w
}

func (w *world) mirror(cfg mirror.Config) *mirror.Mirror {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if cfg.Limits == (segment.Limits{}) {
		cfg.Limits = segment.Limits{Lines: 100}
	}
	return mirror.New(w.store, bus.New(), cfg)
}

// once takes the folder, brings everything up to date, and gives it back.
func (w *world) once(cfg mirror.Config) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	require.NoError(w.t, w.mirror(cfg).Run(ctx, cancel))
}

// tree of files: path without folders above the mirror, and content.
func (w *world) files(dir string) map[string][]byte {
	w.t.Helper()
	out := map[string][]byte{}
	require.NoError(w.t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "logline.lock" {
			return err
		}
		out[strings.TrimPrefix(path, dir)], err = os.ReadFile(path)
		return err
	}))
	return out
}

// joined is the lines of one folder, in order of file name.
func joined(files map[string][]byte, tenant, folder string) [][]byte {
	var lines [][]byte
	for first := 0; ; {
		raw, ok := files["/"+filepath.Join(tenant, folder, segment.Name(uint64(first)))]
		if !ok {
			return lines
		}
		lines = append(lines, bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))...)
		if len(lines) == first {
			return lines
		}
		first = len(lines)
	}
}

// requireMirrored holds the files against the store.
func (w *world) requireMirrored(files map[string][]byte, payloads bool) {
	t := w.t
	t.Helper()
	head, err := w.store.Head(t.Context(), w.story.Tenant)
	require.NoError(t, err)
	lines, content := joined(files, w.story.Tenant, "lines"), joined(files, w.story.Tenant, "payloads")
	require.Equal(t, int(head.Size), len(lines))
	if !payloads {
		require.Empty(t, content)
	} else {
		require.Equal(t, len(lines), len(content))
	}
	for seq := uint64(0); seq < head.Size; {
		records, err := w.store.Range(t.Context(), w.story.Tenant, seq, head.Size)
		require.NoError(t, err)
		for _, r := range records {
			require.Equal(t, string(r.Line), string(lines[seq]))
			if payloads {
				var c struct {
					Seq      uint64
					Redacted bool
					Salt     string
					Payload  json.RawMessage
				}
				require.NoError(t, json.Unmarshal(content[seq], &c))
				require.Equal(t, seq, c.Seq)
				require.Equal(t, r.Redacted, c.Redacted)
				require.Equal(t, string(r.Payload), string(c.Payload))
				require.Equal(t, r.Salt, c.Salt)
			}
			seq++
		}
	}
	require.Equal(t, string(head.Checkpoint), string(files["/"+w.story.Tenant+"/checkpoint"]))
	requireRoot(t, files, w.story.Tenant)
}

// requireRoot needs nothing but the mirror: its lines make the root that its
// checkpoint signs.
func requireRoot(t *testing.T, files map[string][]byte, tenant string) {
	t.Helper()
	note, err := tree.ParseNote(files["/"+tenant+"/checkpoint"])
	require.NoError(t, err)
	edge := &tree.Range{}
	for _, line := range joined(files, tenant, "lines") {
		edge.Append(span.LeafHash(line), nil)
	}
	require.Equal(t, note.Size, edge.End())
	require.Equal(t, note.Root, edge.Root())
	var record struct {
		Origin string
		LogKey string `json:"log_key"`
	}
	require.NoError(t, json.Unmarshal(files["/"+tenant+"/tenant.json"], &record))
	if record.Origin == note.Origin.String() { // of the epoch in which the mirror began
		require.NoError(t, note.Verify(record.LogKey))
	}
}

func TestMirrorFollows(t *testing.T) {
	t.Parallel()
	for _, payloads := range []bool{false, true} {
		t.Run(fmt.Sprint("payloads ", payloads), func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t), t.TempDir()
			cfg := mirror.Config{Dir: dir, Payloads: payloads}
			w.once(cfg)
			w.requireMirrored(w.files(dir), payloads)
			for n := range 4 {
				w.story.Append(w.story.Plain(1 + 60*n)...)
				w.once(cfg)
				w.requireMirrored(w.files(dir), payloads)
			}
			before := w.files(dir)
			w.once(cfg)
			require.Equal(t, before, w.files(dir), "nothing new, nothing written")
			if !payloads {
				require.NotContains(t, string(bytes.Join(joined(before, w.story.Tenant, "lines"), nil)), "diary\"}")
				cfg.Payloads = true // they are written for the lines that are there
				w.once(cfg)
				w.requireMirrored(w.files(dir), true)
			}
		})
	}
}

// redaction erases a span.
func (w *world) redaction(d timeline.Draft) timeline.Draft {
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: d.Span.ID, HeaderHash: d.Span.Header.Hash().String()}}, Reason: "asked for"})
	require.NoError(w.t, err)
	return w.story.By(span.TypeRedaction, string(payload))
}

// resolution lets a pending span happen.
func (w *world) resolution(d timeline.Draft, n byte) timeline.Draft {
	payload, err := span.Canonical(span.Resolution{Span: d.Span.ID, HeaderHash: d.Span.Header.Hash().String(), Outcome: span.ResolutionExecuted})
	require.NoError(w.t, err)
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	h := span.Header{
		ID: span.NewID(at, [10]byte{n}), Tenant: w.story.Tenant, Author: w.story.Node.ID(), Type: span.TypeResolution,
		Time: span.FormatTime(at), Status: span.StatusExecuted, Visibility: span.VisibilityPublic,
	}
	sp, err := id.SealSpan(w.story.Node.Signer(), h, payload, make([]byte, 16))
	require.NoError(w.t, err)
	return timeline.Draft{Span: sp, Decision: span.Decision{Outcome: span.OutcomeAllow}}
}

// erasures appends spans, mirrors them by between, and erases them: one by a
// redaction, one by a redaction that was pending for a while.
func (w *world) erasures(between func()) {
	one, two := w.story.By("note.taken", `{"s":"xyzzy one"}`), w.story.By("note.taken", `{"s":"xyzzy two"}`)
	w.story.Append(one, two)
	between()
	w.story.Append(w.redaction(one))
	between()
	pending := w.redaction(two)
	pending.Decision.Outcome = span.OutcomePending
	w.story.Append(pending)
	between()
	w.story.Append(w.resolution(pending, 1))
	between()
}

func TestErasuresReachTheMirror(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	var seen []string
	w.erasures(func() {
		w.once(mirror.Config{Dir: dir, Payloads: true})
		w.requireMirrored(w.files(dir), true)
		all := ""
		for _, content := range w.files(dir) {
			for _, word := range []string{"xyzzy one", "xyzzy two"} {
				if bytes.Contains(content, []byte(word)) {
					all += word[6:]
				}
			}
		}
		seen = append(seen, all)
	})
	require.Equal(t, []string{"onetwo", "two", "two", ""}, seen)

	err := w.mirror(mirror.Config{Dir: dir}).Run(t.Context(), func() {})
	require.Equal(t, "mirror_payloads_kept", fault.CodeOf(err), "redactions would not reach them any more")
}

// TestMirrorEveryCallFails makes each call of a mirror fail in each way, and
// goes on with another process or after a power cut.
func TestMirrorEveryCallFails(t *testing.T) {
	t.Parallel()
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for kind := faultfs.Fail; kind <= faultfs.CutAfter; kind++ {
		t.Run(fmt.Sprint("fault ", kind), func(t *testing.T) {
			t.Parallel()
			for n, more := 0, true; more; n++ {
				for seed := range seeds {
					w := &world{t: t, store: memstore.New()}
					w.story = storetest.NewStory(t, w.store, "acme", "")
					fsys := faultfs.New(rand.New(rand.NewPCG(uint64(n), uint64(seed))))
					fsys.FailAt(n, kind)
					var log bytes.Buffer
					cfg := mirror.Config{Dir: "/mirror", FS: fsys, Payloads: true, Log: slog.New(slog.NewTextHandler(&log, nil))}
					m := w.mirror(cfg)
					round := func() { _ = m.Round(t.Context(), "") }
					require.NoError(t, fsys.Mkdir("/"))
					w.erasures(round)
					more = fsys.Calls() > n
					next := fsys.Powered()
					if seed%2 == 1 {
						next = fsys.Restarted()
					}
					cfg.FS = next
					m = w.mirror(cfg)
					require.NoError(t, m.Check(t.Context()))
					require.NoError(t, m.Round(t.Context(), ""))
					require.NotContains(t, log.String(), "ERROR", "call %d, seed %d:\n%s", n, seed, strings.Join(fsys.Log, "\n"))
					files := map[string][]byte{}
					next.Walk(func(path string, content []byte) { files[strings.TrimPrefix(path, "/mirror")] = content })
					w.requireMirrored(files, true)
				}
			}
		})
	}
}

func TestMirrorDoesNotFollowAnotherPast(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	w.once(mirror.Config{Dir: dir})
	older := memstore.New()
	again := storetest.NewStory(t, older, "acme", "") // the same bytes
	w.story.Append(w.story.Plain(1)...)
	w.once(mirror.Config{Dir: dir})
	before := w.files(dir)

	for name, grow := range map[string]int{"shorter": 0, "of another past": 3} {
		if grow > 0 {
			again.Append(again.By("other.thing", `{}`))
			again.Append(again.Plain(grow)...)
		}
		err := mirror.New(older, bus.New(), mirror.Config{Dir: dir}).Run(t.Context(), func() { t.Error("ready") })
		require.Equal(t, "mirror_diverged", fault.CodeOf(err), name)
		require.ErrorContains(t, err, w.story.Tenant)
		require.Equal(t, before, w.files(dir), name)
	}
	err := mirror.New(memstore.New(), bus.New(), mirror.Config{Dir: dir}).Run(t.Context(), func() {})
	require.Equal(t, "mirror_diverged", fault.CodeOf(err), "no such timeline")

	// While it runs: it stops at this timeline, says so once, and changes nothing.
	var log bytes.Buffer
	m := mirror.New(older, bus.New(), mirror.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, m.Round(t.Context(), ""))
	require.NoError(t, m.Round(t.Context(), ""))
	require.Equal(t, 1, strings.Count(log.String(), "not mirrored any further"), log.String())
	require.Equal(t, before, w.files(dir))
}

func TestDamagedMirrorIsLeftAlone(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	w.once(mirror.Config{Dir: dir})
	path := filepath.Join(dir, w.story.Tenant, "lines", segment.Name(0))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Replace(raw, []byte("note.taken"), []byte("note.faked"), 1), 0o600))
	before := w.files(dir)
	w.story.Append(w.story.Plain(1)...)
	var log bytes.Buffer
	w.once(mirror.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.Contains(t, log.String(), "mirror_damaged")
	require.Equal(t, before, w.files(dir))
}

// told is a file system that tells of renames.
type told struct {
	segment.Disk
	renamed chan string
}

func (f told) Rename(from, to string) error {
	err := f.Disk.Rename(from, to)
	if strings.HasSuffix(to, "checkpoint") {
		f.renamed <- to
	}
	return err
}

func TestMirrorIsWoken(t *testing.T) {
	t.Parallel()
	for name, poll := range map[string]time.Duration{"by the bus": time.Hour, "by itself": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t), t.TempDir()
			wakes := bus.New()
			fsys := told{renamed: make(chan string, 100)}
			m := mirror.New(w.store, wakes, mirror.Config{Dir: dir, FS: fsys, Poll: poll})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- m.Run(ctx, func() {}) }()
			<-fsys.renamed
			for range 3 {
				w.story.Append(w.story.Plain(2)...)
				if poll == time.Hour {
					wakes.Publish(bus.Appended{Tenant: w.story.Tenant, Size: 1})
				}
				<-fsys.renamed
			}
			cancel()
			require.NoError(t, <-ended)
			w.requireMirrored(w.files(dir), false)
			require.Zero(t, m.Lag())
		})
	}
}

// Wake-ups of one timeline do not keep a mirror from looking at the others, of
// which none came: they are appended to by another process.
func TestMirrorLooksAroundWhileItIsWoken(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	busy := storetest.NewStory(t, w.store, "busy", "").Tenant
	wakes := bus.New()
	fsys := told{renamed: make(chan string, 100)}
	m := mirror.New(w.store, wakes, mirror.Config{Dir: dir, FS: fsys, Poll: 200 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		every := time.NewTicker(time.Millisecond)
		defer every.Stop()
		for ctx.Err() == nil {
			wakes.Publish(bus.Appended{Tenant: busy, Size: 1})
			<-every.C
		}
	})
	var failed error
	running.Go(func() { failed = m.Run(ctx, func() {}) })
	<-fsys.renamed
	<-fsys.renamed // both timelines
	w.story.Append(w.story.Plain(2)...)
	select {
	case <-fsys.renamed:
	case <-time.After(time.Minute):
		t.Error("the timeline without wake-ups is not looked at")
	}
	cancel()
	running.Wait()
	require.NoError(t, failed)
	w.requireMirrored(w.files(dir), false)
}

// TestTornTailIsCut leaves half a line, and half a page, as a crash does.
func TestTornTailIsCut(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	cfg := mirror.Config{Dir: dir, Payloads: true}
	w.once(cfg)
	want := w.files(dir)
	for _, tail := range []string{"half a line", "\x00\x00\x00\n\x00", "{}\n"} {
		for _, folder := range []string{"lines", "payloads"} {
			f, err := os.OpenFile(filepath.Join(dir, w.story.Tenant, folder, segment.Name(0)), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(tail)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		w.once(cfg)
		require.Equal(t, want, w.files(dir))
	}
}

package outbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const (
	nodeID = "logline-id://one"
	tenant = "8f14e45f-ceea-867f-a5bd-1d6f6b5e3a11"
	other  = "8f14e45f-ceea-867f-a5bd-1d6f6b5e3a12"
)

// maker seals spans.
type maker struct {
	t    testing.TB
	keys *id.Keys
}

func newMaker(t testing.TB) maker {
	t.Helper()
	keys, err := id.NewKeys("person", time.Now(), rand.Reader)
	require.NoError(t, err)
	return maker{t, keys}
}

func (m maker) item(tenant, payload string) Item {
	m.t.Helper()
	now := time.Now()
	spanID, err := span.RandomID(now, rand.Reader)
	require.NoError(m.t, err)
	body, err := span.Canonicalize([]byte(payload))
	require.NoError(m.t, err)
	sealed, err := id.SealSpan(m.keys.Signer(), span.Header{
		ID: spanID, Tenant: tenant, Author: m.keys.ID(), Type: "note.written", Time: span.FormatTime(now),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, body, bytes.Repeat([]byte{7}, 16))
	require.NoError(m.t, err)
	return Item{Node: nodeID, KeptAt: now, Span: sealed, Raw: sealed.Canonical()}
}

// taking sends to a list that takes everything.
func taking(into *[]string) func(context.Context, []Item) ([]Verdict, error) {
	return func(_ context.Context, items []Item) ([]Verdict, error) {
		out := make([]Verdict, len(items))
		for i, item := range items {
			*into = append(*into, string(item.Raw))
			out[i] = Verdict{Outcome: Delivered}
		}
		return out, nil
	}
}

func TestSpansComeOutInOrderAsTheyWentIn(t *testing.T) {
	t.Parallel()
	b, m := Open(filepath.Join(t.TempDir(), "outbox", "p")), newMaker(t)
	status, err := b.Status()
	require.NoError(t, err)
	require.Zero(t, status)
	var want, got []string
	for i := range 250 {
		in := tenant
		if i%7 == 3 {
			in = other
		}
		item := m.item(in, fmt.Sprintf(`{"n":%d,"text":"<é & \u2028>"}`, i))
		want = append(want, string(item.Raw))
		added, err := b.Add(t.Context(), item, 1000, Fail)
		require.NoError(t, err)
		require.True(t, added.Kept)
		require.Equal(t, i+1, added.Waiting)
	}
	elsewhere := m.item(tenant, `{}`)
	elsewhere.Node = "logline-id://two"
	_, err = b.Add(t.Context(), elsewhere, 1000, Fail)
	require.NoError(t, err)
	info, err := os.Stat(b.Dir())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	sent, err := b.Send(t.Context(), nodeID, func(ctx context.Context, items []Item) ([]Verdict, error) {
		require.LessOrEqual(t, len(items), maxBatch)
		for _, item := range items {
			require.Equal(t, items[0].Span.Tenant, item.Span.Tenant)
		}
		return taking(&got)(ctx, items)
	})
	require.NoError(t, err)
	require.Equal(t, Sent{Delivered: 250, Waiting: 1}, sent)
	require.Equal(t, want, got)
	n, err := b.WaitingFor(nodeID)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = b.WaitingFor(elsewhere.Node)
	require.NoError(t, err)
	require.Equal(t, 1, n, "what is for another node stays")
}

func TestOneThatMustWaitHoldsBackThoseAfterIt(t *testing.T) {
	t.Parallel()
	b, m := Open(t.TempDir()), newMaker(t)
	var ids []string
	for range 4 {
		item := m.item(tenant, `{}`)
		ids = append(ids, item.Span.ID)
		_, err := b.Add(t.Context(), item, 10, Fail)
		require.NoError(t, err)
	}
	sent, err := b.Send(t.Context(), nodeID, func(context.Context, []Item) ([]Verdict, error) {
		return []Verdict{{Outcome: Delivered}, {}, {Outcome: Delivered}, {Outcome: Delivered}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, Sent{Delivered: 1, Waiting: 3}, sent)
	lost := errors.New("connection lost")
	sent, err = b.Send(t.Context(), nodeID, func(_ context.Context, items []Item) ([]Verdict, error) {
		require.Equal(t, ids[1], items[0].Span.ID)
		return []Verdict{{Outcome: Delivered}}, lost
	})
	require.ErrorIs(t, err, lost)
	require.Equal(t, Sent{Delivered: 1, Waiting: 2}, sent)
}

func TestRefusedSpansBlockNothingAndKeepTheirReason(t *testing.T) {
	t.Parallel()
	b, m := Open(t.TempDir()), newMaker(t)
	item := m.item(tenant, `{"a":1}`)
	_, err := b.Add(t.Context(), item, 10, Fail)
	require.NoError(t, err)
	_, err = b.Add(t.Context(), m.item(tenant, `{}`), 10, Fail)
	require.NoError(t, err)
	broken := "0000000000000003-01890a5d-ac96-774b-bcce-b302099a8057.span"
	require.NoError(t, os.WriteFile(filepath.Join(b.Dir(), broken), []byte("{\"v\":1}\n{\"not\":\"a span\"}\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(b.Dir(), atomicfile.Half+"x"), []byte("{\"v"), 0o600))
	sent, err := b.Send(t.Context(), nodeID, func(_ context.Context, items []Item) ([]Verdict, error) {
		return []Verdict{{Outcome: Refused, Reason: "the span is too old (span_time_window)"}, {Outcome: Delivered}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, sent.Delivered)
	require.Len(t, sent.Refused, 2)
	require.Contains(t, sent.Refused, filepath.Join("dead", broken))
	require.NoFileExists(t, filepath.Join(b.Dir(), atomicfile.Half+"x"))
	require.Zero(t, sent.Waiting)

	status, err := b.Status()
	require.NoError(t, err)
	require.Equal(t, 2, status.Dead)
	dead := filepath.Join(b.Dir(), "dead", "0000000000000001-"+item.Span.ID+suffix)
	content, err := os.ReadFile(dead)
	require.NoError(t, err)
	require.Contains(t, string(content), "span_time_window")
	require.Contains(t, string(content), string(item.Raw))

	// Moved back, it is sent again.
	require.NoError(t, os.Rename(dead, filepath.Join(b.Dir(), filepath.Base(dead))))
	var got []string
	sent, err = b.Send(t.Context(), nodeID, taking(&got))
	require.NoError(t, err)
	require.Equal(t, 1, sent.Delivered)
	require.Equal(t, []string{string(item.Raw)}, got)
}

func TestAFullOutbox(t *testing.T) {
	t.Parallel()
	b, m := Open(t.TempDir()), newMaker(t)
	var ids []string
	for range 3 {
		item := m.item(tenant, `{}`)
		ids = append(ids, item.Span.ID)
		_, err := b.Add(t.Context(), item, 3, Fail)
		require.NoError(t, err)
	}
	_, err := b.Add(t.Context(), m.item(tenant, `{}`), 3, Fail)
	require.Equal(t, "outbox_full", fault.CodeOf(err))
	require.Equal(t, fault.Unavailable, fault.KindOf(err))

	rejected := m.item(tenant, `{}`)
	added, err := b.Add(t.Context(), rejected, 3, RejectNew)
	require.NoError(t, err)
	require.False(t, added.Kept)
	require.Equal(t, 3, added.Waiting)
	require.Equal(t, rejected.Span.ID, added.Lost[0].ID)

	newest := m.item(tenant, `{}`)
	added, err = b.Add(t.Context(), newest, 2, DropOldest) // a lower limit than before
	require.NoError(t, err)
	require.True(t, added.Kept)
	require.Equal(t, 2, added.Waiting)
	require.Equal(t, []string{ids[0], ids[1]}, []string{added.Lost[0].ID, added.Lost[1].ID})
	require.Equal(t, "note.written", added.Lost[0].Type)

	var got []string
	_, err = b.Send(t.Context(), nodeID, taking(&got))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, string(newest.Raw), got[1])
	notes, err := os.ReadFile(filepath.Join(b.Dir(), "lost.ndjson"))
	require.NoError(t, err)
	require.Equal(t, 3, bytes.Count(notes, []byte("\n")), "all that was lost is written down")
	for line := range bytes.Lines(notes) {
		var l Lost
		require.NoError(t, json.Unmarshal(line, &l))
		require.Contains(t, []string{rejected.Span.ID, ids[0], ids[1]}, l.ID)
	}
}

// Several processes at once neither double nor lose a span, nor change the
// order of any of them.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), newMaker(t)
	const writers, each = 4, 30
	var mu sync.Mutex // guards got
	var got []string
	send := func(_ context.Context, items []Item) ([]Verdict, error) {
		mu.Lock()
		defer mu.Unlock()
		out := make([]Verdict, len(items))
		for i, item := range items {
			got = append(got, string(item.Raw))
			out[i].Outcome = Delivered
		}
		return out, nil
	}
	var writing, sending sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		sending.Go(func() {
			for {
				if _, err := Open(dir).Send(t.Context(), nodeID, send); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	items := make([][]Item, writers)
	for w := range writers {
		for n := range each {
			items[w] = append(items[w], m.item(tenant, fmt.Sprintf(`{"w":%d,"n":%d}`, w, n)))
		}
		writing.Go(func() {
			for _, item := range items[w] {
				if added, err := Open(dir).Add(t.Context(), item, 1000, DropOldest); err != nil || !added.Kept || len(added.Lost) > 0 {
					t.Errorf("%v %v", added, err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	sending.Wait()
	_, err := Open(dir).Send(t.Context(), nodeID, send)
	require.NoError(t, err)
	require.Len(t, got, writers*each)
	for w := range writers {
		at := -1
		for _, item := range items[w] {
			found := -1
			for i, raw := range got {
				if raw == string(item.Raw) {
					require.Equal(t, -1, found, "sent once")
					found = i
				}
			}
			require.Greater(t, found, at, "in order")
			at = found
		}
	}
}

// A process killed at any moment leaves an outbox with every span that it was
// told is kept. The child is this test again.
func TestKilledWhileKeeping(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("OUTBOX_TEST_CHILD"); dir != "" {
		m := newMaker(t)
		for {
			item := m.item(tenant, `{}`)
			if _, err := Open(dir).Add(t.Context(), item, 1<<30, Fail); err != nil {
				t.Fatal(err)
			}
			fmt.Println("kept " + item.Span.ID)
		}
	}
	dir := t.TempDir()
	kept := map[string]bool{}
	for round := range 5 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWhileKeeping$", "-test.v")
		cmd.Env = append(os.Environ(), "OUTBOX_TEST_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var said bytes.Buffer
		for enough := 20 + 7*round; bytes.Count(said.Bytes(), []byte("kept ")) < enough; {
			buf := make([]byte, 512)
			n, err := out.Read(buf)
			require.NoError(t, err, "%s", said.String())
			said.Write(buf[:n])
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		text := said.String()
		for line := range strings.SplitSeq(text[:strings.LastIndex(text, "\n")+1], "\n") {
			if spanID, ok := strings.CutPrefix(line, "kept "); ok {
				kept[spanID] = true
			}
		}
	}
	sentIDs := map[string]int{}
	sent, err := Open(dir).Send(t.Context(), nodeID, func(_ context.Context, items []Item) ([]Verdict, error) {
		out := make([]Verdict, len(items))
		for i, item := range items {
			sentIDs[item.Span.ID]++
			out[i].Outcome = Delivered
		}
		return out, nil
	})
	require.NoError(t, err)
	require.Empty(t, sent.Refused, "no file is torn")
	for spanID := range kept {
		require.Equal(t, 1, sentIDs[spanID])
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAFolderThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(filepath.Join(file, "outbox")).Add(t.Context(), newMaker(t).item(tenant, `{}`), 10, Fail)
	require.Equal(t, "outbox_unusable", fault.CodeOf(err))
}

// FuzzFile: a file is refused, or what is read from it makes the same again.
func FuzzFile(f *testing.F) {
	item := newMaker(f).item(tenant, `{"a":"é"}`)
	f.Add(item.encode(""))
	f.Add(item.encode("why"))
	f.Add([]byte("{}\n{}\n"))
	f.Add([]byte("{\"v\":1}\n" + strings.Repeat("[", 1000) + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		item, err := decode(content)
		if err != nil {
			require.ErrorIs(t, err, errFile)
			return
		}
		again, err := decode(item.encode(""))
		require.NoError(t, err)
		require.Equal(t, item.Raw, again.Raw, "the span is kept byte for byte")
		require.Equal(t, item.Span, again.Span)
		require.Equal(t, item.Node, again.Node)
		require.True(t, item.KeptAt.Equal(again.KeptAt))
	})
}

// While one process sends, others keep spans all the same; but none sends too,
// and none drops what may be on its way.
func TestWhileAnotherSends(t *testing.T) {
	t.Parallel()
	b, m := Open(t.TempDir()), newMaker(t)
	_, err := b.Add(t.Context(), m.item(tenant, `{}`), 1, Fail)
	require.NoError(t, err)
	busy, cancel := context.WithCancel(t.Context())
	cancel()
	sent, err := b.Send(t.Context(), nodeID, func(_ context.Context, items []Item) ([]Verdict, error) {
		if len(items) > 1 || items[0].Span.Type != "note.written" {
			return nil, errors.New("more than was there")
		}
		_, err := Open(b.Dir()).Send(busy, nodeID, func(context.Context, []Item) ([]Verdict, error) {
			t.Error("two send at once")
			return nil, nil
		})
		require.Equal(t, "outbox_busy", fault.CodeOf(err))
		_, err = Open(b.Dir()).Add(busy, m.item(tenant, `{}`), 1, DropOldest)
		require.Equal(t, "outbox_busy", fault.CodeOf(err))
		return []Verdict{{Outcome: Delivered}}, nil
	})
	require.NoError(t, err)
	require.Equal(t, Sent{Delivered: 1}, sent)
	_, err = b.Add(t.Context(), m.item(tenant, `{}`), 10, Fail)
	require.NoError(t, err)
	added := false
	_, err = b.Send(t.Context(), nodeID, func(ctx context.Context, items []Item) ([]Verdict, error) {
		if !added {
			added = true
			if _, err := Open(b.Dir()).Add(ctx, m.item(tenant, `{}`), 10, Fail); err != nil {
				return nil, err
			}
		}
		return []Verdict{{Outcome: Delivered}}, nil
	})
	require.NoError(t, err)
	status, err := b.Status()
	require.NoError(t, err)
	require.Zero(t, status.Waiting, "what came in meanwhile is sent too")
}

// The limit holds for all processes together.
func TestTheLimitIsSharedByAll(t *testing.T) {
	t.Parallel()
	dir, m := t.TempDir(), newMaker(t)
	const limit, writers, each = 10, 8, 10
	var items [writers][]Item
	for w := range writers {
		for range each {
			items[w] = append(items[w], m.item(tenant, `{}`))
		}
	}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			<-start
			for _, item := range items[w] {
				if _, err := Open(dir).Add(t.Context(), item, limit, Fail); err != nil && fault.CodeOf(err) != "outbox_full" {
					t.Error(err)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	status, err := Open(dir).Status()
	require.NoError(t, err)
	require.Equal(t, limit, status.Waiting)
}

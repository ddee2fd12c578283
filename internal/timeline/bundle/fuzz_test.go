package bundle

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// FuzzVerify looks for a bundle that verifies for the pinned node and is not
// the honest one, and for panics.
func FuzzVerify(f *testing.F) {
	b := newBuilder(f, 1)
	b.story()
	size := b.edge.End()
	for _, r := range [][2]uint64{{0, size}, {0, 3}, {4, 9}, {size, size}} {
		f.Add(b.write(r[0], r[1]))
	}
	whole := b.whole()
	lines := splitLines(whole)
	v := id.DefaultVerifier()
	f.Fuzz(func(t *testing.T, src []byte) {
		rep, err := Verify(context.Background(), bytes.NewReader(src), Options{Node: b.node.ID(), Verifier: v, Workers: 1})
		require.NoError(t, err)
		if !rep.OK {
			require.NotEmpty(t, rep.Problems)
			return
		}
		require.True(t, rep.Authenticated)
		got := splitLines(src)
		require.Len(t, got, int(rep.To-rep.From)+1)
		for i, line := range got[1:] { // withheld members apart, a line of an OK bundle is the honest one
			if !bytes.Contains(line, []byte(`"withheld"`)) && !bytes.HasPrefix(line, []byte(`{"leaf"`)) {
				require.Equal(t, strings.TrimSpace(string(lines[int(rep.From)+i+1])), strings.TrimSpace(string(line)))
			}
		}
		if rep.From > 0 || rep.To != rep.Size || rep.Hidden > 0 {
			return
		}
		reader, err := NewReader(bytes.NewReader(src), Options{}) // takes over exactly what was verified
		require.NoError(t, err)
		var read tree.Range
		for o, err := range reader.Entries() {
			require.NoError(t, err)
			read.Append(span.LeafHash(o.Entry.AppendLine(nil)), nil)
		}
		require.Equal(t, rep.To, read.End())
		require.Equal(t, rep.Root, read.Root().String())
	})
}

func FuzzReadState(f *testing.F) {
	b := newBuilder(f, 1)
	b.story()
	rep := verify(f, b.whole(), Options{})
	var out bytes.Buffer
	require.NoError(f, rep.State().Write(&out))
	f.Add(out.String())
	part := b.write(b.edge.End(), b.edge.End())
	f.Fuzz(func(t *testing.T, src string) {
		state, err := ReadState(strings.NewReader(src))
		if err != nil {
			return
		}
		_, err = Verify(context.Background(), bytes.NewReader(part), Options{State: state})
		require.NoError(t, err)
	})
}

// FuzzIdentities: a file of identities is what its lines are one by one, each
// under the id that its inception makes; it is refused if one of them is.
func FuzzIdentities(f *testing.F) {
	b := newBuilder(f, 1)
	line := func(keys *id.Keys) string {
		return `{"events":[` + string(bytes.Join(keys.Events(), []byte(","))) + `],"id":"x"}`
	}
	other, err := id.GhostKeys(make([]byte, 32), "t", "s", "a")
	require.NoError(f, err)
	f.Add(line(other))
	f.Add(line(other) + "\n\n" + `{"id":"x","events":[]}`)
	f.Add(`{"events":[` + string(bytes.Join(b.node.Events(), []byte(","))) + "]}\r\n" + line(other))
	v := id.DefaultVerifier()
	f.Fuzz(func(t *testing.T, src string) {
		got, err := readIdentities(context.Background(), strings.NewReader(src), v)
		want := map[string][]eventRef{}
		good := true
		for text := range strings.SplitSeq(src, "\n") {
			one, err := readIdentities(context.Background(), strings.NewReader(text), v)
			good = good && err == nil
			require.LessOrEqual(t, len(one), 1)
			for name, refs := range one {
				want[name] = refs
				var entry struct {
					Events []jsontext.Value `json:"events"`
				}
				require.NoError(t, json.Unmarshal([]byte(text), &entry))
				require.Len(t, refs, len(entry.Events))
				first, err := id.ParseEvent(entry.Events[0])
				require.NoError(t, err)
				require.Equal(t, name, first.IdentityID())
				require.Equal(t, refOf(first, 1), refs[0])
			}
		}
		require.Equal(t, good, err == nil, "%v", err)
		if !good {
			require.Equal(t, "identities_invalid", fault.CodeOf(err))
			return
		}
		require.Equal(t, want, got)
	})
}

func BenchmarkVerify(b *testing.B) {
	built := newBuilder(b, 1)
	built.grow(5000)
	src := built.whole()
	opt := Options{Verifier: id.DefaultVerifier()}
	for b.Loop() {
		if rep := verify(b, src, opt); !rep.OK {
			b.Fatal(rep.Problems)
		}
	}
	b.ReportMetric(float64(len(built.entries)*b.N)/b.Elapsed().Seconds(), "entries/s")
	b.SetBytes(int64(len(src)))
}

func BenchmarkWrite(b *testing.B) {
	built := newBuilder(b, 1)
	built.grow(5000)
	for b.Loop() {
		built.whole()
	}
	b.ReportMetric(float64(len(built.entries)*b.N)/b.Elapsed().Seconds(), "entries/s")
}

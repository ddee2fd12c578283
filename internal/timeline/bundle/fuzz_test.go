package bundle

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
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

func FuzzIdentities(f *testing.F) {
	b := newBuilder(f, 1)
	f.Add(`{"events":[` + string(bytes.Join(b.node.Events(), []byte(","))) + `]}`)
	v := id.DefaultVerifier()
	f.Fuzz(func(t *testing.T, src string) {
		_, _ = readIdentities(context.Background(), strings.NewReader(src), v)
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

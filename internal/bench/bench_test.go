package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFigures(t *testing.T) {
	t.Parallel()
	figures := []figure{
		{Group: "append", Name: "rate", Store: sqlite, Measured: 700, Unit: perSecond, Target: &target{"0.7 C", 700, atLeast}},
		{Group: "append", Name: "slow", Store: sqlite, Measured: 699, Unit: perSecond, Target: &target{"0.7 C", 700, atLeast}},
		{Group: "append", Name: "p50", Measured: 0.002, Unit: inSeconds, Target: &target{"2 bare commits", 0.002, atMost}},
		{Group: "append", Name: "late", Measured: 0.0021, Unit: inSeconds, Target: &target{"2 bare commits", 0.002, atMost}},
		{Group: "floors", Name: "t_verify", Measured: 31.5e-6, Unit: inSeconds, Note: "a floor"},
	}
	judge(figures)
	var out strings.Builder
	require.NoError(t, printTable(&out, figures))
	require.Equal(t, `GROUP   FIGURE    STORE   MEASURED    TARGET                  MET  NOTE
append  rate      sqlite     700/s   ≥ 700/s  0.7 C           yes
append  slow      sqlite     699/s   ≥ 700/s  0.7 C           no
append  p50                 2.0 ms  ≤ 2.0 ms  2 bare commits  yes
append  late                2.1 ms  ≤ 2.0 ms  2 bare commits  no
floors  t_verify           31.5 µs                                 a floor

2 of 4 targets met
`, out.String())
}

func TestFlags(t *testing.T) {
	t.Parallel()
	f, err := parse([]string{"--quick", "--only", "append,import", "--stores=sqlite"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, flags{quick: true, only: "append,import", stores: "sqlite", entries: 10_000_000, fillTime: 25 * time.Minute}, f)
	_, err = parse([]string{"--only", "apend"}, io.Discard)
	require.ErrorContains(t, err, `--only: there is no "apend"; choose of floors,append,`)
	_, err = parse([]string{"--stores", "sqlite mysql"}, io.Discard)
	require.ErrorContains(t, err, `--stores: there is no "mysql"`)
}

// A table that appends write and nobody counted would make t_write too small,
// and with it every target too high.
func TestEveryTableIsKnown(t *testing.T) {
	t.Parallel()
	require.NoError(t, knowTables([]string{"timeline_heads", "timeline_entries", checkpoints}))
	require.ErrorContains(t, knowTables([]string{"timeline_heads", "timeline_new"}), "timeline_new")
}

func TestProcessorTimes(t *testing.T) {
	t.Parallel()
	before := ownCPU()
	for begin := time.Now(); ownCPU() < before+50*time.Millisecond; {
		require.Less(t, time.Since(begin), time.Minute)
	}
	p, err := readProcess(os.Getpid())
	if os.IsNotExist(err) {
		t.Skip("this system has no /proc: PostgreSQL is left out of benchmarks there")
	}
	require.NoError(t, err)
	require.Equal(t, os.Getppid(), p.parent)
	require.GreaterOrEqual(t, p.cpu, 40*time.Millisecond)
	family, err := familyCPU(os.Getpid())
	require.NoError(t, err)
	require.GreaterOrEqual(t, family, p.cpu)
	require.GreaterOrEqual(t, busy(), p.cpu)
}

func TestHistory(t *testing.T) {
	t.Parallel()
	var sample, stream bytes.Buffer
	z := gzip.NewWriter(&sample)
	_, err := io.WriteString(z, `{"id":"a","parents":[],"author":"p-1","author_time":"2012-10-29T09:12:25-07:00","committer":"p-2","commit_time":"2012-10-29T09:12:26-07:00","subject":"é"}
{"id":"b","parents":["a"],"author":"p-1","author_time":"2012-10-29T09:12:25-07:00","committer":"p-1","commit_time":"2012-10-29T09:12:26-07:00","subject":"s"}
{"id":"c","parents":["a","b"],"author":"p-1","author_time":"2012-10-29T09:12:25-07:00","committer":"p-1","commit_time":"2012-10-29T09:12:26-07:00","subject":"m"}
`)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	packed := sample.Bytes()
	require.NoError(t, writeHistory(&stream, bytes.NewReader(packed), 0))
	commits := strings.Split(stream.String(), "commit refs/heads/main\n")[1:]
	require.Len(t, commits, 3)
	require.Equal(t, "mark :1\nauthor p-1 <p-1@example.org> 1351527145 +0000\ncommitter p-2 <p-2@example.org> 1351527146 +0000\ndata 2\né\n", commits[0])
	require.True(t, strings.HasSuffix(commits[2], "data 1\nm\nfrom :1\nmerge :2\n"))
	stream.Reset()
	require.NoError(t, writeHistory(&stream, bytes.NewReader(packed), 2))
	require.Equal(t, 2, strings.Count(stream.String(), "commit refs"))
}

func TestBareMemory(t *testing.T) {
	t.Parallel()
	line := append(bytes.Repeat([]byte("x"), 300), '\n')
	w := newBareMemory([][]byte{append(bytes.Clone(line), line...)})
	write, err := w.next(2)
	require.NoError(t, err)
	require.NoError(t, write(t.Context()))
	require.Equal(t, [][]byte{line, line}, w.kept)
}

func TestBareRowsAreComplete(t *testing.T) {
	t.Parallel()
	r := &rows{table: entries}
	for seq := range int64(4) {
		r.add([]string{"wrote", "seq"}, []any{seq, seq})
	}
	taken, err := r.below(3, 3)
	require.NoError(t, err)
	require.Equal(t, [][]any{{int64(0)}, {int64(1)}, {int64(2)}}, taken)
	_, err = r.below(5, 2)
	require.ErrorContains(t, err, "1 of 2 entries")
}

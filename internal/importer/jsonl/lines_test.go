package jsonl

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/span"
)

const plainMap = "name: n\nundated: true\nid: .id\ntype: '\"a\"'\n"

func gzipped(t testing.TB, src []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(src)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

func zstded(t testing.TB, src []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return z.EncodeAll(src, nil)
}

func TestInputsAreToldApartByTheirFirstBytes(t *testing.T) {
	t.Parallel()
	lines := []byte("\ufeff{\"id\":\"1\"}\r\n\n  \r\n{\"id\":\"2\"}\n{\"id\":\"3\"}")
	for name, input := range map[string][]byte{
		"plain": lines, "gzip": gzipped(t, lines), "zstd": zstded(t, lines), "two gzips": append(gzipped(t, lines), gzipped(t, nil)...),
	} {
		items, rejects := importLines(t, parseMap(t, plainMap), input)
		require.Empty(t, rejects, name)
		require.Len(t, items, 3, name)
		require.Equal(t, int64(4), items[1].Ref.(*Reject).Line, name)
	}
	items, rejects := importLines(t, parseMap(t, plainMap))
	require.Empty(t, items)
	require.Empty(t, rejects)
}

func TestBrokenInputSaysAfterWhichLine(t *testing.T) {
	t.Parallel()
	var lines []byte
	for i := range 5000 {
		lines = fmt.Appendf(lines, "{\"id\":\"%d\",\"x\":%d}\n", i, i*i*7919)
	}
	for name, whole := range map[string][]byte{"gzip": gzipped(t, lines), "zstd": zstded(t, lines)} {
		var rejects []Reject
		n := 0
		for _, err := range sourceOf(parseMap(t, plainMap), whole[:len(whole)/2], 0, &rejects).Items(t.Context()) {
			if err != nil {
				require.Equal(t, "input_broken", fault.CodeOf(err), name)
				require.Contains(t, err.Error(), "after line", name)
				n = -n
				break
			}
			n++
		}
		require.LessOrEqual(t, n, 0, "%s: it ends with an error", name)
	}
}

func TestBombsAreStoppedEarlyInLittleMemory(t *testing.T) {
	t.Parallel()
	line := append(bytes.Repeat([]byte(" "), 1<<20), "{}\n"...)
	bomb := bytes.Repeat(line, 24)
	for name, input := range map[string][]byte{"gzip": gzipped(t, bomb), "zstd": zstded(t, bomb), "one line": gzipped(t, bytes.Repeat([]byte("x"), 24<<20))} {
		var rejects []Reject
		var last error
		for _, err := range sourceOf(parseMap(t, plainMap), input, 1000, &rejects).Items(t.Context()) {
			last = err
		}
		require.Equal(t, "input_expands_too_far", fault.CodeOf(last), name)
	}
}

func TestALineWithoutEndIsKeptOnlyInPart(t *testing.T) {
	t.Parallel()
	var rejects []Reject
	src := New(parseMap(t, plainMap), Config{
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(&repeating{line: bytes.Repeat([]byte("x"), 1<<16), left: 1000}), nil
		},
		MaxLine: 1000,
		Reject:  func(r Reject) error { rejects = append(rejects, r); return nil },
	})
	for range src.Items(t.Context()) {
		require.Fail(t, "no item")
	}
	require.Len(t, rejects, 1)
	require.Equal(t, "line_too_large", rejects[0].Code)
	require.Equal(t, int64(1000<<16), rejects[0].Length)
	require.Len(t, rejects[0].Raw, 1000)
	require.LessOrEqual(t, cap(rejects[0].Raw), 4096)
}

// Whatever the input's length, what is held is bounded by the limits.
func TestMemoryDoesNotGrowWithTheInput(t *testing.T) {
	// Not parallel: it measures this process.
	endless := &repeating{line: []byte(`{"id":"1","x":"` + strings.Repeat("y", 1000) + "\"}\n"), left: 300_000} // 300 MB
	src := New(parseMap(t, plainMap), Config{
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(endless), nil },
		Reject: func(Reject) error { return errors.New("rejected") },
	})
	if testing.Short() {
		endless.left = 30_000
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n, want := 0, endless.left
	most := uint64(0)
	for _, err := range src.Items(t.Context()) {
		require.NoError(t, err)
		if n++; n%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapAlloc)
		}
	}
	require.Equal(t, want, n)
	require.Less(t, most, before.HeapAlloc+16<<20)
}

// repeating is a line many times.
type repeating struct {
	line []byte
	left int
	rest []byte
}

func (r *repeating) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.rest = r.line
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func TestOneLineOfManyRecordsIsRejectedOnceAndTheGoodOnesGoIn(t *testing.T) {
	t.Parallel()
	m := parseMap(t, plainMap+"records: .[]\n")
	items, rejects := importLines(t, m, []byte(`[{"id":"1"},{},{"id":{}},{"id":"4"}]`), []byte(`[]`), []byte(`5`))
	require.Len(t, items, 2)
	require.Len(t, rejects, 2)
	require.Contains(t, rejects[0].Reason, "id: the record has no id")
	require.Contains(t, rejects[1].Reason, "records: cannot iterate over: number")
	m = parseMap(t, plainMap+"records: 'range(100001) | {id: tostring}'\n")
	items, rejects = importLines(t, m, []byte(`{}`))
	require.Len(t, items, maxRecords)
	require.Contains(t, rejects[0].Reason, "more than 100000 records")
}

func TestTheSourceStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	var rejects []Reject
	src := sourceOf(parseMap(t, plainMap), []byte(strings.Repeat("{\"id\":\"1\"}\n", 10)), 0, &rejects)
	n := 0
	for range src.Items(t.Context()) {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range src.Items(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}
	full := errors.New("disk full")
	src = New(parseMap(t, plainMap), Config{
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x\n{\"id\":\"1\"}\n")), nil },
		Reject: func(Reject) error { return full },
	})
	for _, err := range src.Items(t.Context()) {
		require.ErrorIs(t, err, full, "an import does not go on when a reject cannot be kept")
	}
}

func TestRejectsAreImportedAgainAsTheyWere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rejects")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	r := NewRejects(path)
	raws := []string{"#comment", "#rejected line 9: trick", "{\"id\":", "\x00\xff\r", `{"id":"good"}`}
	for i, raw := range raws {
		require.NoError(t, r.AddUnread(Reject{Line: int64(i + 1), Code: "c", Reason: "why\nso", Raw: []byte(raw), Length: int64(len(raw))}))
	}
	require.NoError(t, r.AddRefused(Reject{Line: 5, Code: "c", Raw: []byte(`{"id":"good"}`), Length: 13}))
	require.NoError(t, r.AddRefused(Reject{Line: 5, Code: "c", Raw: []byte(`{"id":"good"}`), Length: 13}), "a line is rejected once")
	require.Equal(t, int64(6), r.Count())
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(written, []byte("#rejected line 1: why so (c)\n#comment\n")), string(written))

	items, rejects := importLines(t, parseMap(t, plainMap), written)
	require.Len(t, items, 2)
	require.Len(t, rejects, 4)
	for i, reject := range rejects {
		require.Equal(t, raws[i], string(reject.Raw), "as it was")
	}
	require.Equal(t, "rejects_unwritable", fault.CodeOf(NewRejects(filepath.Join(path, "x")).AddUnread(Reject{Line: 1})))
}

// FuzzLines: every line of any input is yielded, rejected, or empty; none is
// longer in memory than the limit; rejected lines, written to a file and read
// again, are rejected again for the same reason.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"id\":\"1\"}\n\n[1]\n{\"id\":2,\"a\":1e400}\r\n#rejected x\n#rejected y\n"), 64)
	f.Add([]byte("{\"id\":\"1\"}"), 4)
	f.Add(gzipped(f, []byte("{\"id\":\"1\"}\nx")), 100)
	f.Add(zstded(f, []byte("{\"id\":\"1\"}\nx")), 100)
	m := parseMap(f, plainMap)
	f.Fuzz(func(t *testing.T, input []byte, limit int) {
		limit = 1 + max(0, limit)%4096
		items, rejects := readAll(t, m, input, limit)
		for _, item := range items {
			requireUsable(t, item.SourceID, item.Type, item.Body)
			require.LessOrEqual(t, len(item.Ref.(*Reject).Raw), limit)
		}
		var file bytes.Buffer
		for _, r := range rejects {
			require.NotEmpty(t, r.Code)
			require.LessOrEqual(t, len(r.Raw), limit)
			if r.Length > int64(len(r.Raw)) {
				return // cut: another line now
			}
			fmt.Fprintf(&file, "%sline\n%s\n", rejectMark, r.Raw)
		}
		again, same := readAll(t, m, file.Bytes(), max(limit, 64))
		require.Empty(t, again)
		require.Len(t, same, len(rejects))
		for i := range same {
			require.Equal(t, rejects[i].Reason, same[i].Reason)
		}
	})
}

func readAll(t *testing.T, m *Map, input []byte, limit int) (items []importer.Item, rejects []Reject) {
	t.Helper()
	for item, err := range sourceOf(m, input, limit, &rejects).Items(t.Context()) {
		if err != nil {
			require.Contains(t, []string{"input_broken", "input_expands_too_far"}, fault.CodeOf(err), "%v", err)
			break
		}
		items = append(items, item)
	}
	return items, rejects
}

// FuzzBigNumbers: quoting changes nothing but numbers, and leaves small ones.
func FuzzBigNumbers(f *testing.F) {
	f.Add([]byte(`{"a":9007199254740993,"b":"9007199254740993","c":[1,-1e999]}`))
	f.Add([]byte(`"\`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		quoted := quoteBigNumbers(raw)
		require.Equal(t, quoted, quoteBigNumbers(quoted), "twice is once")
		require.Equal(t, strings.ReplaceAll(string(raw), `"`, ""), strings.ReplaceAll(string(quoted), `"`, ""))
		if _, canonical, err := parse(raw); err == nil && canonical != nil {
			_, err := span.Canonicalize(canonical)
			require.NoError(t, err, "what is read is what a span can hold")
		}
	})
}

// BenchmarkRecords reads and maps records, without signing or sending.
func BenchmarkRecords(b *testing.B) {
	for _, c := range []struct{ file, mapping string }{
		{"travel-permits", "../../../docs/maps/travel-permits.yaml"}, {"panther-audit", "../../../docs/maps/panther-audit.yaml"},
	} {
		b.Run(c.file, func(b *testing.B) {
			m, err := LoadMap(c.mapping)
			require.NoError(b, err)
			src := New(m, Config{
				Open:   OpenFile(filepath.Join(testData(b), c.file, "events.jsonl.gz")),
				Reject: func(Reject) error { return errors.New("rejected") },
			})
			for n := 0; n < b.N; {
				for _, err := range src.Items(b.Context()) {
					require.NoError(b, err)
					if n++; n >= b.N {
						break
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

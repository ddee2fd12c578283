// Command bench measures a node as its callers see it: appends a second and
// latencies over HTTP with real signatures, beside bare SQLite inserts of the
// very same rows in the same batch sizes, in the same run; the importer on a
// real history; and the two signature verifiers.
//
// The server is a process of its own, started afresh for each case; its callers
// share the machine with it. Spans are signed beforehand. "make bench" runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// report is what --json writes.
type report struct {
	Go       string         `json:"go"`
	CPUs     int            `json:"cpus"`
	Quick    bool           `json:"quick"`
	Fsync    microseconds   `json:"fsync_us"` // median of small synced writes to the same disk
	Appends  []appendReport `json:"appends"`
	Import   *importReport  `json:"import,omitempty"`
	Verifier []verifyReport `json:"verify"`
}

// microseconds is a duration as JSON has it.
type microseconds time.Duration

// MarshalJSON writes whole and tenth microseconds.
func (d microseconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.1f", float64(d)/float64(time.Microsecond)), nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "a tenth of the work: shows that it runs, not how fast")
	out := flags.String("json", "", "also write the figures to `FILE`")
	dir := flags.String("dir", "", "where the databases are made (default: the system's temporary directory)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := bench(ctx, *quick, *out, *dir, stdout); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func bench(ctx context.Context, quick bool, out, dir string, stdout io.Writer) (err error) {
	dir, err = os.MkdirTemp(dir, "logline-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := program.Build(ctx, ".", dir)
	if err != nil {
		return err
	}
	r := report{Go: runtime.Version(), CPUs: runtime.GOMAXPROCS(0), Quick: quick}
	fsync, err := loadgen.Fsync(filepath.Join(dir, "fsync"))
	if err != nil {
		return err
	}
	r.Fsync = microseconds(fsync)
	fmt.Fprintf(stdout, "%s, %d CPUs shared by server and callers; one synced write takes %s\n\n", r.Go, r.CPUs, show(r.Fsync))
	printAppendHead(stdout)
	for _, c := range loadgen.Cases(quick) {
		a, err := measureAppends(ctx, binary, filepath.Join(dir, fmt.Sprintf("%d-%d", c.Callers, c.Lines)), c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
		a.print(stdout)
		r.Appends = append(r.Appends, a)
	}
	if r.Import, err = measureImport(ctx, binary, filepath.Join(dir, "import"), quick, stdout); err != nil {
		return fmt.Errorf("import: %w", err)
	}
	r.Verifier = measureVerifiers(quick, stdout)
	if out == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

func show(d microseconds) string { return loadgen.Show(time.Duration(d)) }

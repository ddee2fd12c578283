// Command bench measures a node as its callers see it, beside what this machine
// does with nothing around it: floors (a signature, a span's form, its rows
// written bare, a request echoed) and figures, each with the target that follows
// from the floors of the same run. "make bench" runs it.
//
// The server is a process of its own, started afresh for each case; its callers
// share the machine with it. Spans are signed beforehand, every commit is synced.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := 0
	switch {
	case len(os.Args) == 2 && os.Args[1] == echoCommand:
		code = finish(os.Stderr, serveEcho(os.Stdin, os.Stdout))
	case len(os.Args) == 3 && os.Args[1] == fanoutCommand:
		code = finish(os.Stderr, serveFanout(os.Args[2], os.Stdin, os.Stdout))
	default:
		code = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	os.Exit(code)
}

// group is figures that are measured together.
type group struct {
	name    string
	measure func(context.Context, *bench) ([]figure, error)
	apart   bool // measured only where it is asked for: it takes long
}

// groups is everything there is to measure, in the order of the table.
func groups() []group {
	return []group{
		{"floors", measureFloors, false},
		{"append", measureAppends, false},
		{"import", measureImport, false},
		{"verify", measureVerify, false},
		{"decide", measureDecide, false},
		{"reads", measureReads, false},
		{"feed", measureFeed, false},
		{"tasks", measureTasks, false},
		{"scale", measureScale, true},
	}
}

// flags are what the command line says.
type flags struct {
	quick    bool
	all      bool
	json     string
	only     string
	stores   string
	database string
	dir      string
	entries  uint64
	fillTime time.Duration
}

func parse(args []string, stderr io.Writer) (f flags, err error) {
	var names []string
	for _, g := range groups() {
		names = append(names, g.name)
	}
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&f.quick, "quick", false, "a fraction of the work: shows that everything runs, not how fast")
	set.BoolVar(&f.all, "all", false, "every group, those that take long too")
	set.StringVar(&f.json, "json", "", "also write the figures to `FILE`")
	set.StringVar(&f.only, "only", "", "measure these `GROUPS` alone, of "+strings.Join(names, ","))
	set.StringVar(&f.stores, "stores", strings.Join(allStores, ","), "measure on these `STORES`")
	set.StringVar(&f.database, "database-url", "", "a superuser's `URL` of a PostgreSQL on this machine that syncs (default: one of its own)")
	set.StringVar(&f.dir, "dir", "", "where the databases are made: the disk that is measured (default: the system's temporary directory)")
	set.Uint64Var(&f.entries, "entries", 10_000_000, "how many `ENTRIES` the group scale fills a timeline with")
	set.DurationVar(&f.fillTime, "fill-time", 25*time.Minute, "and in how much `TIME` at most for each store: fewer are measured where it is not enough")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	return f, errors.Join(known("--only", f.only, names), known("--stores", f.stores, allStores))
}

// wants says whether g is to be measured.
func (f *flags) wants(g group) bool {
	if f.only != "" {
		return slices.Contains(split(f.only), g.name)
	}
	return f.all || !g.apart
}

// known says which of the names in a list there are not.
func known(name, list string, all []string) error {
	for _, one := range split(list) {
		if !slices.Contains(all, one) {
			return fmt.Errorf("%s: there is no %q; choose of %s", name, one, strings.Join(all, ","))
		}
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = measure(ctx, f, stdout, stderr)
	}
	return finish(stderr, err)
}

// finish is the exit code after err, which it prints.
func finish(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// quickEntries are as many as --quick fills a timeline with at most.
const quickEntries = 20_000

// bench is what the groups of one run share.
type bench struct {
	binary string // the program, built for this run
	dir    string // for everything that is made, removed at the end
	quick  bool
	stores []string // those that can be measured here
	pg     *cluster // nil where PostgreSQL is left out
	log    io.Writer

	entries  uint64        // of the group scale
	fillTime time.Duration // likewise

	nodes    int // started so far, for their folders' names
	measured *floors
	bares    map[string]bareFloor // by store
}

// report is what --json writes.
type report struct {
	Go      string   `json:"go"`
	Machine string   `json:"machine"`
	CPUs    int      `json:"cpus"`
	Quick   bool     `json:"quick"`
	Fsync   float64  `json:"fsync_s"` // median of small synced writes to the same disk
	Seconds float64  `json:"took_s"`
	Figures []figure `json:"figures"`
}

// measure runs the groups and prints their figures; of one that fails, the others'.
func measure(ctx context.Context, f flags, stdout, stderr io.Writer) error {
	begin := time.Now()
	b, err := prepare(ctx, f, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	fsync, err := loadgen.Fsync(filepath.Join(b.dir, "fsync"))
	if err != nil {
		return err
	}
	r := report{Go: runtime.Version(), Machine: processor(), CPUs: runtime.GOMAXPROCS(0), Quick: f.quick, Fsync: fsync.Seconds()}
	var failed error
	for _, g := range groups() {
		if !f.wants(g) {
			continue
		}
		figures, err := g.measure(ctx, b)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", g.name, err))
		}
		r.Figures = append(r.Figures, figures...)
		if ctx.Err() != nil {
			break
		}
	}
	judge(r.Figures)
	r.Seconds = time.Since(begin).Seconds()
	fmt.Fprintf(stdout, "%s, %d × %s, shared by server and callers; one synced write takes %s; the run took %.0f s\n\n",
		r.Go, r.CPUs, r.Machine, loadgen.Show(fsync), r.Seconds)
	return errors.Join(failed, printTable(stdout, r.Figures), r.write(f.json))
}

func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// prepare builds the program and starts what the stores need.
func prepare(ctx context.Context, f flags, stderr io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp(f.dir, "logline-bench")
	if err != nil {
		return nil, err
	}
	entries := f.entries
	if f.quick {
		entries = min(entries, quickEntries)
	}
	b := &bench{entries: entries, fillTime: f.fillTime, dir: dir, quick: f.quick, stores: split(f.stores), log: stderr, bares: map[string]bareFloor{}}
	if b.binary, err = program.Build(ctx, ".", dir); err == nil && slices.Contains(b.stores, postgres) {
		b.pg, err = openCluster(ctx, f.database, dir, stderr)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	if b.pg == nil {
		b.stores = slices.DeleteFunc(b.stores, func(s string) bool { return s == postgres })
	}
	return b, nil
}

func (b *bench) close() {
	if b.pg != nil {
		b.pg.close()
	}
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(b.log, "bench: left behind:", err)
	}
}

// say tells whoever waits what is being measured.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// pick is n on a whole run and the other on a quick one.
func (b *bench) pick(n, quick int) int {
	if b.quick {
		return quick
	}
	return n
}

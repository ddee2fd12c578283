package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/bench/fill"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// fewEntries is what a timeline of many is held against.
const fewEntries = 100_000

// measureScale fills a timeline through the product's own way in and holds what
// a node costs there against what it costs with 100,000 entries, or none.
func measureScale(ctx context.Context, b *bench) (figures []figure, err error) {
	for _, store := range b.stores {
		if store != sqlite && store != postgres {
			continue // kept in files or memory, such timelines are not for this
		}
		f, err := b.measureScale(ctx, store)
		figures = append(figures, f...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
	}
	return figures, nil
}

func (b *bench) measureScale(ctx context.Context, store string) (figures []figure, err error) {
	empty, err := b.startsEmpty(ctx, store)
	if err != nil {
		return nil, err
	}
	s, err := b.filled(ctx, store, b.entries)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	kept, err := s.bytes(ctx)
	if err != nil {
		return nil, err
	}
	few, err := b.serveFew(ctx, store) // now, so that both are measured on the same machine
	if err != nil {
		return nil, err
	}
	many, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	at := fmt.Sprintf("at %d entries", many.entries)
	figures = []figure{
		{Name: "appends " + at, Measured: many.rate, Unit: perSecond,
			Target: &target{Text: fmt.Sprintf("0.9 of those at %d", few.entries), Bound: 0.9 * few.rate, Sense: atLeast},
			Note: fmt.Sprintf("4 × 500 lines a request, words not indexed; at %d %s; filled with %s", few.entries,
				perSecond.show(few.rate), perSecond.show(s.filled))},
		{Name: "start to ready " + at, Measured: many.ready.Seconds(), Unit: inSeconds,
			Target: &target{Text: "2 s more than empty", Bound: empty.Seconds() + 2, Sense: atMost}, Note: "empty " + loadgen.Show(empty)},
		{Name: "resident memory, idle", Measured: float64(many.idle), Unit: inBytes, Target: &target{Text: "300 MB", Bound: 300e6, Sense: atMost}},
		{Name: "resident memory, under load", Measured: float64(many.loaded), Unit: inBytes, Target: &target{Text: "700 MB", Bound: 700e6, Sense: atMost}},
		{Name: "database bytes an entry", Measured: kept.all, Unit: inBytes,
			Target: &target{Text: "2.5 × line and payload", Bound: 2.5 * kept.entry, Sense: atMost},
			Note:   fmt.Sprintf("line and payload have %.0f bytes: %.2f ×; words not indexed", kept.entry, kept.all/kept.entry)},
		many.page,
	}
	for i := range figures {
		figures[i].Group, figures[i].Store = "scale", store
	}
	return figures, nil
}

// filled is a timeline of so many entries, or as many as there was time for.
func (b *bench) filled(ctx context.Context, store string, size uint64) (*scaled, error) {
	b.nodes++
	s := &scaled{bench: b, store: store, dir: filepath.Join(b.dir, fmt.Sprintf("scale-%d", b.nodes))}
	err := s.begin(ctx)
	if err == nil {
		err = s.grow(ctx, size)
	}
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// serveFew serves what a timeline of many entries is held against.
func (b *bench) serveFew(ctx context.Context, store string) (r served, err error) {
	s, err := b.filled(ctx, store, min(fewEntries, b.entries/2))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	return s.serve(ctx)
}

// startsEmpty is how long a node takes until it is ready with nothing stored.
func (b *bench) startsEmpty(ctx context.Context, store string) (time.Duration, error) {
	n, err := b.startEmpty(ctx, store)
	if err != nil {
		return 0, err
	}
	defer n.remove()
	if err := n.end(); err != nil {
		return 0, err
	}
	return n.restart()
}

// restart starts the node's program again, with the same flags.
func (n *node) restart() (time.Duration, error) {
	args := n.Cmd.Args[1:]
	s, err := program.New(n.bench.binary, n.Dir)
	if err != nil {
		return 0, err
	}
	s.Cmd.Args = append(append(s.Cmd.Args[:1:1], s.Cmd.Args[1:]...), databaseArgs(args)...)
	n.Server = s
	begin := time.Now()
	if err := s.Start(); err != nil {
		return 0, err
	}
	return time.Since(begin), nil
}

// databaseArgs are those arguments of a server's that name its database.
func databaseArgs(args []string) []string {
	for i, arg := range args {
		if arg == "--database-url" {
			return args[i : i+2]
		}
	}
	return nil
}

// scaled is a timeline that grows.
type scaled struct {
	bench    *bench
	store    string
	dir      string // data directory
	database string // of PostgreSQL
	timeline *fill.Timeline
	filled   float64 // entries a second, at the last growth
}

func (s *scaled) begin(ctx context.Context) (err error) {
	url := "sqlite:" + filepath.Join(s.dir, "logline.db")
	if s.store == postgres {
		if s.database, err = s.bench.pg.create(ctx); err != nil {
			return err
		}
		url = s.database
	}
	if s.timeline, err = fill.New(ctx, url, s.dir, 16); err != nil {
		return err
	}
	return s.timeline.Close()
}

// grow brings the timeline to a size, or as far as the time given goes.
func (s *scaled) grow(ctx context.Context, size uint64) (err error) {
	s.bench.say("scale, %s: grows to %d entries", s.store, size)
	if err := s.timeline.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.timeline.Close()) }()
	before, err := s.timeline.Size(ctx)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, s.bench.fillTime)
	defer cancel()
	begin, told := time.Now(), time.Now()
	err = s.timeline.Grow(within, size, func(have uint64) {
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			s.bench.say("scale, %s: %d of %d", s.store, have, size)
		}
	})
	if err != nil && (ctx.Err() != nil || within.Err() == nil) {
		return err
	}
	after, err := s.timeline.Size(ctx)
	s.filled = float64(after-before) / time.Since(begin).Seconds()
	return err
}

// served is what a node on the timeline costs.
type served struct {
	entries      uint64 // before it was loaded
	ready        time.Duration
	idle, loaded int64 // resident, in bytes
	rate         float64
	page         figure
}

// idleFor is how long a node is left alone before its memory is looked at.
const idleFor = 10 * time.Second

func (s *scaled) serve(ctx context.Context) (r served, err error) {
	t := s.timeline
	n := &node{store: s.store, database: s.database, owner: t.Authors[0], bench: s.bench,
		tenant: &client.Tenant{Id: t.Tenant.ID, Node: t.Tenant.Node}}
	args := []string{"--search", "off"}
	if s.store == postgres {
		args = append(args, "--database-url", s.database)
	}
	if n.Server, err = program.New(s.bench.binary, s.dir, args...); err != nil {
		return r, err
	}
	defer n.Kill()
	begin := time.Now()
	if err := n.Start(); err != nil {
		return r, err
	}
	r.ready = time.Since(begin)
	if n.api, err = client.New(n.URL, client.WithSigner(n.owner.Signer(), n.owner.ID(), n.tenant.Node)); err != nil {
		return r, err
	}
	if r.entries, err = n.size(ctx); err != nil {
		return r, err
	}
	s.bench.say("scale, %s: served with %d entries", s.store, r.entries)
	if err := wait(ctx, idleFor); err != nil {
		return r, err
	}
	if r.idle, err = resident(n.Cmd.Process.Pid, "VmRSS"); err != nil {
		return r, err
	}
	c := loadgen.Case{Callers: 4, Lines: 500, Spans: s.bench.pick(80_000, 4_000)}
	for range 2 { // the first is not measured
		bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
		if err != nil {
			return r, err
		}
		l, err := n.load(ctx, bodies, c)
		if err != nil {
			return r, err
		}
		r.rate = float64(c.Spans) / l.Elapsed.Seconds()
	}
	if r.loaded, err = resident(n.Cmd.Process.Pid, "VmHWM"); err != nil {
		return r, err
	}
	read, err := newReader(n.URL, n.owner.ID(), n.tenant.Node, n.owner.Signer())
	if err != nil {
		return r, err
	}
	if r.page, err = read.pages(ctx, n.tenant.Id, 100, min(5_000_000, r.entries-200), s.bench.pick(500, 20)); err != nil {
		return r, err
	}
	return r, n.end()
}

// keeps is what a database takes for an entry, in bytes.
type keeps struct {
	all   float64
	entry float64 // of that, line and payload
}

// bytes looks at a database that nobody writes.
func (s *scaled) bytes(ctx context.Context) (k keeps, err error) {
	n := &node{Server: &program.Server{Dir: s.dir}, store: s.store, database: s.database, tenant: &client.Tenant{Id: s.timeline.Tenant.ID}}
	rows, err := s.bench.openRows(ctx, n)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, rows.close()) }()
	if err := s.timeline.Open(ctx); err != nil {
		return k, err
	}
	size, err := s.timeline.Size(ctx)
	if err := errors.Join(err, s.timeline.Close()); err != nil {
		return k, err
	}
	some := min(size, 100_000)
	count, content, err := rows.scan(ctx, size-some, size)
	if err != nil {
		return k, err
	}
	all, err := s.databaseSize(ctx)
	k.all, k.entry = float64(all)/float64(size), float64(content)/float64(count)
	return k, err
}

func (s *scaled) databaseSize(ctx context.Context) (size int64, err error) {
	if s.store == sqlite {
		for _, name := range []string{"logline.db", "logline.db-wal"} {
			if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil {
				size += info.Size()
			}
		}
		return size, nil
	}
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return 0, err
	}
	err = conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&size)
	return size, errors.Join(err, conn.Close(ctx))
}

// remove removes everything at once: it is large.
func (s *scaled) remove() error {
	var err error
	if s.timeline != nil {
		err = s.timeline.Close()
	}
	if s.database != "" {
		err = errors.Join(err, s.bench.pg.drop(context.Background(), s.database))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// resident is a field of /proc/<pid>/status (proc_pid_status(5)), in bytes:
// VmRSS is what is resident now, VmHWM the most that was.
func resident(pid int, field string) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(text, []byte(field+":"))
	if !ok {
		return 0, fmt.Errorf("/proc/%d/status has no %s", pid, field)
	}
	kib, err := strconv.ParseInt(strings.Fields(string(rest))[0], 10, 64)
	return kib * 1024, err
}

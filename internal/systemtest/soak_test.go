package systemtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// killsPerRound is how often the node of one round is killed.
const killsPerRound = 2

// soak is a long run in parts: what it came to so far is in a file that is
// written after each round, so that a part may end in any way.
type soak struct {
	dir      string
	deadline time.Time

	mu    sync.Mutex // guards state and its file
	state soakState
}

// soakState is the file state.json.
type soakState struct {
	Seed    uint64              `json:"seed"` // from which every round's own is made
	Want    int                 `json:"rounds_wanted"`
	Parts   int                 `json:"parts"`
	Begun   time.Time           `json:"begun"`
	Kinds   map[string]*figures `json:"kinds"`
	Bad     []badRound          `json:"bad"`
	Cluster map[string]string   `json:"cluster"` // folders of PostgreSQLs that run for it, by kind
}

// badRound is one that failed, and where what it left is kept.
type badRound struct {
	Kind  string `json:"kind"`
	Round int    `json:"round"`
	Seed  uint64 `json:"seed"`
	Dir   string `json:"dir"`
}

// TestSoak is one part of "make soak"; see docs/testing.md.
func TestSoak(t *testing.T) {
	dir := os.Getenv("SOAK_DIR")
	if dir == "" {
		t.Skip("takes long: run make soak")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := openSoak(t, dir)
	defer s.report(t)
	t.Run("kinds", func(t *testing.T) { // which ends when all have
		for i := range kinds {
			t.Run(kinds[i].name, func(t *testing.T) {
				t.Parallel()
				s.part(ctx, t, &kinds[i])
			})
		}
	})
}

// part does rounds of one kind until there are enough or the time is over.
func (s *soak) part(ctx context.Context, t *testing.T, k *kind) {
	var st *stage
	var longest time.Duration
	for n := s.done(k); n < s.state.Want; n = s.done(k) {
		if time.Now().Add(longest).After(s.deadline) {
			t.Logf("%d of %d rounds; the part's time is over, and the next one goes on here", n, s.state.Want)
			return
		}
		if st == nil {
			st = s.stage(t, k)
		}
		began := time.Now()
		t.Run(fmt.Sprint(n), func(t *testing.T) { s.round(ctx, t, k, n, st) })
		longest = max(longest, time.Since(began))
		if ctx.Err() != nil {
			t.Log("interrupted; the next part does this round again")
			return
		}
		require.Less(t, s.done(k)-s.state.Kinds[k.name].Rounds, 5, "too much is wrong to go on")
	}
	t.Log("all rounds are done; SOAK_ROUNDS=n asks for more, removing the state begins again")
}

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	require.Positive(t, n, name)
	return n
}

// openSoak reads what earlier parts came to, or begins, and removes what a part
// that was killed has left.
func openSoak(t *testing.T, dir string) *soak {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	require.NoError(t, err)
	t.Cleanup(func() { _ = lock.Close() })
	require.NoError(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), "another soak works in %s", dir)
	s := &soak{dir: dir, deadline: time.Now().Add(time.Duration(setting(t, "SOAK_MINUTES", 60)) * time.Minute),
		state: soakState{Seed: rand.Uint64(), Begun: time.Now().UTC(), Kinds: map[string]*figures{}, Cluster: map[string]string{}}}
	raw, err := os.ReadFile(s.file())
	switch {
	case err == nil:
		require.NoError(t, json.Unmarshal(raw, &s.state), "%s is not what a soak writes; remove it to begin again", s.file())
	default:
		require.ErrorIs(t, err, fs.ErrNotExist)
		if text := os.Getenv("LOGLINE_TEST_SEED"); text != "" {
			s.state.Seed, err = strconv.ParseUint(text, 10, 64)
			require.NoError(t, err, "LOGLINE_TEST_SEED")
		}
	}
	s.state.Want = setting(t, "SOAK_ROUNDS", max(50, s.state.Want))
	s.state.Parts++
	for _, k := range kinds {
		if s.state.Kinds[k.name] == nil {
			s.state.Kinds[k.name] = &figures{}
		}
	}
	s.clean(t)
	s.save(t)
	return s
}

func (s *soak) file() string { return filepath.Join(s.dir, "state.json") }

// clean removes what a part that was killed has left.
func (s *soak) clean(t *testing.T) {
	t.Helper()
	for _, k := range kinds {
		require.NoError(t, os.RemoveAll(s.work(&k)))
	}
	for kind, left := range s.state.Cluster {
		if _, err := os.Stat(left); err == nil {
			c := &cluster{t: t, bin: postgresPrograms(t), dir: left}
			c.stop("immediate")
			require.NoError(t, os.RemoveAll(filepath.Dir(left)))
		}
		delete(s.state.Cluster, kind)
	}
}

// work is where the round of a kind that runs has its data.
func (s *soak) work(k *kind) string { return filepath.Join(s.dir, "work-"+k.name) }

// change changes the state and its file.
func (s *soak) change(t *testing.T, change func(*soakState)) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	s.save(t)
}

// save replaces the state file as a whole. mu is held, or nobody else is there.
func (s *soak) save(t *testing.T) {
	t.Helper()
	raw, err := json.MarshalIndent(s.state, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.file()+".new", raw, 0o644))
	require.NoError(t, os.Rename(s.file()+".new", s.file()))
}

// done counts bad rounds too: they are not done again.
func (s *soak) done(k *kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.state.Kinds[k.name].Rounds
	for _, b := range s.state.Bad {
		if b.Kind == k.name {
			n++
		}
	}
	return n
}

// stage makes what rounds of a kind share, and remembers what would outlive a
// part that is killed.
func (s *soak) stage(t *testing.T, k *kind) *stage {
	t.Helper()
	st := k.newStage(t)
	if st.cluster != nil {
		s.change(t, func(state *soakState) { state.Cluster[k.name] = st.cluster.dir })
		t.Cleanup(func() { s.change(t, func(state *soakState) { delete(state.Cluster, k.name) }) })
	}
	return st
}

// round does one, adds up what it came to, and keeps its data if it is bad.
func (s *soak) round(ctx context.Context, t *testing.T, k *kind, n int, st *stage) {
	r := &round{t: t, kind: *k, stage: st, dir: s.work(k), seed: s.seed(k, n), kills: killsPerRound}
	require.NoError(t, os.Mkdir(r.dir, 0o755))
	defer func() { // also when the round fails or is told to stop
		if r.server != nil {
			r.server.Kill()
		}
		if ctx.Err() == nil && t.Failed() {
			bad := s.keep(t, r, n)
			s.change(t, func(state *soakState) {
				state.Kinds[k.name].Lost += r.figures.Lost
				state.Bad = append(state.Bad, bad)
			})
		}
		require.NoError(t, os.RemoveAll(r.dir))
	}()
	r.run(ctx)
	s.change(t, func(state *soakState) { state.Kinds[k.name].add(&r.figures) })
	t.Logf("seed %d: %s", r.seed, r.figures.String())
}

// seed is the n-th round's of a kind.
func (s *soak) seed(k *kind, n int) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", s.state.Seed, k.name, n)
	return h.Sum64()
}

// keep puts away what a bad round has left, and names it.
func (s *soak) keep(t *testing.T, r *round, n int) badRound {
	b := badRound{Kind: r.kind.name, Round: n, Seed: r.seed, Dir: filepath.Join(s.dir, "bad", fmt.Sprintf("%s-%d", r.kind.name, n))}
	if r.server != nil {
		_ = os.WriteFile(filepath.Join(r.dir, "server.log"), []byte(r.server.Log.String()), 0o600)
	}
	if r.database != "" {
		dump := r.stage.cluster.command("pg_dump", "--dbname", "postgres://postgres@127.0.0.1:"+r.stage.cluster.port+"/"+r.database)
		if out, err := dump.Output(); err == nil {
			_ = os.WriteFile(filepath.Join(r.dir, "database.sql"), out, 0o600)
		}
	}
	err := errors.Join(os.MkdirAll(filepath.Dir(b.Dir), 0o755), os.RemoveAll(b.Dir), os.Rename(r.dir, b.Dir))
	t.Logf("BAD: seed %d; its data is kept in %s (%v)", b.Seed, b.Dir, err)
	return b
}

// report prints the figures of all parts, as docs/testing.md has them.
func (s *soak) report(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| killed | rounds | kills | acknowledged | lost | sent again | redacted, reverted | roles, keys changed | checkpoints | proofs | monitor, bundle, fsck | ready again p50, max |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range kinds {
		f := s.state.Kinds[k.name]
		p50, most := f.ready()
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d, %d | %d, %d | %d | %d | %d, %d, %d | %d ms, %d ms |\n", k.name, f.Rounds, f.Kills, f.Acknowledged, f.Lost,
			f.Resent, f.Redactions, f.Reverts, f.Roles, f.Rotations, f.Checkpoints, f.Proofs, f.Monitored, f.Verified, f.Fsck, p50, most)
	}
	for _, k := range kinds {
		f := s.state.Kinds[k.name]
		fmt.Fprintf(&b, "%s: %v, %d entries, %.0f s\n", k.name, f.Counts, f.Entries, f.Seconds)
	}
	fmt.Fprintf(&b, "seed %d, %d parts, %d bad rounds\n", s.state.Seed, s.state.Parts, len(s.state.Bad))
	for _, bad := range s.state.Bad {
		fmt.Fprintf(&b, "BAD: %s round %d, seed %d, kept in %s\n", bad.Kind, bad.Round, bad.Seed, bad.Dir)
	}
	t.Log(b.String())
	if len(s.state.Bad) > 0 {
		t.Errorf("%d rounds were bad", len(s.state.Bad))
	}
}

package cosign_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/cosign"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const (
	tenant = "0190d6a2-1111-8222-9333-444455556666"
	other  = "0190d6a2-1111-8222-9333-444455556667"
	node   = "logline-id://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// history is the checkpoints that a log's key signed, by tenant and size.
type history struct {
	t      testing.TB
	secret ed25519.PrivateKey
	notes  map[string]map[uint64][]byte
}

func newHistory(t testing.TB, sizes uint64) *history {
	seed := sha256.Sum256([]byte("log"))
	h := &history{t: t, secret: ed25519.NewKeyFromSeed(seed[:]), notes: map[string]map[uint64][]byte{tenant: {}, other: {}}}
	for size := uint64(1); size <= sizes; size++ {
		h.sign(tenant, 0, size)
		h.sign(other, 0, size)
	}
	return h
}

func (h *history) sign(of string, epoch, size uint64) []byte {
	h.t.Helper()
	c := tree.Checkpoint{Origin: tree.Origin{Tenant: of, Node: node, Epoch: epoch}, Size: size, Root: sha256.Sum256([]byte{byte(epoch), byte(size)})}
	note, err := c.Sign(h.secret.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(h.secret, m) })
	require.NoError(h.t, err)
	h.notes[of][size] = note
	return note
}

func (h *history) TenantByID(_ context.Context, id string) (timeline.Tenant, error) {
	vkey, err := tree.VerifierKey(tree.Origin{Tenant: id, Node: node}, h.secret.Public().(ed25519.PublicKey))
	return timeline.Tenant{ID: id, LogKey: vkey}, err
}

func (h *history) Head(_ context.Context, id string) (timeline.Head, error) {
	size := uint64(len(h.notes[id]))
	return timeline.Head{Size: size, Checkpoint: h.notes[id][size]}, nil
}

func (h *history) Checkpoint(_ context.Context, id string, seq uint64) (uint64, []byte, error) {
	if note := h.notes[id][seq+1]; note != nil {
		return seq + 1, note, nil
	}
	return 0, nil, timeline.ErrCheckpointUnknown
}

// witness is made from the specification's text alone.
type witness struct {
	name   string
	secret ed25519.PrivateKey
}

func newWitness(name string) witness {
	seed := sha256.Sum256([]byte(name))
	return witness{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (x witness) keyID() []byte {
	sum := sha256.Sum256([]byte(x.name + "\n" + string(x.public())))
	return sum[:4]
}

func (x witness) public() []byte { return append([]byte{4}, x.secret.Public().(ed25519.PublicKey)...) }

func (x witness) policyLine() string {
	return fmt.Sprintf("witness %s %s+%x+%s\n", x.name, x.name, x.keyID(), base64.StdEncoding.EncodeToString(x.public()))
}

// over is a note with the witness's cosignature of a time.
func (x witness) over(t testing.TB, note []byte, at time.Time) []byte {
	t.Helper()
	n, err := tree.ParseNote(note)
	require.NoError(t, err)
	raw := binary.BigEndian.AppendUint64(x.keyID(), uint64(at.Unix()))
	raw = append(raw, ed25519.Sign(x.secret, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), n.Text()))...)
	return fmt.Appendf(note[:len(note):len(note)], "— %s %s\n", x.name, base64.StdEncoding.EncodeToString(raw))
}

var (
	north, south = newWitness("north"), newWitness("south")
	now          = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
)

func both(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(north.policyLine() + south.policyLine() + "group G all north south\nquorum G\n"))
	require.NoError(t, err)
	return p
}

func onEveryDatabase(t *testing.T, test func(*testing.T, *storage.DB)) {
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := storage.Open(t.Context(), url(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, db.Migrate(t.Context()))
			test(t, db)
		})
	}
}

func book(t testing.TB, db *storage.DB, h *history) *cosign.Book {
	t.Helper()
	return cosign.New(db, h, cosign.Config{Policy: both(t), Now: func() time.Time { return now }, Poll: 5 * time.Millisecond})
}

func TestTheLatestOfEachWitnessCounts(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, db *storage.DB) {
		h := newHistory(t, 3)
		b := book(t, db, h)
		note := h.notes[tenant][2]
		add := func(note []byte, news bool) []byte {
			t.Helper()
			dressed, got, err := b.Add(t.Context(), tenant, note)
			require.NoError(t, err)
			require.Equal(t, news, got)
			return dressed
		}
		first := north.over(t, note, now)
		require.Equal(t, string(first), string(add(first, true)))
		require.Equal(t, string(first), string(add(first, false)))
		require.Equal(t, string(first), string(add(north.over(t, note, now.Add(-time.Hour)), false)))
		later := north.over(t, note, now.Add(time.Minute))
		require.Equal(t, string(later), string(add(later, true)))
		// Lines come in one order, however they were brought.
		require.Equal(t, string(south.over(t, later, now)), string(add(south.over(t, note, now), true)))

		_, _, err := b.Add(t.Context(), tenant, north.over(t, note, now.Add(time.Hour)))
		require.Equal(t, "cosignature_future", fault.CodeOf(err))
		plain, err := b.Dress(t.Context(), tenant, h.notes[tenant][3])
		require.NoError(t, err)
		require.Equal(t, string(h.notes[tenant][3]), string(plain), "a cosignature is of one size")
		_, _, err = b.Add(t.Context(), other, first)
		require.Equal(t, "checkpoint_foreign", fault.CodeOf(err))
		plain, err = b.Dress(t.Context(), other, h.notes[other][2])
		require.NoError(t, err)
		require.NotContains(t, string(plain), "north", "a cosignature is of one tenant")

		// The same size in another epoch is another checkpoint.
		again := h.sign(tenant, 1, 2)
		plain, err = b.Dress(t.Context(), tenant, again)
		require.NoError(t, err)
		require.Equal(t, string(again), string(plain))
	})
}

// TestOneBadLineRefusesAll: nothing is stored of a note that is refused.
func TestOneBadLineRefusesAll(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, db *storage.DB) {
		h := newHistory(t, 2)
		b := book(t, db, h)
		note := h.notes[tenant][2]
		good := north.over(t, note, now)
		stolen := strings.SplitAfter(string(south.over(t, h.notes[tenant][1], now)), "\n")
		for code, lines := range map[string][]byte{
			"witness_unknown":     newWitness("west").over(t, good, now),
			"cosignature_invalid": append(good[:len(good):len(good)], stolen[5]...),
			"cosignature_future":  south.over(t, good, now.Add(6*time.Minute)),
		} {
			_, _, err := b.Add(t.Context(), tenant, lines)
			require.Equal(t, code, fault.CodeOf(err))
			plain, err := b.Dress(t.Context(), tenant, note)
			require.NoError(t, err)
			require.Equal(t, string(note), string(plain), code)
		}
	})
}

func TestNewestAndCovering(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, db *storage.DB) {
		const sizes = 240 // more than a page of sizes
		h := newHistory(t, sizes)
		b := book(t, db, h)
		_, err := b.Newest(t.Context(), tenant)
		require.ErrorIs(t, err, cosign.ErrNone)
		full := map[uint64]bool{3: true, 150: true}
		for size := uint64(1); size <= sizes; size++ {
			note := north.over(t, h.notes[tenant][size], now)
			if full[size] {
				note = south.over(t, note, now)
			}
			_, _, err := b.Add(t.Context(), tenant, note)
			require.NoError(t, err)
		}
		sizeOf := func(note []byte, err error) uint64 {
			t.Helper()
			require.NoError(t, err)
			n, err := tree.ParseNote(note)
			require.NoError(t, err)
			require.True(t, both(t).Evaluate(n).QuorumMet)
			return n.Size
		}
		require.EqualValues(t, 150, sizeOf(b.Newest(t.Context(), tenant)))
		for seq, want := range map[uint64]uint64{0: 3, 2: 3, 3: 150, 149: 150} {
			require.Equal(t, want, sizeOf(b.Covering(t.Context(), tenant, seq)), "entry %d", seq)
		}
		_, err = b.Covering(t.Context(), tenant, 150)
		require.ErrorIs(t, err, cosign.ErrNone)
		_, err = b.Covering(t.Context(), other, 0)
		require.ErrorIs(t, err, cosign.ErrNone)
	})
}

func TestAwait(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, db *storage.DB) {
		h := newHistory(t, 3)
		waits, takes := book(t, db, h), book(t, db, h) // two processes
		done := make(chan error, 1)
		go func() {
			_, err := waits.Await(t.Context(), tenant, 1)
			done <- err
		}()
		_, _, err := takes.Add(t.Context(), tenant, south.over(t, north.over(t, h.notes[tenant][3], now), now))
		require.NoError(t, err)
		require.NoError(t, <-done)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = waits.Await(ctx, other, 0)
		require.ErrorIs(t, err, cosign.ErrNone)
	})
}

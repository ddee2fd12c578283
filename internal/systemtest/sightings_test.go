package systemtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// sightings is every checkpoint of a timeline that anybody was ever given: with
// receipts, when asked for, over feeds, with bundles, in files.
type sightings struct {
	key string // of the log

	mu    sync.Mutex        // guards the rest
	notes map[string]uint64 // and the size of each
	roots map[uint64]span.Hash
	bad   []string // what cannot be, of the checkpoints alone
}

func newSightings(logKey string) *sightings {
	return &sightings{key: logKey, notes: map[string]uint64{}, roots: map[uint64]span.Hash{}}
}

// take notes a checkpoint and returns its size, 0 if it is none by the log.
func (s *sightings) take(note string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if size, known := s.notes[note]; known {
		return size
	}
	cp, err := tree.OpenNote([]byte(note), s.key)
	if err != nil {
		s.bad = append(s.bad, fmt.Sprintf("%.200v: %.300q", err, note))
		return 0
	}
	s.notes[note] = cp.Size
	if root, known := s.roots[cp.Size]; known && root != cp.Root {
		s.bad = append(s.bad, fmt.Sprintf("two roots of %d entries: %s and %s", cp.Size, root, cp.Root))
	}
	s.roots[cp.Size] = cp.Root
	return cp.Size
}

// poll asks for the checkpoint again and again. One process never goes back.
func (s *sightings) poll(ctx context.Context, api *client.Client, tenant string) error {
	for last := uint64(0); ctx.Err() == nil; {
		note, err := api.Checkpoint(ctx, tenant)
		if err != nil {
			return err
		}
		size := s.take(string(note))
		if size < last {
			return fmt.Errorf("the checkpoint went back from %d to %d entries", last, size)
		}
		last = size
	}
	return nil
}

// requireOne checks that all of them are of one history, which is the recorded
// one: by the roots that its entries make, and by the server's own consistency
// proofs to the newest and from one to the next, for at most as many as is said.
func (s *sightings) requireOne(y *tenancy, r *recorded, random *rand.Rand, most int) (proofs int) {
	t := y.t
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.bad)
	var sizes []uint64
	for size, root := range s.roots {
		require.Less(t, size, uint64(len(r.rootOf)), "a checkpoint of more entries than there are")
		require.Equal(t, r.rootOf[size], root, "the checkpoint that was seen of %d entries", size)
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	first, now := sizes[0], y.checkpoint()
	sizes = append(sample(random, sizes[1:], most), first)
	slices.Sort(sizes)
	api := y.swift()
	for i, size := range sizes {
		before := tree.Checkpoint{Size: size, Root: s.roots[size]}
		y.requireProof(api, before, now)
		proofs++
		if i+1 < len(sizes) {
			y.requireProof(api, before, tree.Checkpoint{Size: sizes[i+1], Root: s.roots[sizes[i+1]]})
			proofs++
		}
	}
	return proofs
}

// requireProof checks that one checkpoint extends another, by the server's proof.
func (y *tenancy) requireProof(api *client.Client, before, now tree.Checkpoint) {
	y.t.Helper()
	p, err := api.Consistency(background(), y.tenant.Id, before.Size, now.Size)
	require.NoError(y.t, err)
	require.NoError(y.t, tree.VerifyConsistency(before.Size, now.Size, before.Root, now.Root, hashes(y.t, p.Hashes)),
		"from %d to %d entries", before.Size, now.Size)
}

// watch follows the live feed by the client's own Follow, which comes again
// where it broke off, and notes the checkpoints that the feed tells of. It is
// over when ctx ends, or when the feed is not as it must be.
func (f *onlooker) watch(ctx context.Context, api *client.Client, tenant string, seen *sightings) {
	for begun := false; ctx.Err() == nil; wait(ctx, again) {
		err := f.followed(ctx, api, tenant, seen, &begun)
		if begun && ctx.Err() == nil {
			f.complain(fmt.Sprint("the feed ended: ", err))
			return
		} // Follow does not come again where it never got in
	}
}

func (f *onlooker) followed(ctx context.Context, api *client.Client, tenant string, seen *sightings, begun *bool) error {
	options := client.FeedOptions{MaxWait: 2 * again, Notice: func(n client.FeedNotice) {
		if n.Err != nil && strings.Contains(n.Err.Error(), "not in order") {
			f.complain(n.Err.Error())
		}
	}}
	for e, err := range api.Follow(ctx, tenant, options) {
		switch {
		case err != nil:
			return err
		case e.Type == client.FeedHello:
			*begun = true
		case e.Type == client.FeedEntry:
			f.take(e.Entry)
		case e.Type == client.FeedCheckpoint:
			seen.take(e.Note)
		case e.Type == client.FeedGap:
			f.complain(fmt.Sprintf("a gap from %d to %d for somebody who may see everything", e.From, e.To))
		}
	}
	return nil
}

// complain keeps the first thing that is wrong.
func (f *onlooker) complain(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == "" {
		f.fail = why
	}
}

// checkpointOf is the checkpoint in the first line of a bundle.
func checkpointOf(first []byte) (string, error) {
	var head struct{ Checkpoint string }
	err := json.Unmarshal(first, &head)
	return head.Checkpoint, err
}

package systemtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/systemtest/linear"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// TestLinearizableOverKills has clients append, repeat, redact, read and follow
// at once over HTTP, through one process or three of one node, while one of them
// after the other is killed and started again; and has it checked that a list which
// only grows would answer all of it the same.
func TestLinearizableOverKills(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		processes int
		database  func(t *testing.T) string
		flags     func(t *testing.T) []string
	}{
		{"sqlite", 1, inSQLite, nil},
		{"sqlite", 3, inSQLite, nil},
		{"postgres", 1, inPostgres, nil},
		{"postgres", 3, inPostgres, nil},
		{"files", 1, inSQLite, func(t *testing.T) []string {
			return []string{"--timeline", "ndjson:" + filepath.Join(t.TempDir(), "timelines")}
		}},
	} {
		t.Run(fmt.Sprintf("%s/processes=%d", c.name, c.processes), func(t *testing.T) {
			t.Parallel()
			flags := []string{"--feed-poll=50ms"}
			if c.flags != nil {
				flags = append(flags, c.flags(t)...)
			}
			f := newFleet(t, c.database(t), flags...)
			doors := []linear.Door{newDoor(f.tenant)}
			for len(doors) < c.processes {
				doors = append(doors, newDoor(f.at(f.start(f.dir()))))
			}
			random := seed(t)
			plan := linear.Plan{Seed: random.Uint64(), Clients: 6, Each: 45, Followers: 2, Patience: time.Minute}
			kills := 0
			outcome, err := linear.Run(t.Context(), plan, doors, &sealer{f.tenant}, func(ctx context.Context) { kills = killing(ctx, random, doors) })
			require.NoError(t, err)
			t.Logf("%d kills; %v", kills, outcome)
			require.Positive(t, kills)
			f.tenant.export()
		})
	}
}

func inSQLite(t *testing.T) string   { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") }
func inPostgres(t *testing.T) string { return pgtest.New(t).URL }

// killing kills and starts again one process after the other until ctx ends.
func killing(ctx context.Context, random *rand.Rand, doors []linear.Door) (kills int) {
	for kills == 0 || wait(ctx, time.Duration(20+random.IntN(400))*time.Millisecond) {
		d := doors[random.IntN(len(doors))].(*door)
		d.running.Kill()
		d.running = started(d.t, d.running.Again())
		kills++
	}
	return kills
}

// sealer makes spans of the owner's.
type sealer struct{ y *tenancy }

func (s *sealer) Note(spanID string) linear.Span {
	return s.made(s.y.seal(s.y.owner.Signer(), s.y.owner.ID(), []byte(`{"a":1}`), func(h *span.Header) {
		if spanID != "" {
			h.ID = spanID
		}
	}))
}

func (s *sealer) Redaction(of linear.Span) linear.Span {
	target, err := span.Parse(of.Raw, span.Limits{})
	require.NoError(s.y.t, err)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: of.ID, HeaderHash: target.Hash().String()}}, Reason: "asked"})
	require.NoError(s.y.t, err)
	return s.made(s.y.seal(s.y.owner.Signer(), s.y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeRedaction }))
}

func (s *sealer) made(raw []byte) linear.Span {
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(s.y.t, err)
	return linear.Span{ID: sp.ID, Hash: sp.PayloadHash, Raw: raw}
}

// door is one process, over HTTP, at an address that stays.
type door struct {
	tenancy
	running *server // the process there now; whoever kills it alone looks at this
}

func newDoor(y *tenancy) *door { return &door{*y, y.server} }

func (d *door) Append(ctx context.Context, raw []byte) (uint64, bool, error) {
	a, err := d.api.Append(ctx, d.tenant.Id, raw)
	if client.CodeOf(err) == "id_conflict" {
		return 0, false, linear.ErrConflict
	}
	if err != nil {
		return 0, false, err
	}
	return a.Receipt.Inclusion.Index, a.Repeat(), nil
}

func (d *door) Get(ctx context.Context, spanID string) (linear.Entry, bool, error) {
	r, err := d.api.Entry(ctx, d.tenant.Id, spanID)
	var p *client.Problem
	if errors.As(err, &p) && p.Status == http.StatusNotFound {
		return linear.Entry{}, false, nil
	}
	if err != nil {
		return linear.Entry{}, false, err
	}
	e, err := entryOf(r.Entry)
	return e, true, err
}

// entryOf reads an entry as every answer shows it.
func entryOf(raw json.RawMessage) (linear.Entry, error) {
	var e struct {
		Seq  uint64
		Span struct {
			PayloadHash string `json:"payload_hash"`
			Payload     json.RawMessage
		}
	}
	err := json.Unmarshal(raw, &e)
	return linear.Entry{Seq: e.Seq, Hash: e.Span.PayloadHash, Erased: e.Span.Payload == nil}, err
}

func (d *door) List(ctx context.Context) (out []linear.Entry, err error) {
	page, err := d.api.Query(ctx, d.tenant.Id, client.Filter{Limit: 1000})
	if err != nil {
		return nil, err
	}
	if page.Next != nil {
		return nil, errors.New("more than a page")
	}
	for _, item := range page.Items {
		e, err := entryOf(item)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Range is what a bundle of it holds.
func (d *door) Range(ctx context.Context, from, to uint64) (out []linear.Entry, err error) {
	var b bytes.Buffer
	if err := d.api.Bundle(ctx, d.tenant.Id, &b, from, to); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(&b)
	lines.Buffer(nil, 1<<20)
	lines.Scan()
	for lines.Scan() {
		e, err := entryOf(lines.Bytes())
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, lines.Err()
}

func (d *door) Head(ctx context.Context) (uint64, string, error) {
	note, err := d.api.Checkpoint(ctx, d.tenant.Id)
	if err != nil {
		return 0, "", err
	}
	cp, err := tree.OpenNote(note, d.tenant.LogKey)
	return cp.Size, cp.Root.String(), err
}

func (d *door) Count(ctx context.Context) (size, erased uint64, root string, err error) {
	s, err := d.api.Stats(ctx, d.tenant.Id)
	if err != nil {
		return 0, 0, "", err
	}
	return s.Size, s.Redacted, s.Root, nil
}

func (d *door) Follow(ctx context.Context, from uint64, each func(linear.Entry)) error {
	return d.events(ctx, from, func(raw json.RawMessage) {
		if e, err := entryOf(raw); err == nil {
			each(e)
		}
	})
}

package ndjsonstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// commit is a line of commits: what a batch changes beside its lines. A row's
// fields follow from its line (timeline.RowOf); Rows has what does not.
type commit struct {
	From       uint64     `json:"from"`
	Size       uint64     `json:"size"`
	Root       span.Hash  `json:"-"`
	RootText   string     `json:"root"`
	RecordedAt string     `json:"recorded_at"`
	Checkpoint string     `json:"checkpoint"`
	Earlier    []note     `json:"earlier,omitempty"`
	Edge       [][]byte   `json:"edge"`
	Origin     string     `json:"origin,omitempty"`  // of an epoch that begins
	LogKey     string     `json:"log_key,omitempty"` // of that epoch
	Rows       []oddRow   `json:"rows,omitempty"`
	Refused    []refused  `json:"refused,omitempty"`
	Statuses   []status   `json:"statuses,omitempty"`
	Redacted   []uint64   `json:"redacted,omitempty"`
	State      []stateRow `json:"state,omitempty"`
	Embedded   []string   `json:"embedded,omitempty"`
	Subtrees   []subtree  `json:"subtrees,omitempty"`
}

type note struct {
	Size uint64 `json:"size"`
	Text string `json:"checkpoint"`
}

func (c *commit) earlier() []timeline.Note {
	var out []timeline.Note
	for _, n := range c.Earlier {
		out = append(out, timeline.Note{Size: n.Size, Text: []byte(n.Text)})
	}
	return out
}

type oddRow struct {
	Seq     uint64   `json:"seq"`
	Status  string   `json:"status,omitempty"`
	Targets []string `json:"targets,omitempty"`
}

type refused struct {
	ID  string `json:"id"`
	Seq uint64 `json:"seq"`
}

type status struct {
	Seq    uint64 `json:"seq"`
	Status string `json:"status"`
}

type stateRow struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // null: the row is deleted
}

type subtree struct {
	Level int    `json:"level"`
	Index uint64 `json:"index"`
	Hash  []byte `json:"hash"`
}

// A commit's line ends with the SHA-256 of what stands before it, so that half
// a line, or one of which a sector is missing, is none.
const (
	sumBefore = `,"sum":"`
	sumAfter  = `"}`
	sumSize   = 43 // of base64url
)

// appendCommit is the line of a batch.
func appendCommit(dst []byte, b *timeline.Batch) ([]byte, error) {
	c := commit{
		From: b.ExpectedSize, Size: b.Head.Size, RootText: b.Head.Root.String(), RecordedAt: b.Head.RecordedAt,
		Checkpoint: string(b.Head.Checkpoint), Edge: [][]byte{}, Redacted: b.Redacted, Embedded: b.Embedded,
	}
	for i := range b.Head.Edge {
		c.Edge = append(c.Edge, b.Head.Edge[i][:])
	}
	for _, n := range b.Earlier {
		c.Earlier = append(c.Earlier, note{n.Size, string(n.Text)})
	}
	if b.Epoch != nil {
		c.Origin, c.LogKey = b.Epoch.Origin, b.Epoch.LogKey
	}
	for _, h := range b.Subtrees {
		c.Subtrees = append(c.Subtrees, subtree{h.Level, h.Index, h.Hash[:]})
	}
	for _, s := range b.Statuses {
		c.Statuses = append(c.Statuses, status{s.Seq, s.Status})
	}
	for _, r := range b.State {
		c.State = append(c.State, stateRow(r))
	}
	for _, id := range b.Spent {
		if id.By == timeline.SpentByDecision {
			c.Refused = append(c.Refused, refused{id.ID, id.Seq})
		}
	}
	for i := range b.Rows {
		odd, is, err := oddOf(&b.Rows[i])
		if err != nil {
			return nil, err
		}
		if is {
			c.Rows = append(c.Rows, odd)
		}
	}
	line, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(line[:len(line)-1])
	dst = append(append(dst, line[:len(line)-1]...), sumBefore...)
	return append(append(dst, span.B64(sum[:])...), sumAfter...), nil
}

// oddOf is what a row has that its line does not say.
func oddOf(r *timeline.Row) (oddRow, bool, error) {
	initial := r.Initial
	if initial == "" {
		e, err := span.ParseLine(r.Line)
		if err != nil {
			return oddRow{}, false, err
		}
		initial = standing.InitialStatus(e)
	}
	odd := oddRow{Seq: r.Seq}
	if r.Status != initial {
		odd.Status = r.Status
	}
	for _, l := range r.Links {
		if l.Kind == timeline.LinkTarget {
			odd.Targets = append(odd.Targets, l.ID)
		}
	}
	return odd, odd.Status != "" || odd.Targets != nil, nil
}

var (
	errTorn   = errors.New("it is not a whole commit")
	errCommit = errors.New("the commit contradicts itself")
)

// parseCommit reads a line of commits. errTorn is what an interrupted write
// leaves; other errors are not.
func parseCommit(line []byte) (*commit, error) {
	at := len(line) - len(sumBefore) - sumSize - len(sumAfter)
	if at < 1 || !bytes.HasPrefix(line[at:], []byte(sumBefore)) || !bytes.HasSuffix(line, []byte(sumAfter)) {
		return nil, errTorn
	}
	sum := sha256.Sum256(line[:at])
	if span.B64(sum[:]) != string(line[at+len(sumBefore):at+len(sumBefore)+sumSize]) {
		return nil, errTorn
	}
	c := new(commit)
	if err := json.Unmarshal(line, c); err != nil {
		return nil, err
	}
	var err error
	if c.Root, err = span.ParseHash(c.RootText); err != nil {
		return nil, err
	}
	if c.Size <= c.From || c.Size > tree.MaxSize || len(c.Edge) != len(tree.Decompose(0, c.Size)) {
		return nil, errCommit
	}
	return c, c.check()
}

// check holds the positions against the size.
func (c *commit) check() error {
	ok, before := true, c.From
	for _, n := range c.Earlier {
		ok = ok && n.Size > before && n.Size < c.Size
		before = n.Size
	}
	for _, h := range c.Edge {
		ok = ok && len(h) == len(span.Hash{})
	}
	for _, h := range c.Subtrees {
		ok = ok && len(h.Hash) == len(span.Hash{}) && h.Level > 0
	}
	for _, r := range c.Rows {
		ok = ok && r.Seq >= c.From && r.Seq < c.Size
	}
	for _, r := range c.Refused {
		ok = ok && r.Seq >= c.From && r.Seq < c.Size
	}
	for _, s := range c.Statuses {
		ok = ok && s.Seq < c.Size
	}
	for _, seq := range c.Redacted {
		ok = ok && seq < c.Size
	}
	if !ok {
		return errCommit
	}
	return nil
}

// batch is what the commit did, for the index: rows have no bytes.
func (c *commit) batch(tenant string, rows []timeline.Row) *timeline.Batch {
	b := &timeline.Batch{
		Tenant: tenant, ExpectedSize: c.From, Rows: rows, Redacted: c.Redacted, Embedded: c.Embedded, Earlier: c.earlier(),
		Head: timeline.Head{Size: c.Size, Root: c.Root, RecordedAt: c.RecordedAt, Checkpoint: []byte(c.Checkpoint)},
	}
	for _, h := range c.Edge {
		b.Head.Edge = append(b.Head.Edge, span.Hash(h))
	}
	if c.Origin != "" {
		b.Epoch = &timeline.Epoch{Origin: c.Origin, LogKey: c.LogKey}
	}
	for _, h := range c.Subtrees {
		b.Subtrees = append(b.Subtrees, tree.Subtree{Level: h.Level, Index: h.Index, Hash: span.Hash(h.Hash)})
	}
	for _, s := range c.Statuses {
		b.Statuses = append(b.Statuses, standing.StatusChange{Seq: s.Seq, Status: s.Status})
	}
	for _, r := range c.State {
		b.State = append(b.State, standing.Row(r))
	}
	for i := range rows {
		b.Spent = append(b.Spent, timeline.SpentID{ID: rows[i].ID, Spent: timeline.Spent{Seq: rows[i].Seq, By: timeline.SpentByEntry}})
	}
	for _, r := range c.Refused {
		b.Spent = append(b.Spent, timeline.SpentID{ID: r.ID, Spent: timeline.Spent{Seq: r.Seq, By: timeline.SpentByDecision}})
	}
	for _, odd := range c.Rows {
		r := &rows[odd.Seq-c.From]
		if odd.Status != "" {
			r.Status = odd.Status
		}
		for _, id := range odd.Targets {
			r.Links = append(r.Links, timeline.RowLink{Kind: timeline.LinkTarget, ID: id})
		}
	}
	return b
}

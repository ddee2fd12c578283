package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// epoch is when the fixtures begin.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Spec is an entry to make; zero fields get a plain default.
type Spec struct {
	N          int // makes id, payload and time; unique in a timeline
	ID         string
	Type       string
	Author     string
	OnBehalfOf string
	Subject    string
	Title      string
	Tags       []string
	Causes     []string
	Targets    []string
	Visibility string
	Status     string
	Payload    string // JSON
	Refuses    string // span id spent by decision
	NoDetail   bool
}

// ID is the id of the span that Spec{N: n} makes.
func ID(n int) string {
	h := span.Sum([]byte(fmt.Sprint("id ", n)))
	return span.NewID(epoch.Add(time.Duration(n)*time.Second), [10]byte(h[:10]))
}

// Identity is a LogLine ID that nobody holds.
func Identity(name string) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	h := span.Sum([]byte(name))
	b := make([]byte, 52)
	for i := range b[:51] {
		b[i] = digits[h[i%32]%32]
	}
	b[51] = 'a'
	return span.IdentityScheme + string(b)
}

// Timeline makes consistent batches for one tenant, as a Session would, from
// entries that nobody signed.
type Timeline struct {
	Tenant timeline.Tenant
	Head   timeline.Head
	edge   *tree.Range
}

// NewTimeline makes the maker of a tenant's batches; the first one creates it.
func NewTimeline(name string) *Timeline {
	h := span.Sum([]byte(name))
	hex := fmt.Sprintf("%x", h[:16])
	id := hex[:8] + "-" + hex[8:12] + "-8" + hex[13:16] + "-8" + hex[17:20] + "-" + hex[20:32]
	t := &Timeline{
		Tenant: timeline.Tenant{
			ID: id, Slug: "slug-" + name, Name: "The " + name, Node: Identity("node"), Owner: Identity("owner " + name),
			Origin: "origin/0", LogKey: "key 0", PublicReading: len(name)%2 == 0, CreatedAt: span.FormatTime(epoch),
		},
		edge: &tree.Range{},
	}
	t.Head.Root = tree.EmptyRoot()
	return t
}

// Batch makes the batch that appends specs at the end; the timeline moves on
// when it is given to Done.
func (t *Timeline) Batch(specs ...Spec) *timeline.Batch {
	b := &timeline.Batch{Tenant: t.Tenant.ID, ExpectedSize: t.Head.Size, ExpectedRoot: t.Head.Root}
	if t.Head.Size == 0 {
		record := t.Tenant
		b.Create = &record
	}
	leaves := make([]span.Hash, 0, len(specs))
	last := t.Head.RecordedAt
	for i, s := range specs {
		row := t.row(s, t.Head.Size+uint64(i), last)
		last = row.RecordedAt
		leaves = append(leaves, row.Leaf)
		b.Rows = append(b.Rows, row)
		b.Spent = append(b.Spent, timeline.SpentID{ID: row.ID, Spent: timeline.Spent{Seq: row.Seq, By: timeline.SpentByEntry}})
		if s.Refuses != "" {
			b.Spent = append(b.Spent, timeline.SpentID{ID: s.Refuses, Spent: timeline.Spent{Seq: row.Seq, By: timeline.SpentByDecision}})
		}
	}
	grown, err := tree.NewBatch(t.edge, leaves)
	if err != nil {
		panic(err) // a fixture that cannot be made
	}
	b.Subtrees = grown.Subtrees()
	b.Head = timeline.Head{
		Size: grown.Size(), Root: grown.Root(), RecordedAt: last, Edge: grown.Edge().Hashes(),
		Checkpoint: []byte(fmt.Sprintf("note of %s at %d", t.Tenant.Slug, grown.Size())),
	}
	return b
}

// Done moves the timeline behind a batch that was committed.
func (t *Timeline) Done(b *timeline.Batch) {
	edge, err := tree.NewRange(0, b.Head.Size, b.Head.Edge)
	if err != nil {
		panic(err)
	}
	t.edge, t.Head = edge, b.Head
}

func (t *Timeline) row(s Spec, seq uint64, last string) timeline.Row {
	def := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	def(&s.ID, ID(s.N))
	def(&s.Type, "note.taken")
	def(&s.Author, Identity("author"))
	def(&s.Visibility, span.VisibilityOrganization)
	def(&s.Status, timeline.StatusExecuted)
	def(&s.Payload, fmt.Sprintf(`{"n":%d}`, s.N))
	salt := span.Sum([]byte("salt"), []byte(s.ID))
	detail := &span.Detail{Salt: span.B64(salt[16:]), Notes: []string{"noted " + s.ID}}
	at := max(span.FormatTime(epoch.Add(time.Duration(seq)*time.Second)), last)
	e := span.Entry{
		Seq: seq, RecordedAt: at,
		Span: span.Header{
			ID: s.ID, Tenant: t.Tenant.ID, Author: s.Author, Type: s.Type, Title: s.Title, Subject: s.Subject, Tags: s.Tags,
			Time: at, OnBehalfOf: s.OnBehalfOf, Status: span.StatusExecuted, Visibility: s.Visibility, Causes: s.Causes,
			PayloadHash: span.PayloadHash(salt[:16], []byte(s.Payload)).String(),
			Signature:   span.Signature{Key: span.B64(make([]byte, 32)), Value: span.B64(make([]byte, 64))},
		},
		Decision: span.Decision{Outcome: span.OutcomeAllow},
	}
	r := timeline.Row{
		Seq: seq, Payload: []byte(s.Payload), Salt: span.B64(salt[:16]), ID: s.ID, RecordedAt: at,
		Type: s.Type, Author: s.Author, OnBehalfOf: s.OnBehalfOf, Subject: s.Subject, Visibility: s.Visibility, Status: s.Status,
		Tags: s.Tags,
	}
	if !s.NoDetail {
		e.Decision.DetailHash = detail.Hash().String()
		r.Detail = detail.Canonical()
	}
	for _, id := range s.Causes {
		r.Links = append(r.Links, timeline.RowLink{Kind: timeline.LinkCause, ID: id})
	}
	for _, id := range s.Targets {
		r.Links = append(r.Links, timeline.RowLink{Kind: timeline.LinkTarget, ID: id})
	}
	r.Line = e.AppendLine(nil)
	r.Leaf = span.LeafHash(r.Line)
	return r
}

// title is the title in a line, for the model of the free-text search.
func title(line []byte) string {
	_, rest, ok := strings.Cut(string(line), `"title":"`)
	if !ok {
		return ""
	}
	text, _, _ := strings.Cut(rest, `"`)
	return text
}

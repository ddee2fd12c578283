package timeline

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
)

// Limits of a Trace.
const (
	DefaultDepth  = 5
	MaxDepth      = 64
	maxTraceNodes = 10_000
)

// Direction of a Trace.
type Direction int

// The directions.
const (
	Causes  Direction = iota // what led to a span
	Effects                  // what it led to
)

// Node is one span of a Graph. Depth is the number of edges from the root by
// the shortest way.
type Node struct {
	ID     string
	Seq    uint64
	Type   string
	Author string
	Depth  int
}

// Edge leads from a cause to its effect, whichever way the graph was walked.
type Edge struct{ From, To string }

// Graph is what led to a span or what it led to, as far as the reader may see.
// Nodes are in order of depth, then seq, the root first.
type Graph struct {
	Root       string
	Nodes      []Node
	Edges      []Edge
	Unresolved []string // causes that are no entry the reader may see
	Truncated  bool     // more than 10,000 nodes: the rest is left out
}

// Trace walks causes or effects breadth first from a span, depth edges far: 0
// means 5, more than 64 is depth_invalid. A root the reader may not see is
// ErrSpanUnknown.
func (l *Log) Trace(ctx context.Context, tenant, spanID string, dir Direction, depth int, r standing.Reader) (Graph, error) {
	if depth == 0 {
		depth = DefaultDepth
	}
	if depth < 0 || depth > MaxDepth {
		return Graph{}, fault.Newf(fault.Invalid, "depth_invalid", "depth is 1 to %d", MaxDepth).At("/depth", "out of range")
	}
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Graph{}, err
	}
	root, err := l.visible(ctx, id, spanID, r)
	if err != nil {
		return Graph{}, err
	}
	t := &tracer{log: l, tenant: id, reader: r, graph: Graph{Root: spanID}, seen: map[string]bool{}, missing: map[string]bool{}}
	t.node(&root, 0)
	front := []Record{root}
	for d := 1; d <= depth && len(front) > 0 && !t.graph.Truncated; d++ {
		if dir == Causes {
			front, err = t.causes(ctx, front, d)
		} else {
			front, err = t.effects(ctx, front, d)
		}
		if err != nil {
			return Graph{}, err
		}
	}
	return t.graph, nil
}

type tracer struct {
	log     *Log
	tenant  string
	reader  standing.Reader
	graph   Graph
	seen    map[string]bool // span ids in graph.Nodes
	missing map[string]bool // span ids in graph.Unresolved
}

// node adds a record to the graph, and tells whether it is new.
func (t *tracer) node(r *Record, depth int) bool {
	h := &r.Entry.Span
	if t.seen[h.ID] {
		return false
	}
	if len(t.graph.Nodes) == maxTraceNodes {
		t.graph.Truncated = true
		return false
	}
	t.seen[h.ID] = true
	t.graph.Nodes = append(t.graph.Nodes, Node{ID: h.ID, Seq: r.Seq, Type: h.Type, Author: h.Author, Depth: depth})
	return true
}

// causes adds the causes of a front and returns those that are new.
func (t *tracer) causes(ctx context.Context, front []Record, depth int) ([]Record, error) {
	var ids []string
	asked := map[string]bool{}
	for i := range front {
		for _, id := range front[i].Entry.Span.Causes {
			if !t.seen[id] && !t.missing[id] && !asked[id] {
				asked[id] = true
				ids = append(ids, id)
			}
		}
	}
	found, err := t.log.find(ctx, t.tenant, ids, false)
	if err != nil {
		return nil, err
	}
	var next []Record
	for _, id := range ids {
		f, ok := found[id]
		if !ok || f.SpentBy != SpentByEntry || !f.Record.VisibleTo(t.reader) {
			t.missing[id] = true
			t.graph.Unresolved = append(t.graph.Unresolved, id)
			continue
		}
		next = append(next, f.Record)
	}
	next = t.add(next, depth)
	for i := range front {
		h := &front[i].Entry.Span
		for _, id := range unique(h.Causes) {
			if t.seen[id] {
				t.graph.Edges = append(t.graph.Edges, Edge{From: id, To: h.ID})
			}
		}
	}
	return next, nil
}

// effects adds the effects of a front and returns those that are new.
func (t *tracer) effects(ctx context.Context, front []Record, depth int) ([]Record, error) {
	ids := make([]string, len(front))
	for i := range front {
		ids[i] = front[i].Entry.Span.ID
	}
	// Edges of hidden entries are among them, so the limit is on edges too.
	links, err := t.log.store.Linked(ctx, t.tenant, LinkCause, ids, 4*maxTraceNodes)
	if err != nil {
		return nil, err
	}
	if len(links) == 4*maxTraceNodes {
		t.graph.Truncated = true
	}
	seqs := make([]uint64, len(links))
	for i := range links {
		seqs[i] = links[i].From
	}
	slices.Sort(seqs)
	records, err := t.log.records(ctx, t.tenant, slices.Compact(seqs))
	if err != nil {
		return nil, err
	}
	bySeq := make(map[uint64]*Record, len(records))
	var next []Record
	for i := range records {
		if r := &records[i]; r.VisibleTo(t.reader) {
			bySeq[r.Seq] = r
			next = append(next, *r)
		}
	}
	next = t.add(next, depth)
	for _, link := range links {
		if r := bySeq[link.From]; r != nil && t.seen[r.Entry.Span.ID] {
			t.graph.Edges = append(t.graph.Edges, Edge{From: link.ID, To: r.Entry.Span.ID})
		}
	}
	return next, nil
}

// add puts records into the graph in order of seq and returns the new ones.
func (t *tracer) add(records []Record, depth int) []Record {
	slices.SortFunc(records, func(a, b Record) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	var fresh []Record
	for i := range records {
		if t.node(&records[i], depth) {
			fresh = append(fresh, records[i])
		}
	}
	return fresh
}

// records reads lines without payloads, parsed.
func (l *Log) records(ctx context.Context, tenant string, seqs []uint64) ([]Record, error) {
	records, err := l.store.At(ctx, tenant, seqs, false)
	if err != nil {
		return nil, err
	}
	for i := range records {
		if err := records[i].parse(); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func unique(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

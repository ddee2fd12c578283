package timeline

import (
	"cmp"
	"context"
	"slices"
	"strings"

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
	front := t.add([]step{stepTo(&root)}, 0)
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

// traceAtOnce is how many whole entries a Trace holds at a time; what it keeps
// of each is a step.
const traceAtOnce = 256

type tracer struct {
	log     *Log
	tenant  string
	reader  standing.Reader
	graph   Graph
	seen    map[string]bool // span ids in graph.Nodes
	missing map[string]bool // span ids in graph.Unresolved
}

// step is what a Trace needs of an entry.
type step struct {
	Node
	causes []string // without repeats
}

func stepTo(r *Record) step {
	h := &r.Entry.Span
	return step{Node: Node{ID: strings.Clone(h.ID), Seq: r.Seq, Type: strings.Clone(h.Type), Author: strings.Clone(h.Author)}, causes: unique(h.Causes)}
}

// causes adds the causes of a front and returns those that are new.
func (t *tracer) causes(ctx context.Context, front []step, depth int) ([]step, error) {
	var ids []string
	asked := map[string]bool{}
	for i := range front {
		for _, id := range front[i].causes {
			if !t.seen[id] && !t.missing[id] && !asked[id] {
				asked[id] = true
				ids = append(ids, id)
			}
		}
	}
	var next []step
	for some := range slices.Chunk(ids, traceAtOnce) {
		found, err := t.log.find(ctx, t.tenant, some, false)
		if err != nil {
			return nil, err
		}
		for _, id := range some {
			f, ok := found[id]
			if !ok || f.SpentBy != SpentByEntry || !f.Record.VisibleTo(t.reader) {
				t.missing[id] = true
				t.graph.Unresolved = append(t.graph.Unresolved, id)
				continue
			}
			next = append(next, stepTo(&f.Record))
		}
		if len(t.graph.Nodes)+len(next) > maxTraceNodes {
			break // add cuts the rest
		}
	}
	next = t.add(next, depth)
	for i := range front {
		for _, id := range front[i].causes {
			if t.seen[id] {
				t.graph.Edges = append(t.graph.Edges, Edge{From: id, To: front[i].ID})
			}
		}
	}
	return next, nil
}

// effects adds the effects of a front and returns those that are new.
func (t *tracer) effects(ctx context.Context, front []step, depth int) ([]step, error) {
	ids := make([]string, len(front))
	for i := range front {
		ids[i] = front[i].ID
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
	var next []step
	spanAt := make(map[uint64]string)
	for some := range slices.Chunk(slices.Compact(seqs), traceAtOnce) {
		records, err := t.log.records(ctx, t.tenant, some)
		if err != nil {
			return nil, err
		}
		for i := range records {
			if r := &records[i]; r.VisibleTo(t.reader) {
				s := stepTo(r)
				spanAt[r.Seq] = s.ID
				next = append(next, s)
			}
		}
		if len(t.graph.Nodes)+len(next) > 2*maxTraceNodes {
			break // more than add can take, even if it knows as many as there can be
		}
	}
	next = t.add(next, depth)
	for _, link := range links {
		if id, ok := spanAt[link.From]; ok && t.seen[id] {
			t.graph.Edges = append(t.graph.Edges, Edge{From: link.ID, To: id})
		}
	}
	return next, nil
}

// add puts steps into the graph in order of seq and returns the new ones.
func (t *tracer) add(steps []step, depth int) []step {
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.Seq, b.Seq) })
	var fresh []step
	for _, s := range steps {
		if t.seen[s.ID] {
			continue
		}
		if len(t.graph.Nodes) == maxTraceNodes {
			t.graph.Truncated = true
			break
		}
		s.Depth = depth
		t.seen[s.ID] = true
		t.graph.Nodes = append(t.graph.Nodes, s.Node)
		fresh = append(fresh, s)
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
			out = append(out, strings.Clone(id)) // a part of it would keep its whole line
		}
	}
	return out
}

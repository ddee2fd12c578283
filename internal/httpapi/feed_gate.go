package httpapi

import "sync"

// gate counts the feeds, or other long-lived connections, that are open, which
// the HTTP server does not: their connections are not its own any more.
type gate struct {
	max  int
	full error // for whoever finds it full

	mu    sync.Mutex // guards the rest, and what places are cut by
	open  map[*place]struct{}
	shut  bool
	empty chan struct{} // closed once shut and empty
}

// place is one open feed.
type place struct {
	gate   *gate
	cut    func() // ends its connection at once; nil: it has none of its own
	holder string // who has it, once that is known; all without a credential are one
	tenant string // whose timeline it shows, likewise
}

func newGate(max int, full error) *gate {
	return &gate{max: max, full: full, open: make(map[*place]struct{}), empty: make(chan struct{})}
}

func (g *gate) enter() (*place, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut || len(g.open) >= g.max {
		return nil, g.full
	}
	p := &place{gate: g}
	g.open[p] = struct{}{}
	return p, nil
}

// most is how many places one holder may have: an eighth is left for others.
func (g *gate) most() int { return g.max - g.max/8 }

// hold says who has the place, unless they have as many as one may.
func (p *place) hold(who string, tooMany error) error {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	held := 0
	for other := range g.open {
		if other != p && other.holder == who {
			held++
		}
	}
	if held >= g.most() {
		return tooMany
	}
	p.holder = who
	return nil
}

// of says whose timeline the place shows, unless that one has seven eighths of what
// the others leave: a tenant has as many readers as it likes.
func (p *place) of(tenant string, tooMany error) error {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	its, others := 0, 0
	for other := range g.open {
		switch other.tenant {
		case "":
		case tenant:
			its++
		default:
			others++
		}
	}
	if its > 0 && 8*its >= 7*(g.max-others) {
		return tooMany
	}
	p.tenant = tenant
	return nil
}

func (p *place) leave() {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	delete(p.gate.open, p)
	p.gate.check()
}

func (p *place) cutBy(cut func()) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.cut = cut
}

// close lets nobody in any more; empty is closed when all have left.
func (g *gate) close() (empty <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		g.shut = true
		g.check()
	}
	return g.empty
}

// check closes empty when it is. The caller holds mu.
func (g *gate) check() {
	if !g.shut || len(g.open) > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// cutAll ends every connection that is left.
func (g *gate) cutAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.open {
		if p.cut != nil {
			p.cut()
		}
	}
}

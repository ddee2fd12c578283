package quota

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// What a rate is counted by: names for problems, headers and metrics.
const (
	ByAddress  = "address"
	ByIdentity = "identity"
	ByKey      = "key"
	ByTenant   = "tenant"
	ByTries    = "tries"
)

// Tries bounds how often one address tries tokens and codes of invitations and
// registrations: far more than people do, far less than guessing takes.
var Tries = ratelimit.Limit{Rate: 1, Burst: 60}

// Rates are the node's limits, each for one caller of its kind.
type Rates struct {
	Address  ratelimit.Limit // of requests, spans and signature checks, before anything is judged
	Identity ratelimit.Limit // of requests and spans by somebody who is proven
	Key      ratelimit.Limit // of the same with one key, or one API key
	Tenant   ratelimit.Limit // of the same in one tenant, by those who hold a role there
}

// Gate bounds what callers do. It is safe for concurrent use; a nil Gate lets
// everything through.
type Gate struct {
	store   ratelimit.Store
	rates   Rates
	refused [len(counted)]atomic.Int64 // in the order of counted
}

var counted = [...]string{ByAddress, ByIdentity, ByKey, ByTenant, ByTries}

// NewGate makes a gate over store; it starts nothing.
func NewGate(store ratelimit.Store, rates Rates) *Gate { return &Gate{store: store, rates: rates} }

// Level is how the bucket stands that a caller has least left in. The zero Level
// is of a caller whom nothing limits.
type Level struct {
	By     string // ByAddress …
	Limit  ratelimit.Limit
	Answer ratelimit.Answer
}

// Refusal is the cause of a fault of kind Limited: which bucket had too little.
type Refusal struct{ Level }

// Error says which.
func (r *Refusal) Error() string { return "limited by " + r.By + " to " + r.Limit.String() }

// Address counts n requests, spans or checks of an address, before anybody looks
// at them. This machine's own addresses, and connections without one, are not
// counted: they are this machine's programs, or a proxy that nobody told the
// node of, which would make all its clients one. limited rate_address.
func (g *Gate) Address(ctx context.Context, from netip.Addr, n int) (Level, error) {
	if g == nil || !g.rates.Address.On() || !from.IsValid() || from.IsLoopback() {
		return Level{}, nil
	}
	return g.take(ctx, bucket{ByAddress, addressKey(from), g.rates.Address, n})
}

// addressKey is the bucket of an address: of IPv6 a /64, which is what one
// customer gets at least.
func addressKey(a netip.Addr) string {
	if a = a.Unmap(); a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.Addr().String()
}

// Caller counts n requests or spans of somebody proven, and of the key (public
// key, or API key's id) by which. limited rate_identity, rate_key.
func (g *Gate) Caller(ctx context.Context, identity, key string, n int) (Level, error) {
	if g == nil || !g.rates.Identity.On() && !g.rates.Key.On() {
		return Level{}, nil
	}
	return g.take(ctx, bucket{ByIdentity, identity, g.rates.Identity, n}, bucket{ByKey, key, g.rates.Key, n})
}

// Author is Caller for spans whose signature was checked.
func (g *Gate) Author(ctx context.Context, author, key string, spans int) error {
	_, err := g.Caller(ctx, author, key, spans)
	return err
}

// Tenant counts n requests in a tenant by somebody who holds a role there.
// limited rate_tenant.
func (g *Gate) Tenant(ctx context.Context, tenant string, n int) (Level, error) {
	if g == nil || !g.rates.Tenant.On() {
		return Level{}, nil
	}
	return g.take(ctx, bucket{ByTenant, tenant, g.rates.Tenant, n})
}

// Try counts one try of an address that is counted (see Address), whatever the
// node's own rates are. limited rate_tries.
func (g *Gate) Try(ctx context.Context, from netip.Addr) (Level, error) {
	if g == nil || !from.IsValid() || from.IsLoopback() {
		return Level{}, nil
	}
	return g.take(ctx, bucket{ByTries, addressKey(from), Tries, 1})
}

// Refused is how many times each kind of limit said no, in this process.
func (g *Gate) Refused(tell func(by string, n int64)) {
	if g == nil {
		return
	}
	for i, by := range counted {
		tell(by, g.refused[i].Load())
	}
}

// Alone says whether limits that processes share hold in this one alone now.
func (g *Gate) Alone() bool {
	if g == nil {
		return false
	}
	shared, ok := g.store.(*ratelimit.Fallback)
	if !ok {
		return false
	}
	alone, _ := shared.Alone()
	return alone
}

// bucket is one that something is taken from.
type bucket struct {
	by, name string
	limit    ratelimit.Limit
	cost     int
}

func (g *Gate) take(ctx context.Context, from ...bucket) (Level, error) {
	var asks [2]ratelimit.Ask
	var answers [2]ratelimit.Answer
	var which [2]int
	n := 0
	for i := range from {
		if b := &from[i]; b.limit.On() && b.name != "" {
			asks[n] = ratelimit.Ask{Key: b.by + ":" + b.name, Limit: b.limit, Cost: b.cost}
			which[n] = i
			n++
		}
	}
	if n == 0 {
		return Level{}, nil
	}
	refused := g.store.Take(ctx, asks[:n], answers[:n])
	if refused >= 0 {
		b := &from[which[refused]]
		l := Level{b.by, b.limit, answers[refused]}
		g.count(b.by)
		return l, refusal(l)
	}
	least := 0
	for i := 1; i < n; i++ {
		if answers[i].Remaining < answers[least].Remaining {
			least = i
		}
	}
	return Level{from[which[least]].by, from[which[least]].limit, answers[least]}, nil
}

func (g *Gate) count(by string) {
	for i := range counted {
		if counted[i] == by {
			g.refused[i].Add(1)
		}
	}
}

var whose = map[string]string{
	ByAddress: "your address", ByIdentity: "your identity", ByKey: "this key", ByTenant: "this tenant", ByTries: "your address",
}

func refusal(l Level) error {
	detail := fmt.Sprintf("%s has sent more than %d requests and spans a second for a while; nothing was done, go on more slowly", whose[l.By], l.Limit.Rate)
	if l.By == ByTries {
		detail = "your address has tried too many tokens and codes; nothing was done, wait before the next"
	}
	return fault.New(fault.Limited, "rate_"+l.By, detail).
		With("limit", l.By).With("rate", l.Limit.Rate).With("burst", l.Limit.Burst).
		After(max(l.Answer.Retry, time.Millisecond)).Because(&Refusal{l})
}

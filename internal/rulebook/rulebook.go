// Package rulebook reads which contracts a timeline has had: those in force,
// those that were, and their sources, compiled once. It takes rows and entries from the log and
// the meaning of both from package rules; it decides nothing and writes nothing.
package rulebook

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Log is what is asked of the timelines. *timeline.Log implements it.
type Log interface {
	Committed(tenant string) *timeline.Committed
	Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) (records []timeline.Record, next uint64, err error)
}

// Modes of a version.
const (
	Enforced = "enforce"
	Shadowed = "shadow"
	Past     = "past" // out of force; it only ends the work that it began
)

// Version is a version of a contract that was activated on a timeline.
type Version struct {
	Name, Version string
	Hash          string // b64u, of the source
	Mode          string
	Seq           uint64 // of the entry that activated it last
	Span          string // of that entry
	Author        string // who activated it
	ActivatedAt   string
	Title         string
	NodeWide      bool // for every tenant
	Requires      []string
	Source        string
}

// Ref is the version as decisions name it.
func (v *Version) Ref() string { return v.Name + "@" + v.Version + "#" + v.Hash }

// InForce says that it takes part in decisions, or is shown what it would say.
func (v *Version) InForce() bool { return v.Mode != Past }

// Book reads contracts. It is safe for concurrent use.
type Book struct {
	log Log

	mu       sync.Mutex                    // guards compiled
	compiled map[string]*contract.Contract // by hash of the source
}

// New makes a book over a log.
func New(log Log) *Book {
	return &Book{log: log, compiled: make(map[string]*contract.Contract)}
}

// ErrUnknown is the answer for a contract that was never activated.
var ErrUnknown = fault.New(fault.NotFound, "contract_unknown",
	"no contract of that name, or no such version of it, was ever activated on this timeline; GET …/contracts lists them")

// Versions are all that were ever activated, by name and then by position.
func (b *Book) Versions(ctx context.Context, tenant string) ([]Version, error) {
	sources, err := b.versions(ctx, tenant)
	if err != nil {
		return nil, err
	}
	out := make([]Version, 0, len(sources))
	for _, s := range sources {
		v, err := b.version(ctx, tenant, s)
		if err != nil {
			return nil, err
		}
		out = append(out, *v)
	}
	slices.SortStableFunc(out, func(x, y Version) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Seq, y.Seq))
	})
	return out, nil
}

// Named are the versions of one contract, by position; ErrUnknown where there is
// none.
func (b *Book) Named(ctx context.Context, tenant, name string) ([]Version, error) {
	sources, err := b.versions(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []Version
	for _, s := range sources {
		if s.Name != name {
			continue
		}
		v, err := b.version(ctx, tenant, s)
		if err != nil {
			return nil, err
		}
		out = append(out, *v)
	}
	if len(out) == 0 {
		return nil, ErrUnknown
	}
	slices.SortFunc(out, func(x, y Version) int { return cmp.Compare(x.Seq, y.Seq) })
	return out, nil
}

// Choose is the version that is asked for by number or hash: of several with one
// number the last. Without a choice it is the one in force, else its shadow, nil
// where there is neither.
func Choose(versions []Version, choice string) (*Version, error) {
	var found *Version
	for i := range versions {
		v := &versions[i]
		switch {
		case choice == "" && v.Mode == Enforced:
			return v, nil
		case choice == "" && v.InForce(), choice != "" && (v.Version == choice || v.Hash == choice):
			found = v
		}
	}
	if found == nil && choice != "" {
		return nil, ErrUnknown
	}
	return found, nil
}

// version reads the entry that activated a version.
func (b *Book) version(ctx context.Context, tenant string, s rules.Source) (*Version, error) {
	rec, p, err := b.activation(ctx, tenant, s.Seq)
	if err != nil {
		return nil, err
	}
	h := &rec.Entry.Span
	v := &Version{
		Name: p.Name, Version: p.Version, Hash: p.Hash, Mode: modeOf(s.Mode),
		Seq: s.Seq, Span: h.ID, Author: h.Author, ActivatedAt: rec.Entry.RecordedAt, Source: p.Source,
	}
	v.readHead()
	return v, nil
}

// readHead takes from the source what a list of contracts tells. It compiles
// nothing: of most versions nobody asks for more, and some may be of another
// version of this program.
func (v *Version) readHead() {
	file, _ := lll.Parse("contract.lll", v.Source)
	contracts := file.Contracts()
	if len(contracts) == 0 {
		return
	}
	n := contracts[0]
	v.Title, _ = n.Value("title").Plain()
	tenant, _ := n.Value("tenant").Plain()
	v.NodeWide = tenant == contract.NodeWide
	for _, key := range []string{"requires", "inherits"} {
		names, _ := n.Value(key).Words()
		for _, name := range names {
			if r, ok := contract.ParseRequirement(name); ok {
				v.Requires = append(v.Requires, r.String())
			}
		}
	}
}

func modeOf(m contract.Mode) string {
	switch m {
	case contract.Enforced:
		return Enforced
	case contract.Shadowed:
		return Shadowed
	}
	return Past
}

// activation is the logline.contract entry at a position. Payloads of that type
// are never erased.
func (b *Book) activation(ctx context.Context, tenant string, seq uint64) (*timeline.Record, *span.Contract, error) {
	records, _, err := b.log.Entries(ctx, tenant, seq, seq+1, standing.Everything()) // who may ask for contracts is decided before
	if err != nil {
		return nil, nil, err
	}
	if len(records) != 1 || records[0].Seq != seq {
		return nil, nil, timeline.ErrHashesMissing(0, seq, seq+1)
	}
	p, err := span.ParseContract(records[0].Payload)
	return &records[0], p, err
}

const maxCompiled = 1024 // contracts

// Compile is rules.Compile, once for each source that is met often.
func (b *Book) Compile(source string) (*contract.Contract, error) {
	hash := span.Sum([]byte(source)).String()
	if c := b.known(hash); c != nil {
		return c, nil
	}
	c, err := rules.Compile(source)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.compiled) >= maxCompiled {
		clear(b.compiled)
	}
	b.compiled[hash] = c
	return c, nil
}

func (b *Book) known(hash string) *contract.Contract {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.compiled[hash]
}

// Set is the contracts of these sources, which stand on a tenant's timeline.
func (b *Book) Set(ctx context.Context, tenant string, sources []rules.Source) (*contract.Set, error) {
	all := make([]contract.InForce, len(sources))
	for i, s := range sources {
		c, err := b.read(ctx, tenant, s)
		if err != nil {
			return nil, err
		}
		all[i] = contract.InForce{Contract: c, Mode: s.Mode}
	}
	return contract.NewSet(all), nil
}

// Contract is any version that was ever activated, of which state knows; nil for
// one that never was.
func (b *Book) Contract(ctx context.Context, tenant string, state rules.State, ref string) (*contract.Contract, error) {
	s, ok, err := rules.SourceOf(ctx, state, ref)
	if err != nil || !ok {
		return nil, err
	}
	return b.read(ctx, tenant, s)
}

// read compiles the source of a version, unless that was done before.
func (b *Book) read(ctx context.Context, tenant string, s rules.Source) (*contract.Contract, error) {
	_, hash, _ := strings.Cut(s.Ref, "#")
	if c := b.known(hash); c != nil {
		return c, nil
	}
	_, p, err := b.activation(ctx, tenant, s.Seq)
	if err != nil {
		return nil, err
	}
	c, err := b.Compile(p.Source)
	if err != nil {
		return nil, fault.Newf(fault.Internal, "contract_unreadable",
			"the contract %s was activated and does not compile here; another version of this program activated it", s.Ref).Because(err)
	}
	return c, nil
}

// tries is how often a timeline is read again that grew meanwhile.
const tries = 5

var errBusy = fault.New(fault.Unavailable, "timeline_busy",
	"the timeline grew faster than its contracts could be read; ask again").After(time.Second)

// Sources are the versions that decide, as of one head.
func (b *Book) Sources(ctx context.Context, tenant string) ([]rules.Source, error) {
	return b.atHead(ctx, tenant, rules.Sources)
}

// versions are all that were ever activated, as of one head.
func (b *Book) versions(ctx context.Context, tenant string) ([]rules.Source, error) {
	return b.atHead(ctx, tenant, rules.Versions)
}

func (b *Book) atHead(ctx context.Context, tenant string, read func(context.Context, rules.State) ([]rules.Source, error)) ([]rules.Source, error) {
	for range tries {
		s := b.log.Committed(tenant)
		sources, err := read(ctx, s)
		if err != nil {
			return nil, err
		}
		if !s.Moved() {
			return sources, nil
		}
	}
	return nil, errBusy
}

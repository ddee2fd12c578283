package trial

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// tenantID is the tenant of every trial.
const tenantID = "ae448ac8-6c4e-88e4-b7b1-915ca5c23bd0"

// Person is what a trial knows of an identity.
type Person struct {
	Handle, Name string
	// Status is ghost, validated, revoked, or a state of a workflow named
	// identity; "" is validated.
	Status string
	Trust  float64
	Roles  []string // nil: member
	// Subject is person, organization, service or agent; "" is person.
	Subject string
}

// cast is who takes part, by symbolic names. It is the tenant's standing too.
type cast struct {
	rand    io.Reader
	now     func() time.Time
	byName  map[string]*player
	byID    map[string]*player
	members []*player
	node    *player
}

type player struct {
	name   string // symbolic
	keys   *id.Keys
	chain  *id.Chain
	handle string
	full   string
	roles  []string
}

var _ standing.View = (*cast)(nil)

func newCast(rand io.Reader, now func() time.Time) (*cast, error) {
	c := &cast{rand: rand, now: now, byName: map[string]*player{}, byID: map[string]*player{}}
	var err error
	c.node, err = c.make("node", id.SubjectNode)
	return c, err
}

// make gives keys to a name.
func (c *cast) make(name, subject string) (*player, error) {
	var k *id.Keys
	var err error
	if subject == id.SubjectGhost {
		k, err = id.GhostKeys(make([]byte, 32), tenantID, "trial", name)
	} else {
		k, err = id.NewKeys(subject, c.now(), c.rand)
	}
	if err != nil {
		return nil, err
	}
	p := &player{name: name, keys: k, chain: k.Chain()}
	c.byName[name], c.byID[k.ID()] = p, p
	return p, nil
}

// symbol is a name without the scheme.
func symbol(name string) string { return strings.TrimPrefix(name, span.IdentityScheme) }

// named is the player of a symbolic name; whoever was not introduced is a
// member of whom nothing else is known.
func (c *cast) named(name string) (*player, error) {
	if p := c.byName[symbol(name)]; p != nil {
		return p, nil
	}
	return c.introduce(name, id.SubjectPerson, Person{})
}

// introduce makes a player. A name that was there already gets other keys.
func (c *cast) introduce(name, subject string, p Person) (*player, error) {
	one, err := c.make(symbol(name), subject)
	if err != nil {
		return nil, err
	}
	one.handle, one.full, one.roles = p.Handle, p.Name, slices.Clone(p.Roles)
	if one.handle == "" {
		one.handle = "@" + symbol(name)
	}
	if p.Roles == nil {
		one.roles = []string{span.RoleMember}
	}
	slices.Sort(one.roles)
	c.members = append(c.members, one)
	slices.SortFunc(c.members, func(a, b *player) int { return strings.Compare(a.keys.ID(), b.keys.ID()) })
	return one, nil
}

// real is a text of data with the identity that it names instead of its symbol.
func (c *cast) real(text string) string {
	if !strings.HasPrefix(text, span.IdentityScheme) || span.IsIdentity(text) || text == span.IdentityScheme {
		return text
	}
	name := symbol(text)
	if p := c.byName[name]; p != nil {
		return p.keys.ID()
	}
	p, err := c.make(name, id.SubjectPerson) // known by its name, and no member
	if err != nil {
		return text
	}
	p.roles = nil
	return p.keys.ID()
}

// told is a text with symbols instead of identities.
func (c *cast) told(text string) string {
	if !strings.Contains(text, span.IdentityScheme) {
		return text
	}
	for identity, p := range c.byID {
		text = strings.ReplaceAll(text, identity, span.IdentityScheme+p.name)
	}
	return text
}

func (c *cast) directory(identity string) (handle, name string) {
	if p := c.byID[identity]; p != nil {
		return p.handle, p.full
	}
	return "", ""
}

// The tenant's standing.

func (c *cast) Genesis() *span.Genesis   { return nil }
func (c *cast) Tenant() string           { return tenantID }
func (c *cast) Node() string             { return c.node.keys.ID() }
func (c *cast) Owner() string            { return c.node.keys.ID() }
func (c *cast) LogKey() string           { return "" }
func (c *cast) Epoch() (n, first uint64) { return 0, 0 }
func (c *cast) Halted() string           { return "" }

func (c *cast) Identity(identity string) (*id.Chain, bool) {
	p, ok := c.byID[identity]
	if !ok {
		return nil, false
	}
	return p.chain, true
}

func (c *cast) Roles(identity string) []string {
	if p := c.byID[identity]; p != nil {
		return p.roles
	}
	return nil
}

// Can says yes: who may append is not what contracts decide.
func (c *cast) Can(string, standing.Right) bool { return true }

func (c *cast) Members() []standing.Member {
	out := make([]standing.Member, 0, len(c.members))
	for _, p := range c.members {
		if p == c.byName[p.name] {
			out = append(out, standing.Member{Identity: p.keys.ID(), Roles: p.roles})
		}
	}
	return out
}

func tenant(slug string) expr.Tenant { return expr.Tenant{ID: tenantID, Slug: slug, Name: slug} }

package timeline

import (
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Forms of fields that SQL stores share.

// IDBytes is a UUID as 16 bytes; nil for anything else, which no row has.
func IDBytes(id string) []byte {
	if !span.IsUUID(id) {
		return nil
	}
	out := make([]byte, 0, 16)
	for i := 0; i < len(id); i++ {
		if id[i] == '-' {
			continue
		}
		out = append(out, unhex(id[i])<<4|unhex(id[i+1]))
		i++
	}
	return out
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// IDString is the inverse of IDBytes.
func IDString(b []byte) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 36)
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = append(out, hex[c>>4], hex[c&15])
	}
	return string(out)
}

// VisibilityNumber is the stored form of a visibility.
func VisibilityNumber(v string) int {
	switch v {
	case span.VisibilityPrivate:
		return 0
	case span.VisibilityOrganization:
		return 1
	default:
		return 2
	}
}

// VisibilityText is the inverse of VisibilityNumber; "" for a number that means
// nothing.
func VisibilityText(n int) string {
	switch n {
	case 0:
		return span.VisibilityPrivate
	case 1:
		return span.VisibilityOrganization
	case 2:
		return span.VisibilityPublic
	}
	return ""
}

// SpentNumber is the stored form of Spent.By, and SpentBy its inverse.
func SpentNumber(by string) int {
	if by == SpentByDecision {
		return 1
	}
	return 0
}

// SpentBy is what a stored number of SpentNumber says.
func SpentBy(number int) string {
	if number == 1 {
		return SpentByDecision
	}
	return SpentByEntry
}

// EdgeBytes is a head's edge as one string of bytes.
func (h *Head) EdgeBytes() []byte {
	edge := make([]byte, 0, len(h.Edge)*len(span.Hash{}))
	for i := range h.Edge {
		edge = append(edge, h.Edge[i][:]...)
	}
	return edge
}

// SetHashes fills root and edge from their stored forms.
func (h *Head) SetHashes(root, edge []byte) (err error) {
	if h.Root, err = HashOf(root); err != nil {
		return err
	}
	for len(edge) > 0 {
		n := min(len(edge), len(span.Hash{}))
		one, err := HashOf(edge[:n])
		if err != nil {
			return err
		}
		h.Edge, edge = append(h.Edge, one), edge[n:]
	}
	return nil
}

// HashOf is a hash from its stored form.
func HashOf(b []byte) (h span.Hash, err error) {
	if len(b) != len(h) {
		return h, errHashDamaged
	}
	copy(h[:], b)
	return h, nil
}

// HashOrZero is HashOf for what may be damaged: zero where it is no hash.
func HashOrZero(b []byte) span.Hash {
	h, _ := HashOf(b)
	return h
}

// Executed adds the tally of the executed entries to the statuses of all the
// others, which are what a store counts.
func (c *Counts) Executed() {
	executed := c.Size
	for _, t := range c.Statuses {
		executed -= t.Count
	}
	if executed > 0 {
		c.Statuses = append(c.Statuses, Tally{Value: StatusExecuted, Count: executed})
	}
	slices.SortFunc(c.Statuses, func(a, b Tally) int { return strings.Compare(a.Value, b.Value) })
}

// Less takes tallies away from others, both in order of value.
func Less(all, some []Tally) (out []Tally) {
	for _, t := range all {
		if len(some) > 0 && some[0].Value == t.Value {
			t.Count -= some[0].Count
			some = some[1:]
		}
		if t.Count > 0 {
			out = append(out, t)
		}
	}
	return out
}

// ExactTypes says that none of a filter's types is a pattern.
func ExactTypes(patterns []string) bool {
	return !slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, "*") })
}

var (
	errHashDamaged = fault.New(fault.Internal, "hash_damaged", "a stored hash has the wrong length; check the timeline with fsck")
	// ErrTenantsFull and ErrTimelineFull: a database numbers no more.
	ErrTenantsFull  = fault.New(fault.Unavailable, "tenants_full", "this database holds as many tenants as it can")
	ErrTimelineFull = fault.New(fault.Unavailable, "timeline_full", "this timeline holds as many entries as the database can; continue in a new tenant")
)

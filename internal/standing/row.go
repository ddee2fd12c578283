package standing

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Row is one piece of the state as the store keeps it, written in the
// transaction of the entries that made it. The same entries give the same rows
// however they were cut into batches.
type Row struct {
	Key   string
	Value []byte // nil: the row is deleted
}

// The keys of rows.
const (
	foundingRow    = "founding"
	identityPrefix = "identity/" // + LogLine ID without its scheme
	memberPrefix   = "member/"   // + LogLine ID without its scheme
	pendingPrefix  = "pending/"  // + span id
)

type foundingJSON struct {
	Genesis      json.RawMessage `json:"genesis"`
	GenesisKey   string          `json:"genesis_key"`
	OwnerGranted bool            `json:"owner_granted"`
	Node         string          `json:"node"`
	LogKey       string          `json:"log_key"`
	Epoch        uint64          `json:"epoch"`
	EpochFirst   uint64          `json:"epoch_first"`
	HandedTo     string          `json:"handed_to,omitempty"`
	Halted       string          `json:"halted,omitempty"`
}

type heldJSON struct {
	Type    string `json:"type"`
	Author  string `json:"author"`
	Payload []byte `json:"payload"` // base64: its bytes must come back as they are
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // every value here is ours and marshals; an empty row fails Load loudly
		return []byte{}
	}
	return b
}

func (f *founding) row() Row {
	return Row{foundingRow, encode(foundingJSON{
		f.genesis.Canonical(), f.genesisKey, f.ownerGranted, f.node, f.logKey, f.epoch, f.epochFirst, f.handedTo, f.halted,
	})}
}

func bare(identity string) string { return strings.TrimPrefix(identity, span.IdentityScheme) }

func chainRow(identity string, c *id.Chain) Row {
	return Row{identityPrefix + bare(identity), encode(c)}
}

func memberRow(identity string, roles []string) Row {
	return Row{memberPrefix + bare(identity), encode(roles)}
}

func pendingRow(spanID string, h held) Row {
	return Row{pendingPrefix + spanID, encode(heldJSON(h))}
}

func sortRows(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Key, b.Key) })
	return rows
}

// Rows are the rows that the overlay changes, sorted by key, with their new
// values.
func (t *Tx) Rows() []Row {
	var rows []Row
	if t.refound {
		rows = append(rows, t.founding.row())
	}
	for identity, c := range t.chains {
		rows = append(rows, chainRow(identity, c))
	}
	for identity, roles := range t.members {
		if roles != nil {
			rows = append(rows, memberRow(identity, roles))
		} else if _, ok := t.s.members[identity]; ok {
			rows = append(rows, Row{Key: memberPrefix + bare(identity)})
		}
	}
	for spanID, h := range t.pending {
		if h != nil {
			rows = append(rows, pendingRow(spanID, *h))
		} else if _, ok := t.s.pending[spanID]; ok {
			rows = append(rows, Row{Key: pendingPrefix + spanID})
		}
	}
	return sortRows(rows)
}

// Rows are all rows of the state, sorted by key: what Load reads back.
func (s *State) Rows() []Row {
	var rows []Row
	if s.genesis != nil {
		rows = append(rows, s.founding.row())
	}
	for identity, c := range s.chains {
		rows = append(rows, chainRow(identity, c))
	}
	for identity, roles := range s.members {
		rows = append(rows, memberRow(identity, roles))
	}
	for spanID, h := range s.pending {
		rows = append(rows, pendingRow(spanID, h))
	}
	return sortRows(rows)
}

// Load is the state whose Rows these are, in any order. Rows come from the
// node's own store and are read, not judged; damaged ones fail with
// state_corrupt.
func Load(v id.Verifier, rows []Row) (*State, error) {
	s := New(v)
	for _, r := range rows {
		if err := s.load(r); err != nil {
			return nil, fault.Newf(fault.Internal, "state_corrupt", "the stored state row %q cannot be read; rebuild the state from the lines", r.Key).Because(err)
		}
	}
	return s, nil
}

var errRowKey = fault.New(fault.Internal, "state_row_unknown", "no such row")

func (s *State) load(r Row) error {
	kind, key, _ := strings.Cut(r.Key, "/")
	switch kind + "/" {
	case identityPrefix:
		c := new(id.Chain)
		if err := json.Unmarshal(r.Value, c); err != nil {
			return err
		}
		if c.ID() != span.IdentityScheme+key {
			return errRowKey
		}
		s.chains[c.ID()] = c
		s.heads[c.Head()] = c.ID()
		return nil
	case memberPrefix:
		var roles []string
		if err := json.Unmarshal(r.Value, &roles); err != nil {
			return err
		}
		if len(roles) == 0 || !span.IsIdentity(span.IdentityScheme+key) {
			return errRowKey
		}
		s.members[span.IdentityScheme+key] = roles
		return nil
	case pendingPrefix:
		var h heldJSON
		if err := json.Unmarshal(r.Value, &h); err != nil {
			return err
		}
		s.pending[key] = held(h)
		return nil
	}
	if r.Key != foundingRow {
		return errRowKey
	}
	var f foundingJSON
	if err := json.Unmarshal(r.Value, &f); err != nil {
		return err
	}
	g, err := span.ParseGenesis(f.Genesis)
	if err != nil {
		return err
	}
	s.founding = founding{g, f.GenesisKey, f.OwnerGranted, f.Node, f.LogKey, f.Epoch, f.EpochFirst, f.HandedTo, f.Halted}
	return nil
}

// addRoles keeps roles sorted and without repeats.
func addRoles(have, more []string) []string {
	set := map[string]bool{}
	for _, r := range have {
		set[r] = true
	}
	for _, r := range more {
		set[r] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// dropRoles is nil when nothing is left.
func dropRoles(have, gone []string) []string {
	var left []string
	for _, r := range have {
		if !slices.Contains(gone, r) {
			left = append(left, r)
		}
	}
	return left
}

package bundle

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// maxState bounds a state file, in bytes.
const maxState = 1 << 30

// State is what a run of Verify leaves for the next: everything that the keys
// and roles of later entries rest on, and the tree's edge, after Size entries.
// It is believed as read: keep it where nobody else writes. Its file is one
// JSON object, {"logline": "state", "v": 1, …}.
//
// A State that a Report gave also knows every span id so far, which its file
// does not hold; it serves one run, whose own state goes on from there.
type State struct {
	Tenant     string
	Size       uint64
	RecordedAt string // of the last entry

	edge    *tree.Range
	rows    []standing.Row
	events  map[string][]eventRef
	pending []standing.Ref
	hidden  bool // entries were withheld whole: roles rest on what was not seen

	contracts *contracts // nil where those of before are not known: decisions go unchecked

	spans    *spanSet        // nil where the state was read from a file
	redacted map[uint64]bool // likewise
}

type stateFile struct {
	Logline    string                `json:"logline"`
	V          int                   `json:"v"`
	Tenant     string                `json:"tenant"`
	Size       uint64                `json:"size"`
	RecordedAt string                `json:"recorded_at"`
	Edge       []string              `json:"edge"`
	Standing   []stateRow            `json:"standing"`
	Events     map[string][]eventRef `json:"events"`
	Pending    []stateRef            `json:"pending"`
	Hidden     bool                  `json:"hidden,omitempty"`
	Contracts  *stateContracts       `json:"contracts,omitempty"` // files of before had none
}

// stateContracts are the contracts that the timeline has activated, by
// name@version#hash.
type stateContracts struct {
	Active map[string]string         `json:"active"` // version#hash by name
	Known  []string                  `json:"known"`
	Began  []string                  `json:"began"`
	Asked  map[string]*stateContract `json:"asked"` // by the span that waits
}

// stateContract is what a span that waits asks for.
type stateContract struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
	Action  string `json:"action"`
}

type stateRow struct {
	Key   string         `json:"key"`
	Value jsontext.Value `json:"value"`
}

type stateRef struct {
	ID         string `json:"id"`
	Seq        uint64 `json:"seq"`
	Author     string `json:"author"`
	OnBehalfOf string `json:"on_behalf_of,omitempty"`
	Type       string `json:"type"`
	Visibility string `json:"visibility"`
	HeaderHash string `json:"header_hash"`
}

// ReadState reads a state file. The error's code is state_invalid.
func ReadState(r io.Reader) (*State, error) {
	invalid := func(err error) error {
		return fault.New(fault.Invalid, "state_invalid", "this is not a state file of an earlier verification; make it again from the whole timeline").Because(err)
	}
	var f stateFile
	if err := json.UnmarshalRead(io.LimitReader(r, maxState), &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, invalid(err)
	}
	if f.Logline != "state" || f.V != 1 || !span.IsUUID(f.Tenant) {
		return nil, invalid(nil)
	}
	hashes, err := parseHashes(f.Edge)
	if err != nil {
		return nil, invalid(err)
	}
	s := &State{Tenant: f.Tenant, Size: f.Size, RecordedAt: f.RecordedAt, events: f.Events, hidden: f.Hidden}
	if s.edge, err = tree.NewRange(0, f.Size, hashes); err != nil {
		return nil, invalid(err)
	}
	for _, row := range f.Standing {
		s.rows = append(s.rows, standing.Row{Key: row.Key, Value: row.Value})
	}
	for _, p := range f.Pending {
		h, err := span.ParseHash(p.HeaderHash)
		if err != nil {
			return nil, invalid(err)
		}
		s.pending = append(s.pending, standing.Ref{
			ID: p.ID, Seq: p.Seq, Author: p.Author, OnBehalfOf: p.OnBehalfOf, Type: p.Type,
			Visibility: p.Visibility, Status: standing.StatusPending, HeaderHash: h,
		})
	}
	if _, err := standing.Load(id.StdVerifier(), s.rows); err != nil {
		return nil, invalid(err)
	}
	if f.Contracts != nil {
		s.contracts = f.Contracts.read()
	}
	return s, nil
}

func (f *stateContracts) read() *contracts {
	c := newContracts()
	maps.Copy(c.active, f.Active)
	for _, ref := range f.Known {
		c.known[ref] = true
	}
	for _, ref := range f.Began {
		c.began[ref] = true
	}
	for spanID, p := range f.Asked {
		if p != nil {
			c.asked[spanID] = &span.Contract{Name: p.Name, Version: p.Version, Hash: p.Hash, Action: p.Action}
		}
	}
	return c
}

// file is what a state file says of contracts, nil where they are not known.
func (c *contracts) file() *stateContracts {
	if c == nil {
		return nil
	}
	f := &stateContracts{
		Active: c.active, Known: slices.Sorted(maps.Keys(c.known)), Began: slices.Sorted(maps.Keys(c.began)), Asked: map[string]*stateContract{},
	}
	for spanID, p := range c.asked {
		f.Asked[spanID] = &stateContract{p.Name, p.Version, p.Hash, p.Action}
	}
	return f
}

// LogKey is the note verifier key of the epoch that the timeline is in after
// these entries.
func (s *State) LogKey() (string, error) {
	st, err := standing.Load(id.DefaultVerifier(), s.rows)
	if err != nil {
		return "", err
	}
	key, err := tree.ParseLogKey(st.LogKey())
	if err != nil {
		return "", err
	}
	epoch, _ := st.Epoch()
	return tree.VerifierKey(tree.Origin{Tenant: s.Tenant, Node: st.Node(), Epoch: epoch}, key)
}

// CompareIdentities holds the key events so far against those of an identities
// file, as Verify does with those of a bundle.
func (s *State) CompareIdentities(ctx context.Context, r io.Reader) ([]Problem, error) {
	known, err := readIdentities(ctx, r, id.DefaultVerifier())
	if err != nil {
		return nil, err
	}
	have, out := newEmbedded(), []Problem(nil)
	for identity, events := range s.events {
		for _, e := range events {
			have.addRef(identity, e)
		}
	}
	for _, identity := range sortedKeys(known) {
		if len(have.events[identity]) == 0 {
			continue
		}
		if p := have.compare(identity, known[identity]); p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

// Write writes the state file.
func (s *State) Write(w io.Writer) error {
	f := stateFile{
		Logline: "state", V: 1, Tenant: s.Tenant, Size: s.Size, RecordedAt: s.RecordedAt,
		Edge: formatHashes(s.edge.Hashes()), Standing: []stateRow{}, Events: s.events, Pending: []stateRef{}, Hidden: s.hidden,
		Contracts: s.contracts.file(),
	}
	for _, row := range s.rows {
		f.Standing = append(f.Standing, stateRow{Key: row.Key, Value: row.Value})
	}
	for _, p := range s.pending {
		f.Pending = append(f.Pending, stateRef{
			ID: p.ID, Seq: p.Seq, Author: p.Author, OnBehalfOf: p.OnBehalfOf, Type: p.Type,
			Visibility: p.Visibility, HeaderHash: p.HeaderHash.String(),
		})
	}
	if err := json.MarshalWrite(w, f, json.Deterministic(true)); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// State is what the next bundle of the same timeline can be verified from, nil
// unless this one is consistent and keys and roles were checked throughout.
func (r *Report) State() *State { return r.state }

// stateAfter makes the state after a clean run.
func (f *folder) stateAfter(tenant string) *State {
	s := &State{
		Tenant: tenant, Size: f.next, RecordedAt: f.recordedAt,
		edge: f.whole.Clone(), rows: f.standing.Rows(), events: maps.Clone(f.embedded.events),
		hidden: f.hidden, contracts: f.contracts, spans: f.spans, redacted: f.redacted, pending: f.spans.pending(),
	}
	slices.SortFunc(s.pending, func(a, b standing.Ref) int { return int(a.Seq) - int(b.Seq) })
	return s
}

// Package bundle is a timeline in a file: the NDJSON format of PROTOCOL §6, its
// writer, and the offline verifier, which needs no server, no network and no
// trust in whoever made the file.
//
// A bundle is one header line, then one line for each entry of [From, To) in
// order. Entry lines are canonical JSON, so that no byte of them can change
// unnoticed; slug and name in the header are those of genesis.
//
// It knows no store: entries and tree hashes come from the caller. What a
// bundle cannot prove it does not judge: it counts it as not checked.
package bundle

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// packageSize is the number of leaves under one of the header's package roots.
const packageSize = 256

// Info says what a bundle is of.
type Info struct {
	Tenant     string   // id
	Slug, Name string   // as in genesis
	Node       string   // LogLine ID of the node whose checkpoint this is
	Events     [][]byte // all sealed key events of that node, JCS, in order
	LogKey     string   // note verifier key of the checkpoint's epoch
	Checkpoint []byte   // signed note; its size is at least To
	From, To   uint64
}

// header is the first line of a bundle.
type header struct {
	Logline    string       `json:"logline"`
	V          int          `json:"v"`
	Tenant     headerTenant `json:"tenant"`
	Node       headerNode   `json:"node"`
	LogKey     string       `json:"log_key"`
	From       uint64       `json:"from"`
	To         uint64       `json:"to"`
	Checkpoint string       `json:"checkpoint"`
	Packages   []string     `json:"packages"`
	RangeProof *rangeProof  `json:"range_proof,omitempty"`
}

type headerTenant struct {
	ID   string `json:"id"`
	Slug string `json:"slug"`
	Name string `json:"name"`
}

type headerNode struct {
	ID     string           `json:"id"`
	Events []jsontext.Value `json:"events"`
}

type rangeProof struct {
	Left  []string `json:"left"`
	Right []string `json:"right"`
}

// parseHeader reads the first line: I-JSON, all members and no others. Events
// come out as JCS.
func parseHeader(line []byte) (*header, error) {
	canonical, err := span.Canonicalize(line)
	if err != nil {
		return nil, err
	}
	bad := func(detail string) (*header, error) {
		return nil, fault.New(fault.Invalid, "header_invalid", "the first line is not a bundle's header: "+detail)
	}
	var present map[string]jsontext.Value
	if err := json.Unmarshal(canonical, &present); err != nil {
		return bad("it cannot be read")
	}
	for _, name := range []string{"logline", "v", "tenant", "node", "log_key", "from", "to", "checkpoint", "packages"} {
		if _, ok := present[name]; !ok {
			return bad("it has no member " + name)
		}
	}
	var h header
	if err := json.Unmarshal(canonical, &h, json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(false)); err != nil {
		return bad("a member is unknown or of a wrong kind")
	}
	if h.Logline != "bundle" || h.V != 1 {
		return bad("it is not of kind bundle, version 1")
	}
	if h.From > h.To || h.To > tree.MaxSize {
		return bad("from lies behind to")
	}
	return &h, nil
}

// appendHeader writes the header line without its newline, the kind first.
func (h *header) append() ([]byte, error) {
	b, err := json.Marshal(h, jsontext.EscapeForHTML(false))
	if err != nil {
		return nil, fault.New(fault.Internal, "bundle_header", "the bundle's header cannot be written").Because(err)
	}
	return bytes.TrimSpace(b), nil
}

func parseHashes(texts []string) ([]span.Hash, error) {
	out := make([]span.Hash, len(texts))
	for i, s := range texts {
		var err error
		if out[i], err = span.ParseHash(s); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func formatHashes(hashes []span.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}

// packages is how many 256-aligned packages [from, to) touches.
func packages(from, to uint64) uint64 {
	if from == to {
		return 0
	}
	return (to-1)/packageSize - from/packageSize + 1
}

package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// eventRef is a key event of which no more than its place matters.
type eventRef struct {
	Hash string `json:"hash"` // b64u of H(JCS(sealed event))
	Kind string `json:"kind"`
	Seq  uint64 `json:"seq,omitempty"` // of the numbered kinds
	Time string `json:"time"`

	line int // 0: before this bundle
}

func refOf(e *id.Event, line int) eventRef {
	return eventRef{Hash: e.SealedHash().String(), Kind: e.Kind, Seq: e.Seq, Time: e.Time, line: line}
}

func (r eventRef) numbered() bool { return r.Kind != id.KindDelegate && r.Kind != id.KindUndelegate }

// embedded are the key events that a timeline holds, by identity.
type embedded struct {
	events map[string][]eventRef
	owner  map[string]string // hash of a numbered event -> identity
}

func newEmbedded() *embedded {
	return &embedded{events: make(map[string][]eventRef), owner: make(map[string]string)}
}

func (b *embedded) addRef(identity string, r eventRef) {
	b.events[identity] = append(b.events[identity], r)
	if r.numbered() {
		b.owner[r.Hash] = identity
	}
}

// add takes the event embedded at a line. One whose identity is unknown is left
// out: standing has refused it.
func (b *embedded) add(payload []byte, line int) {
	p, err := span.ParseIdentity(payload)
	if err != nil {
		return
	}
	e, err := id.ParseEvent(p.Event)
	if err != nil {
		return
	}
	identity := b.owner[e.Prev+e.Under] // an event has at most one of the two
	if e.Kind == id.KindInception {
		identity = e.IdentityID()
	}
	if identity != "" {
		b.addRef(identity, refOf(e, line))
	}
}

func (b *embedded) last(identity string) *LastEvent {
	events := b.events[identity]
	if len(events) == 0 {
		return nil
	}
	e := events[len(events)-1]
	return &LastEvent{Kind: e.Kind, Hash: e.Hash, Time: e.Time, Line: e.line}
}

// foldEvents checks a chain of sealed key events. With trustClaims a claim is
// taken as it is, because only who holds the claimer's chain could judge it;
// else it is refused.
func foldEvents(events []jsontext.Value, v id.Verifier, trustClaims bool) (*id.Chain, []eventRef, error) {
	var chain *id.Chain
	var refs []eventRef
	for i, raw := range events {
		e, err := id.ParseEvent(raw)
		if err == nil {
			switch {
			case i == 0:
				chain, err = id.Begin(e, v)
			case e.Kind != id.KindClaim || !trustClaims:
				_, err = chain.Apply(e, v, nil)
			}
		}
		if err != nil {
			return nil, nil, err
		}
		refs = append(refs, refOf(e, 1))
	}
	if chain == nil {
		return nil, nil, fault.New(fault.Invalid, "events_missing", "there is no key event")
	}
	return chain, refs, nil
}

// maxIdentityLine bounds a line of the identities file, in bytes.
const maxIdentityLine = 16 << 20

// readIdentities reads NDJSON of {"events": [sealed key event, …]}, further
// members ignored, as GET /v1/identities/{id} answers. The error's code is
// identities_invalid.
func readIdentities(ctx context.Context, r io.Reader, v id.Verifier) (map[string][]eventRef, error) {
	known := make(map[string][]eventRef)
	lines := newLineReader(r)
	for ctx.Err() == nil {
		line, err := lines.next(maxIdentityLine)
		if errors.Is(err, io.EOF) {
			return known, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read identities: %w", err)
		}
		if len(bytes.TrimSpace(line.bytes)) == 0 {
			continue
		}
		var entry struct {
			Events []jsontext.Value `json:"events"`
		}
		invalid := fault.Newf(fault.Invalid, "identities_invalid",
			`line %d of the identities file is not {"events": [key event, …]} with a valid chain`, line.number)
		if err := json.Unmarshal(line.bytes, &entry); err != nil {
			return nil, invalid.Because(err)
		}
		chain, refs, err := foldEvents(entry.Events, v, true)
		if err != nil {
			return nil, invalid.Because(err)
		}
		known[chain.ID()] = refs
	}
	return nil, ctx.Err()
}

// compare holds the key events that the timeline has of an identity against
// those somebody else knows: a fork of the chain, or an event the timeline
// lacks, is worth a problem. A timeline that has more is not.
func (b *embedded) compare(identity string, known []eventRef) (problem *Problem) {
	have := make(map[string]bool)
	numbered := make(map[uint64]eventRef)
	events := b.events[identity]
	for _, e := range events {
		have[e.Hash] = true
		if e.numbered() {
			numbered[e.Seq] = e
		}
	}
	last := events[len(events)-1]
	for _, k := range known {
		if e, ok := numbered[k.Seq]; ok && k.numbered() && e.Hash != k.Hash {
			return &Problem{Line: max(e.line, 1), Code: "identity_conflict", Reason: fmt.Sprintf(
				"%s has another %s at seq %d of its chain here than in the identities file: one of both is forged, or its keys are stolen", identity, e.Kind, e.Seq)}
		}
	}
	for _, k := range known {
		if !have[k.Hash] {
			return &Problem{Line: max(last.line, 1), Code: "identity_longer", Reason: fmt.Sprintf(
				"the identities file knows a %s of %s at %s that this timeline lacks: it came after the bundle, or the writer withholds it", k.Kind, identity, k.Time)}
		}
	}
	return nil
}

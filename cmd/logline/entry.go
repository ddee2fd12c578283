package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// entryView is an entry as a reader gets it.
type entryView struct {
	Seq        uint64 `json:"seq"`
	RecordedAt string `json:"recorded_at"`
	Span       struct {
		span.Header
		Payload  json.RawMessage `json:"payload"`
		Salt     string          `json:"salt"`
		Withheld string          `json:"withheld"`
	} `json:"span"`
	Decision decisionView `json:"decision"`
}

type decisionView struct {
	Outcome   string   `json:"outcome"`
	Evaluator string   `json:"evaluator"`
	Contracts []string `json:"contracts"`
	Rules     []string `json:"rules"`
	Tags      []string `json:"tags"`

	Transitions []span.Transition `json:"transitions"`
	Effects     json.RawMessage   `json:"effects"`
	Detail      struct {
		Notes   []string `json:"notes"`
		Reasons []string `json:"reasons"`
	} `json:"detail"`
}

func parseEntry(raw []byte) (entryView, error) {
	var e entryView
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fault.New(fault.Internal, "answer_unreadable", "the node answered with an entry that cannot be read").Because(err)
	}
	return e, nil
}

func parseDecision(raw []byte) (decisionView, error) {
	var d decisionView
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fault.New(fault.Internal, "answer_unreadable", "the node answered with a decision that cannot be read").Because(err)
	}
	return d, nil
}

// check checks what an entry shows by itself: that the key it names signed its
// header, and that payload and salt are those which the header commits to; where
// these are withheld there is nothing to check. Whether that key was the
// author's, and whether the entry is in the timeline, is for verify and receipts.
func (e *entryView) check() error {
	h := &e.Span.Header
	key, err := span.ParseB64(h.Signature.Key, ed25519.PublicKeySize)
	value, err2 := span.ParseB64(h.Signature.Value, ed25519.SignatureSize)
	if err != nil || err2 != nil || !id.DefaultVerifier().Verify(key, h.Message(), value) {
		return answerAltered("signature_invalid", e, "its signature does not verify: its header is not the one that was signed")
	}
	if e.Span.Withheld != "" {
		return nil
	}
	if len(e.Span.Payload) == 0 {
		return answerAltered("payload_missing", e, "its payload is missing, and nothing says that it is withheld")
	}
	payload, err := span.Canonicalize(e.Span.Payload)
	if err != nil {
		return answerAltered("payload_unreadable", e, "its payload is not JSON as the protocol takes it")
	}
	salt, err := span.ParseB64(e.Span.Salt, 16)
	if err != nil || span.PayloadHash(salt, payload).String() != e.Span.PayloadHash {
		return answerAltered("payload_hash_mismatch", e, "its payload is not the one that was signed")
	}
	return nil
}

func answerAltered(code string, e *entryView, why string) error {
	return fault.Newf(fault.Invalid, code, "what the node says of span %s (entry %d) does not hold: %s; do not rely on it, and see logline verify", ui.Clean(e.Span.ID), e.Seq, why)
}

// when is the moment to show: when it happened, else when it was signed.
func (e *entryView) when() string { return firstOf(e.Span.OccurredAt, e.Span.Time) }

// what is the one line that says most about the span.
func (e *entryView) what() string {
	if e.Span.Title != "" {
		return e.Span.Title
	}
	switch e.Span.Type {
	case span.TypeIdentity:
		var p struct {
			Event struct{ Kind, Subject, Label string }
		}
		if json.Unmarshal(e.Span.Payload, &p) == nil && p.Event.Kind != "" {
			return strings.TrimSuffix(p.Event.Kind+": "+firstOf(p.Event.Label, p.Event.Subject), ": ")
		}
	case span.TypeEpoch:
		var p span.Epoch
		if json.Unmarshal(e.Span.Payload, &p) == nil && p.PrevOrigin != "" {
			return fmt.Sprintf("goes on from %d entries under a new origin; what came after them is not here", p.PrevSize)
		}
	case span.TypeDecision:
		if p := refusalIn(e); p != nil && p.Type != "" {
			return p.Type + " refused by " + p.Rule
		}
	case span.TypeContract:
		var p span.Contract
		if json.Unmarshal(e.Span.Payload, &p) == nil && p.Action != "" {
			return p.Action + " " + p.Name + " " + p.Version
		}
	case span.TypeMember:
		var p span.Member
		if json.Unmarshal(e.Span.Payload, &p) == nil && p.Action != "" {
			return p.Action + " " + strings.Join(p.Roles, ", ") + ": " + p.Identity
		}
	}
	var known map[string]any
	_ = json.Unmarshal(e.Span.Payload, &known) // withheld or not an object: the subject remains
	for _, member := range []string{"subject", "title", "summary", "message", "name", "slug"} {
		if s, ok := known[member].(string); ok && s != "" {
			return s
		}
	}
	if e.Span.Subject == "" && len(known) > 0 {
		return compact(e.Span.Payload)
	}
	return e.Span.Subject
}

// shortTime is a LogLine time to the minute, for tables.
func shortTime(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	return t.Format("2006-01-02 15:04")
}

func compact(raw []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// indented is JSON for people to read.
func indented(raw []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// fullID gives a LogLine ID its scheme; handles stay as they are.
func fullID(s string) string {
	if strings.HasPrefix(s, "@") || strings.HasPrefix(s, span.IdentityScheme) {
		return s
	}
	return span.IdentityScheme + s
}

// spanArg checks a span id from the command line.
func spanArg(s string) (string, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if !span.IsUUID(s) {
		return "", usagef("%q is not a span id (a UUID such as 019…); `logline list` shows them", ui.Clean(s))
	}
	return s, nil
}

func seqOf(n uint64) string { return fmt.Sprint(n) }

package id

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

var subjects = []string{SubjectPerson, SubjectOrganization, SubjectService, SubjectAgent, SubjectNode, SubjectGhost}

// members says what each kind of event holds beside kind, time, v and signature.
var members = map[string]struct{ required, optional []string }{
	KindInception:  {[]string{"seq", "subject", "key", "next"}, []string{"expires", "custody"}},
	KindRotation:   {[]string{"seq", "prev", "key", "next"}, nil},
	KindRevocation: {[]string{"seq", "prev"}, []string{"reason"}},
	KindClaim:      {[]string{"seq", "prev", "by", "counter"}, nil},
	KindDelegate:   {[]string{"under", "key", "label"}, []string{"types", "expires", "custody"}},
	KindUndelegate: {[]string{"under", "key"}, nil},
}

// ParseEvent reads a sealed key event: form, formats and public keys, not the
// signatures, which Begin and Apply check. src is JSON of at most 16 KiB; Raw
// is its JCS form. Codes: event_too_large, those of span.Canonicalize,
// event_kind, event_version, member_missing, member_unknown, member_null,
// member_empty, member_malformed, text_too_long, types_reserved_pattern,
// ghost_next, ghost_expires, next_missing, expires_not_ghost,
// key_malformed, key_not_canonical, key_small_order.
func ParseEvent(src []byte) (*Event, error) {
	if len(src) > MaxEventBytes {
		return nil, fault.Newf(fault.Invalid, "event_too_large", "a key event has at most %d bytes, this one has %d", MaxEventBytes, len(src))
	}
	raw, err := span.Canonicalize(src)
	if err != nil {
		return nil, err
	}
	p := eventParser{event: &Event{Raw: raw}}
	if err := json.Unmarshal(raw, &p.members); err != nil {
		return nil, fault.New(fault.Invalid, "json_malformed", "a key event is one JSON object").Because(err)
	}
	p.parse()
	if p.err != nil {
		return nil, p.err
	}
	// All members are known by now, so writing the event anew must give the
	// very bytes that were hashed; if not, what we check is not what was signed.
	if again := p.event.appendBody(nil, true); !bytes.Equal(again, raw) {
		return nil, fault.New(fault.Internal, "event_form", "the key event does not read back to its own bytes")
	}
	return p.event, nil
}

// eventParser reads members and keeps the first error.
type eventParser struct {
	event   *Event
	members map[string]json.RawMessage
	sound   string // the public key that was checked last: often the signer's too
	err     *fault.Error
}

func (p *eventParser) fail(code, member, format string, args ...any) {
	if p.err == nil {
		detail := fmt.Sprintf(format, args...)
		p.err = fault.Newf(fault.Invalid, code, "the key event's member %q %s", member, detail).At("/"+member, detail)
	}
}

func (p *eventParser) parse() {
	e := p.event
	e.Kind = p.text("kind")
	set, known := members[e.Kind]
	if p.err == nil && !known {
		p.fail("event_kind", "kind", "is none of inception, rotation, revocation, claim, delegate, undelegate")
	}
	p.checkNames(append([]string{"kind", "time", "v", "signature"}, set.required...), set.optional)
	if p.err != nil {
		return
	}
	if string(p.members["v"]) != "1" {
		p.fail("event_version", "v", "must be 1")
	}
	e.Time = p.time("time")
	e.Signature = p.signature("signature")
	switch e.Kind {
	case KindInception:
		p.parseInception()
	case KindRotation:
		e.Seq, e.Prev, e.Key, e.Next = p.seq(), p.hash("prev"), p.key("key"), p.hash("next")
	case KindRevocation:
		e.Seq, e.Prev, e.Reason = p.seq(), p.hash("prev"), p.short("reason")
	case KindClaim:
		e.Seq, e.Prev, e.By, e.Counter = p.seq(), p.hash("prev"), p.identity("by"), p.signature("counter")
	case KindDelegate:
		e.Under, e.Key, e.Label, e.Types = p.hash("under"), p.key("key"), p.short("label"), p.types()
		e.Expires, e.Custody = p.time("expires"), p.identity("custody")
	case KindUndelegate:
		e.Under, e.Key = p.hash("under"), p.key("key")
	}
}

func (p *eventParser) parseInception() {
	e := p.event
	e.Seq, e.Subject, e.Key = p.seq(), p.text("subject"), p.key("key")
	e.Expires, e.Custody = p.time("expires"), p.identity("custody")
	if p.err == nil && e.Seq != 0 {
		p.fail("member_malformed", "seq", "must be 0")
	}
	if p.err == nil && !slices.Contains(subjects, e.Subject) {
		p.fail("member_malformed", "subject", "is none of %s", strings.Join(subjects, ", "))
	}
	null := string(p.members["next"]) == "null"
	if e.Subject == SubjectGhost {
		if !null {
			p.fail("ghost_next", "next", "must be null for a ghost, whose key never rotates")
		}
		if e.Expires == "" {
			p.fail("ghost_expires", "expires", "is missing; a ghost always expires")
		}
		return
	}
	if null {
		p.fail("next_missing", "next", "must be the hash of the next key; only a ghost's is null")
	}
	if e.Expires != "" {
		p.fail("expires_not_ghost", "expires", "is for ghosts alone; rotate or revoke instead")
	}
	e.Next = p.hash("next")
}

// checkNames refuses missing, unknown and null members.
func (p *eventParser) checkNames(required, optional []string) {
	for _, name := range required {
		value, ok := p.members[name]
		if !ok {
			p.fail("member_missing", name, "is missing")
		} else if string(value) == "null" && !(p.event.Kind == KindInception && name == "next") {
			p.fail("member_null", name, "must not be null")
		}
	}
	names := make([]string, 0, len(p.members))
	for name := range p.members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if slices.Contains(required, name) {
			continue
		}
		if !slices.Contains(optional, name) {
			p.fail("member_unknown", name, "is not known here; nothing may be added to a key event")
			continue
		}
		switch string(p.members[name]) {
		case "null":
			p.fail("member_null", name, "must not be null; leave it out instead")
		case `""`, "[]", "{}":
			p.fail("member_empty", name, "must not be empty; leave it out instead")
		}
	}
}

// text is a string member, "" when absent.
func (p *eventParser) text(name string) string {
	value, ok := p.members[name]
	if p.err != nil || !ok {
		if name == "kind" {
			p.fail("member_missing", name, "is missing")
		}
		return ""
	}
	if len(value) == 0 || value[0] != '"' {
		p.fail("member_malformed", name, "must be a string")
		return ""
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		p.fail("member_malformed", name, "must be a string")
	}
	return s
}

// formatted is a text member that ok accepts, "" when absent.
func (p *eventParser) formatted(name, form string, ok func(string) bool) string {
	s := p.text(name)
	if _, there := p.members[name]; there && p.err == nil && !ok(s) {
		p.fail("member_malformed", name, "must be %s", form)
	}
	return s
}

func (p *eventParser) time(name string) string {
	return p.formatted(name, "a time of the form YYYY-MM-DDTHH:MM:SS.mmmZ", func(s string) bool {
		_, err := span.ParseTime(s)
		return err == nil
	})
}

func (p *eventParser) hash(name string) string {
	return p.formatted(name, "a SHA-256 hash in base64url without padding (43 characters)", func(s string) bool {
		_, err := span.ParseHash(s)
		return err == nil
	})
}

func (p *eventParser) identity(name string) string {
	return p.formatted(name, "a LogLine ID (logline-id:// and 52 characters)", span.IsIdentity)
}

// short is a label or reason.
func (p *eventParser) short(name string) string {
	s := p.text(name)
	if len(s) > MaxTextBytes {
		p.fail("text_too_long", name, "has %d bytes; at most %d are allowed", len(s), MaxTextBytes)
	}
	return s
}

func (p *eventParser) key(name string) string {
	s := p.text(name)
	p.checkKey(s, name)
	return s
}

func (p *eventParser) checkKey(s, pointer string) {
	if p.err != nil || s != "" && s == p.sound {
		return
	}
	raw, err := span.ParseB64(s, ed25519.PublicKeySize)
	if err != nil {
		p.fail("key_malformed", pointer, "must be 32 bytes in base64url without padding")
		return
	}
	if err := CheckPublicKey(raw); err != nil {
		f := fault.From(err)
		p.err = f.At("/"+pointer, f.Detail)
		return
	}
	p.sound = s
}

// maxSeq is the greatest integer that I-JSON carries, 2^53-1.
const maxSeq = 1<<53 - 1

func (p *eventParser) seq() uint64 {
	var n uint64
	if p.err != nil {
		return 0
	}
	if err := json.Unmarshal(p.members["seq"], &n); err != nil || n > maxSeq {
		p.fail("member_malformed", "seq", "must be a whole number from 0")
	}
	return n
}

// signature is {key, value}, both strict b64u of their size.
func (p *eventParser) signature(name string) span.Signature {
	var s span.Signature
	var parts map[string]json.RawMessage
	if p.err != nil {
		return s
	}
	if err := json.Unmarshal(p.members[name], &parts); err != nil || len(parts) != 2 || parts["key"] == nil || parts["value"] == nil {
		p.fail("signature_malformed", name, "must be an object of key and value alone")
		return s
	}
	inner := eventParser{members: parts}
	s.Key, s.Value = inner.text("key"), inner.text("value")
	if inner.err != nil {
		p.fail("signature_malformed", name, "must hold two strings")
		return s
	}
	if _, err := span.ParseB64(s.Value, ed25519.SignatureSize); err != nil {
		p.fail("signature_malformed", name+"/value", "must be 64 bytes in base64url without padding")
	}
	p.checkKey(s.Key, name+"/key")
	return s
}

func (p *eventParser) types() []string {
	value, ok := p.members["types"]
	if p.err != nil || !ok {
		return nil
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(value, &raw); err != nil {
		p.fail("member_malformed", "types", "must be an array of type patterns")
		return nil
	}
	types := make([]string, len(raw))
	for i, r := range raw {
		item := eventParser{members: map[string]json.RawMessage{"type": r}}
		types[i] = item.text("type")
		pointer := fmt.Sprintf("types/%d", i)
		switch {
		case item.err != nil || !span.ValidPattern(types[i]):
			p.fail("member_malformed", pointer, "must be a type pattern such as invoice.* or payment.requested")
		case span.IsReserved(types[i]) && strings.Contains(types[i], "*"):
			p.fail("types_reserved_pattern", pointer, "must name a reserved type exactly, without *")
		}
	}
	return types
}

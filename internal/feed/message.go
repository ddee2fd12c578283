package feed

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Types of messages.
const (
	TypeHello      = "hello"
	TypeEntry      = "entry"
	TypeCheckpoint = "checkpoint"
	TypeHeartbeat  = "heartbeat"
	TypeGap        = "gap"
	TypeFilter     = "filter"
	TypeClose      = "close"
)

func entryMessage(r *timeline.Record) *Message {
	b := make([]byte, 0, len(r.Line)+len(r.Payload)+len(r.Detail)+128)
	b = append(b, `{"type":"entry","entry":`...)
	b = r.AppendOpened(b)
	b = append(b, `,"status":`...)
	b = span.AppendString(b, r.Status)
	return &Message{Type: TypeEntry, JSON: append(b, '}'), Next: r.Seq + 1, shared: true}
}

func checkpointMessage(note []byte, size uint64) *Message {
	b := span.AppendString([]byte(`{"type":"checkpoint","note":`), string(note))
	return &Message{Type: TypeCheckpoint, JSON: append(b, '}'), Next: size, shared: true}
}

func helloMessage(tenant string, next, size uint64, heartbeat time.Duration) *Message {
	b := span.AppendString([]byte(`{"type":"hello","tenant":`), tenant)
	b = fmt.Appendf(b, `,"next":%d,"size":%d,"heartbeat_seconds":%s}`, next, size, strconv.FormatFloat(heartbeat.Seconds(), 'f', -1, 64))
	return &Message{Type: TypeHello, JSON: b, Next: next}
}

func gapMessage(from, to uint64) *Message {
	return &Message{Type: TypeGap, JSON: fmt.Appendf(nil, `{"type":"gap","from":%d,"to":%d}`, from, to), Next: to}
}

// nextMessage is a message that says where the subscription stands.
func nextMessage(typ string, next uint64) *Message {
	return &Message{Type: typ, JSON: fmt.Appendf(nil, `{"type":%q,"next":%d}`, typ, next), Next: next}
}

// Codes a feed ends with, as WebSocket close codes (RFC 6455 §7.4).
const (
	CodeGoingAway  = 1001 // the server stops
	CodeInternal   = 1011
	CodeTryLater   = 1013 // rights or entries could not be read for long
	CodeMessage    = 4000 // a message of the client is not understood
	CodeCredential = 4001 // the credential counts no longer: expired, key rotated or revoked
	CodeForbidden  = 4003 // the reader may no longer read the tenant
	CodeBehind     = 4008 // too far behind
)

// maxReason is the room a close frame has for its reason (RFC 6455 §5.5).
const maxReason = 123

// Closed is how a subscription ended.
type Closed struct {
	Code int
	Why  string
	Next uint64 // resume from here
}

// Error implements error.
func (c *Closed) Error() string { return fmt.Sprintf("feed closed (%d): %s", c.Code, c.Reason()) }

// Reason is what and where to resume, in at most 123 bytes.
func (c *Closed) Reason() string {
	resume := "; resume with from=" + strconv.FormatUint(c.Next, 10)
	why := strings.ToValidUTF8(c.Why, "?")
	if room := maxReason - len(resume); len(why) > room {
		why = strings.ToValidUTF8(why[:room-3], "") + "..."
	}
	return why + resume
}

// Message is the ending for transports without close frames.
func (c *Closed) Message() *Message {
	b := fmt.Appendf(nil, `{"type":"close","code":%d,"reason":`, c.Code)
	b = span.AppendString(b, c.Reason())
	return &Message{Type: TypeClose, JSON: fmt.Appendf(b, `,"next":%d}`, c.Next), Next: c.Next}
}

// MaxClientMessage bounds what a client may send, in bytes.
const MaxClientMessage = 16 << 10

// clientMessage is what a client may send: a filter that replaces the one
// before. Names are those of the query parameters of a list of spans, save that
// the types stand in a list, type being the message's own.
type clientMessage struct {
	Type    string   `json:"type"`
	Types   []string `json:"types"`
	Author  *string  `json:"author"`
	Subject *string  `json:"subject"`
	Tag     *string  `json:"tag"`
	Status  *string  `json:"status"`
	Since   *string  `json:"since"`
	Until   *string  `json:"until"`
	Cause   *string  `json:"cause"`
	Q       *string  `json:"q"`
}

// ParseFilter reads a client's message. Refusals are of kind invalid:
// message_too_large, message_malformed, message_unknown, query_invalid.
func ParseFilter(raw []byte) (timeline.Query, error) {
	var q timeline.Query
	if len(raw) > MaxClientMessage {
		return q, fault.Newf(fault.Invalid, "message_too_large", "a message has at most %d bytes", MaxClientMessage)
	}
	var m clientMessage
	if err := json.Unmarshal(raw, &m, json.RejectUnknownMembers(true)); err != nil {
		var kind struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(raw, &kind) == nil && kind.Type != TypeFilter {
			return q, unknownMessage(kind.Type)
		}
		return q, fault.New(fault.Invalid, "message_malformed",
			`send {"type":"filter"} with types, author, subject, tag, status, since, until, cause or q`).Because(err)
	}
	if m.Type != TypeFilter {
		return q, unknownMessage(m.Type)
	}
	q.Types = m.Types
	for _, f := range []struct {
		name string
		from *string
		to   *string
	}{
		{"author", m.Author, &q.Author}, {"subject", m.Subject, &q.Subject}, {"tag", m.Tag, &q.Tag}, {"status", m.Status, &q.Status},
		{"since", m.Since, &q.Since}, {"until", m.Until, &q.Until}, {"cause", m.Cause, &q.Cause}, {"q", m.Q, &q.Q},
	} {
		if f.from == nil {
			continue
		}
		if strings.TrimSpace(*f.from) == "" || strings.IndexByte(*f.from, 0) >= 0 {
			return timeline.Query{}, fault.Newf(fault.Invalid, "query_invalid", "%s is empty or holds NUL; leave it out to ask nothing of it", f.name)
		}
		*f.to = *f.from
	}
	if q.Author != "" && !strings.HasPrefix(q.Author, span.IdentityScheme) {
		q.Author = span.IdentityScheme + q.Author
	}
	if _, err := q.Sieve(); err != nil {
		return timeline.Query{}, err
	}
	return q, nil
}

func unknownMessage(typ string) error {
	return fault.Newf(fault.Invalid, "message_unknown", `%.20q is no message type here; "filter" is the only one`, typ)
}

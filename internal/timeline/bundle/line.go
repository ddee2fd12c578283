package bundle

import (
	"bytes"
	"crypto/ed25519"
	"strconv"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// checkedLine is an entry line with all that can be said of it by itself.
type checkedLine struct {
	rawLine
	// One of these, or neither for a line that cannot be read.
	opened *span.Opened
	hidden bool

	seq        uint64
	key        spanKey // the span's id
	leaf       span.Hash
	headerHash span.Hash
	code       string // of the first thing that does not hold, "" when all does
	reason     string
	err        error // why it cannot be read, where no more than that is asked
}

func (l *checkedLine) readable() bool { return l.opened != nil || l.hidden }

func (l *checkedLine) bad(code, reason string) {
	if l.code == "" {
		l.code, l.reason = code, reason
	}
}

// lineChecker checks lines by themselves: form and limits, leaf, payload and
// detail hashes, signature. Each goroutine uses a copy of its own.
type lineChecker struct {
	verifier id.Verifier
	limits   span.Limits
	maxLine  int
	reads    bool // no more than it must to read them

	room []byte // for what is hashed and compared, used again
}

func (c *lineChecker) check(l *checkedLine) {
	if c.reads {
		l.opened, l.err = span.ParseOpened(l.bytes, c.limits)
		return
	}
	if l.tooLong {
		l.bad("line_too_large", "the line has more than "+strconv.Itoa(c.maxLine)+" bytes")
		l.bytes = nil
		return
	}
	opened, err := span.ParseOpened(l.bytes, c.limits)
	if err != nil {
		if c.checkHidden(l); !l.hidden {
			l.bad(because(err))
		}
		l.bytes = nil
		return
	}
	l.opened, l.seq, l.key = opened, opened.Seq, spanKeyOf(opened.Span.ID)
	c.room = opened.Entry.AppendLine(c.room[:0])
	line := c.room
	l.leaf = span.LeafHash(line)
	l.headerHash = opened.Span.Hash()
	if len(line) > span.MaxLine {
		l.bad("line_too_large", "the entry's own line has more than "+strconv.Itoa(span.MaxLine)+" bytes")
	}
	if len(line) > c.limits.Header && len(opened.Span.AppendCanonical(nil)) > c.limits.Header {
		l.bad("header_too_large", "the span's header has more than "+strconv.Itoa(c.limits.Header)+" bytes")
	}
	if c.room = opened.AppendLine(c.room[:0]); !bytes.Equal(c.room, l.bytes) {
		l.bad("line_not_canonical", "the line is not in canonical form (RFC 8785)")
	}
	l.bytes = nil
	c.checkContent(l)
	if cap(c.room) > keptRoom {
		c.room = nil
	}
}

// keptRoom is how much a worker keeps for the next line, in bytes.
const keptRoom = 256 << 10

func (c *lineChecker) checkContent(l *checkedLine) {
	o := l.opened
	switch {
	case o.Payload == nil && o.Withheld == "":
		l.bad("payload_missing", "the payload is missing, and nothing says that it is withheld")
	case o.Payload == nil && !span.Redactable(o.Span.Type):
		l.bad("payload_missing", "a payload of type "+o.Span.Type+" can be neither redacted nor private; without it later entries cannot be judged")
	case o.Decision.DetailHash != "" && o.Detail == nil && o.DetailWithheld == "":
		l.bad("detail_missing", "the decision's detail is missing, and nothing says that it is withheld")
	case o.Decision.DetailHash == "" && (o.Detail != nil || o.DetailWithheld != ""):
		l.bad("detail_unexpected", "the decision has no detail_hash, yet a detail or a reason for withholding it")
	}
	if err := o.CheckHashes(); err != nil {
		l.bad(because(err))
	}
	var key [ed25519.PublicKeySize]byte
	var value [ed25519.SignatureSize]byte
	c.room = o.Span.AppendMessage(c.room[:0])
	if !o.Span.Signature.Decode(&key, &value) || !c.verifier.Verify(key[:], c.room, value[:]) {
		l.bad("signature_invalid", "the span's signature does not verify: its header was altered, or it was not signed by the key it names")
	}
}

// checkHidden reads {"leaf", "seq"}, the line of an entry that is not for the
// reader.
func (c *lineChecker) checkHidden(l *checkedLine) {
	canonical, err := span.Canonicalize(l.bytes)
	if err != nil {
		return
	}
	rest, ok := bytes.CutPrefix(canonical, []byte(`{"leaf":"`))
	if !ok || len(rest) < 43 {
		return
	}
	leaf, err := span.ParseHash(string(rest[:43]))
	if err != nil {
		return
	}
	number, ok := bytes.CutPrefix(rest[43:], []byte(`","seq":`))
	number, ok2 := bytes.CutSuffix(number, []byte("}"))
	seq, err := strconv.ParseUint(string(number), 10, 53)
	if !ok || !ok2 || err != nil {
		return
	}
	l.hidden, l.seq, l.leaf = true, seq, leaf
	if !bytes.Equal(l.bytes, appendHidden(nil, leaf, seq)) {
		l.bad("line_not_canonical", "the line is not in canonical form (RFC 8785)")
	}
}

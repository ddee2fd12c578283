package timeline

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// A cursor is a position: version, digest of the query, seq where the next
// page begins to look. It holds nothing secret, only what must not be mixed up.
const (
	cursorVersion = 1
	digestSize    = 8
	cursorSize    = 1 + digestSize + 8
)

type digest [digestSize]byte

// digest names the question that a cursor belongs to.
func (q *Query) digest(tenant string) digest {
	parts := []string{tenant, q.Author, q.Subject, q.Tag, q.Status, q.Since, q.Until, q.Cause, q.Q, strconv.FormatBool(q.Descending)}
	if len(q.Also) > 0 { // whom it names may be more on the next page
		parts = append(parts, "also")
	}
	parts = append(parts, q.Types...)
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(p)
	}
	h := span.Sum([]byte(b.String()))
	return digest(h[:digestSize])
}

func formatCursor(seq uint64, d digest) string {
	b := make([]byte, 0, cursorSize)
	b = append(b, cursorVersion)
	b = append(b, d[:]...)
	return span.B64(binary.BigEndian.AppendUint64(b, seq))
}

func parseCursor(s string, d digest) (uint64, error) {
	raw, err := span.ParseB64(s, cursorSize)
	if err != nil || raw[0] != cursorVersion {
		return 0, cursorInvalid("it was not made by this server")
	}
	if digest(raw[1:1+digestSize]) != d {
		return 0, cursorInvalid("it belongs to another query; leave it out, or repeat the query it came from")
	}
	seq := binary.BigEndian.Uint64(raw[1+digestSize:])
	if seq >= tree.MaxSize {
		return 0, cursorInvalid("it points nowhere")
	}
	return seq, nil
}

func cursorInvalid(why string) error {
	return fault.New(fault.Invalid, "cursor_invalid", "the cursor is not usable: "+why).At("/cursor", why)
}

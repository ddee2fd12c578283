package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// SpecVersion is the version of CloudEvents that is taken.
const SpecVersion = "1.0"

// Event is an event that the specification allows, immutable.
type Event struct {
	ID, Source, Type string
	Time             time.Time // zero without the attribute
	payload          []byte    // JCS of the event in the JSON format
}

// members is an event in the JSON event format: attributes, and data or
// data_base64.
type members map[string]json.RawMessage

// newEvent judges an event's attributes (CloudEvents 1.0 section 3); null stands
// for an attribute that is absent. Its error names every one that is wrong.
func newEvent(m members) (*Event, error) {
	c := &checker{members: m}
	for name, value := range m {
		if bytes.Equal(value, []byte("null")) && name != "data" {
			delete(m, name)
			continue
		}
		c.attribute(name, value)
	}
	e := &Event{ID: c.required("id"), Source: c.required("source"), Type: c.required("type")}
	if v := c.required("specversion"); v != "" && v != SpecVersion {
		c.fail("specversion", fmt.Sprintf("is %q; events of version 1.0 are taken", v))
	}
	if e.Source != "" && !isURI(e.Source) {
		c.fail("source", "must be a URI reference (RFC 3986)")
	}
	if schema, ok := c.text("dataschema"); ok {
		if u, err := url.Parse(schema); !isURI(schema) || err != nil || u.Scheme == "" {
			c.fail("dataschema", "must be an absolute URI (RFC 3986)")
		}
	}
	if typ, ok := c.text("datacontenttype"); ok {
		if _, _, err := mime.ParseMediaType(typ); err != nil || !strings.Contains(typ, "/") {
			c.fail("datacontenttype", "must be a media type (RFC 2046)")
		}
	}
	if at, ok := c.text("time"); ok {
		if e.Time, ok = parseTime(at); !ok {
			c.fail("time", "must be a time (RFC 3339) of the years 0000 to 9999 in UTC")
		}
	}
	c.text("subject")
	c.data()
	if len(c.fields) > 0 {
		slices.SortFunc(c.fields, func(a, b fault.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
		f := fault.New(fault.Invalid, "event_malformed", "the event is no CloudEvent of version 1.0: "+c.fields[0].Pointer[1:]+" "+c.fields[0].Detail)
		f.Fields = c.fields
		return nil, f
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	e.payload, err = span.Canonicalize(raw)
	return e, err
}

// Payload is the whole event in the JSON event format, as JCS.
func (e *Event) Payload() []byte { return e.payload }

type checker struct {
	members members
	fields  []fault.Field
}

func (c *checker) fail(name, detail string) {
	for _, f := range c.fields { // one reason an attribute
		if f.Pointer == "/"+name {
			return
		}
	}
	c.fields = append(c.fields, fault.Field{Pointer: "/" + name, Detail: detail})
}

var nameForm = regexp.MustCompile(`^[a-z0-9]+$`)

// attribute judges a name, and a value as far as its type goes (section 3.1).
func (c *checker) attribute(name string, value json.RawMessage) {
	if name == "data" || name == "data_base64" {
		return
	}
	if !nameForm.MatchString(name) {
		c.fail(escape(name), "is no attribute name: they have a-z and 0-9 alone")
		return
	}
	switch value[0] {
	case '"':
		var text string
		if json.Unmarshal(value, &text) != nil || !allowed(text) {
			c.fail(name, "must not have control characters or noncharacters")
		}
	case 't', 'f':
	case '{', '[':
		c.fail(name, "must be text, a whole number or a boolean")
	default:
		var n float64
		if json.Unmarshal(value, &n) != nil || n != math.Trunc(n) || n < math.MinInt32 || n > math.MaxInt32 {
			c.fail(name, "must be a whole number of 32 bits")
		}
	}
}

// text is an attribute that must be text and not empty, where it is there.
func (c *checker) text(name string) (string, bool) {
	value, ok := c.members[name]
	if !ok {
		return "", false
	}
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil || text == "" {
		c.fail(name, "must be text, and not empty")
		return "", false
	}
	return text, true
}

func (c *checker) required(name string) string {
	if _, ok := c.members[name]; !ok {
		c.fail(name, "is missing")
		return ""
	}
	text, _ := c.text(name)
	return text
}

// data judges data_base64, which stands for data.
func (c *checker) data() {
	value, ok := c.members["data_base64"]
	if !ok {
		return
	}
	if _, both := c.members["data"]; both {
		c.fail("data_base64", "must not stand beside data")
		return
	}
	var text string
	if value[0] != '"' || json.Unmarshal(value, &text) != nil {
		c.fail("data_base64", "must be text in base64")
		return
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(text); err != nil {
		c.fail("data_base64", "must be text in base64 (RFC 4648 section 4)")
	}
}

// allowed are the characters of CloudEvents strings.
func allowed(text string) bool {
	for _, r := range text {
		if r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// isURI says whether text has the characters of RFC 3986 alone, and parses.
func isURI(text string) bool {
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", b) >= 0:
		case b == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			i += 2
		default:
			return false
		}
	}
	_, err := url.Parse(text)
	return err == nil
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$`)

// parseTime reads RFC 3339, without leap seconds.
func parseTime(text string) (time.Time, bool) {
	if !timeForm.MatchString(text) {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	if t = t.UTC(); err != nil || t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t, true
}

// escape is a name as a JSON Pointer's token, cut to a length that can be shown.
func escape(name string) string {
	const most = 64
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

package cloudevents

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Media types of the JSON event format and its batches.
const (
	TypeStructured = "application/cloudevents+json"
	TypeBatch      = "application/cloudevents-batch+json"
)

// MaxBatch bounds the events of one batch.
const MaxBatch = 1000

// ParseStructured reads one event in the JSON event format. Numbers are those of
// I-JSON: a larger one is refused, because it would not stay what it is.
func ParseStructured(body []byte) (*Event, error) {
	canonical, err := span.Canonicalize(body)
	if err != nil {
		return nil, err
	}
	var m members
	if err := json.Unmarshal(canonical, &m); err != nil {
		return nil, fmt.Errorf("read event: %w", err) // canonical JSON is an object
	}
	return newEvent(m)
}

// ParseBatch reads a JSON array of events; one that is wrong is named by its
// place, and none is taken then.
func ParseBatch(body []byte) ([]*Event, error) {
	// An object around it, so that the whole array is judged as I-JSON.
	const open, shut = `{"events":`, `}`
	canonical, err := span.Canonicalize(append(append([]byte(open), body...), shut...))
	if err != nil {
		return nil, moved(err, "/events", "")
	}
	var around members
	var batch []json.RawMessage
	// A body that closes the object early would leave more in it than the array.
	if json.Unmarshal(canonical, &around) != nil || len(around) != 1 || around["events"][0] != '[' || json.Unmarshal(around["events"], &batch) != nil {
		return nil, fault.New(fault.Invalid, "event_malformed", "a batch is a JSON array of events").At("", "is no array")
	}
	if len(batch) > MaxBatch {
		return nil, fault.Newf(fault.Invalid, "batch_too_large", "a batch has at most %d events; send several", MaxBatch)
	}
	events := make([]*Event, len(batch))
	for i, raw := range batch {
		if events[i], err = ParseStructured(raw); err != nil {
			return nil, moved(err, "", fmt.Sprintf("/%d", i))
		}
	}
	return events, nil
}

// moved is err with its places moved from under one pointer to under another.
func moved(err error, from, to string) error {
	f := fault.From(err)
	out := fault.New(f.Kind, f.Code, f.Detail).Because(err)
	if len(f.Fields) == 0 && to != "" {
		return out.At(to, f.Detail)
	}
	for _, field := range f.Fields {
		out = out.At(to+strings.TrimPrefix(field.Pointer, from), field.Detail)
	}
	return out
}

// headerPrefix begins the names of headers that hold attributes.
const headerPrefix = "Ce-"

// IsBinary says whether a request's headers are those of an event in binary mode.
func IsBinary(header map[string][]string) bool {
	for name := range header {
		if strings.HasPrefix(name, headerPrefix) {
			return true
		}
	}
	return false
}

// ParseBinary reads an event in binary mode (HTTP binding section 3.1):
// attributes from ce- headers in their canonical spelling, datacontenttype from
// contentType, data from body: JSON as it is, anything else as base64.
func ParseBinary(header map[string][]string, contentType string, body []byte) (*Event, error) {
	m := members{}
	for name, values := range header {
		attribute, ok := strings.CutPrefix(name, headerPrefix)
		if !ok {
			continue
		}
		attribute = strings.ToLower(attribute)
		if attribute == "datacontenttype" || attribute == "data" || attribute == "data_base64" {
			return nil, badHeader(attribute, "is not a header: the data is the body, and Content-Type says what it is")
		}
		if len(values) != 1 {
			return nil, badHeader(attribute, "is given more than once")
		}
		text, ok := unescape(values[0])
		if !ok {
			return nil, badHeader(attribute, "is not percent-encoded UTF-8")
		}
		m[attribute] = quoted(text)
	}
	if contentType != "" {
		m["datacontenttype"] = quoted(contentType)
	}
	if len(body) > 0 {
		if isJSON(contentType) {
			data, err := inline(body)
			if err != nil {
				return nil, err
			}
			m["data"] = data
		} else {
			m["data_base64"] = quoted(base64.StdEncoding.EncodeToString(body))
		}
	}
	return newEvent(m)
}

func badHeader(attribute, detail string) error {
	return fault.New(fault.Invalid, "event_malformed", "the event is no CloudEvent of version 1.0: the header ce-"+escape(attribute)+" "+detail).At("/"+escape(attribute), detail)
}

// inline is JSON data of any kind, judged as I-JSON.
func inline(body []byte) (json.RawMessage, error) {
	canonical, err := span.Canonicalize(append(append([]byte(`{"data":`), body...), '}'))
	if err != nil {
		return nil, err
	}
	var m members
	if err := json.Unmarshal(canonical, &m); err != nil || len(m) != 1 {
		return nil, fault.New(fault.Invalid, "event_malformed", "the body is not the JSON that its Content-Type says").At("/data", "is not one JSON value")
	}
	return m["data"], nil
}

// isJSON says whether a media type is JSON in UTF-8.
func isJSON(contentType string) bool {
	typ, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if set := params["charset"]; set != "" && !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
		return false
	}
	return typ == "application/json" || typ == "text/json" || strings.HasSuffix(typ, "+json")
}

// unescape reads a header's value (HTTP binding section 3.1.3.2): first out of
// double quotes, then once out of percent-encoding.
func unescape(value string) (string, bool) {
	value = strings.Trim(value, " \t")
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		var out strings.Builder
		inner := value[1 : len(value)-1]
		for i := 0; i < len(inner); i++ {
			if inner[i] == '\\' && i+1 < len(inner) {
				i++
			}
			out.WriteByte(inner[i])
		}
		value = out.String()
	}
	text, err := url.PathUnescape(value)
	return text, err == nil && strings.ToValidUTF8(text, "") == text
}

func quoted(text string) json.RawMessage { return span.AppendString(nil, text) }

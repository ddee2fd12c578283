package jsonl

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/span"
)

// Limits of what expressions may give. Those of a header are the protocol's (§1).
const (
	maxID      = 4096 // bytes of an id, an author, a cause
	maxName    = 1024 // bytes of an author's name
	maxTitle   = 256  // code points
	maxSubject = 256  // bytes, also of a tag
	maxTags    = 32
	maxCauses  = 1024 // those past 64 are counted as left out of the header
)

// item makes an item of one record.
func (m *Map) item(ctx context.Context, record any, canonical []byte) (importer.Item, error) {
	var item importer.Item
	for _, part := range []func(context.Context, any, *importer.Item) error{m.name, m.when, m.describe, m.relate} {
		if err := part(ctx, record, &item); err != nil {
			return item, err
		}
	}
	body, err := m.payload(ctx, record, canonical)
	if err != nil {
		return item, err
	}
	item.Body, item.Weight = body, len(body)
	return item, nil
}

// name fills id and author.
func (m *Map) name(ctx context.Context, record any, item *importer.Item) (err error) {
	if item.SourceID, err = m.text(ctx, memberID, record, maxID); err != nil {
		return err
	}
	if item.SourceID == "" {
		return recordFault(memberID, "the record has no id; `// digest` names it by its content")
	}
	if item.Actor, err = m.text(ctx, memberAuthor, record, maxID); err != nil || item.Actor == "" {
		return err
	}
	item.ActorName, err = m.text(ctx, memberAuthorName, record, maxName)
	return err
}

// when fills the time.
func (m *Map) when(ctx context.Context, record any, item *importer.Item) error {
	v, err := m.eval(ctx, memberTime, record)
	if err != nil {
		return err
	}
	var ok bool
	switch v := v.(type) {
	case nil:
		if !m.Undated {
			return recordFault(memberTime, "the record has no time; with `undated: true` in the map such records are taken")
		}
		return nil
	case string:
		item.Time, err = time.Parse(time.RFC3339, v)
		ok = err == nil
	default:
		var n float64
		if n, ok = number(v); ok {
			item.Time, ok = fromSeconds(n)
		}
	}
	if !ok {
		return recordFault(memberTime, "%s is not a time such as 2026-01-31T12:00:00Z, nor seconds since 1970; `| totime` reads more forms", show(v))
	}
	return nil
}

// describe fills type, title, subject and tags.
func (m *Map) describe(ctx context.Context, record any, item *importer.Item) (err error) {
	if item.Type, err = m.text(ctx, memberType, record, maxID); err != nil {
		return err
	}
	if !span.ValidType(item.Type) {
		return recordFault(memberType, "%q is not a type, lower-case words with dots of at most 128 bytes; `| totype` makes one", cut(item.Type))
	}
	if strings.HasPrefix(item.Type, "logline.") || item.Type == "logline" {
		return recordFault(memberType, "%q is a type that LogLine reserves", cut(item.Type))
	}
	if item.Title, err = m.text(ctx, memberTitle, record, 4*maxTitle); err != nil {
		return err
	}
	if utf8.RuneCountInString(item.Title) > maxTitle {
		return recordFault(memberTitle, "it has more than %d characters; `| .[:%d]` cuts it", maxTitle, maxTitle)
	}
	if item.Subject, err = m.text(ctx, memberSubject, record, maxSubject); err != nil {
		return err
	}
	if item.Tags, err = m.list(ctx, memberTags, record, maxTags, maxSubject); err != nil {
		return err
	}
	slices.Sort(item.Tags)
	item.Tags = slices.Compact(item.Tags)
	return nil
}

// relate fills causes and visibility.
func (m *Map) relate(ctx context.Context, record any, item *importer.Item) (err error) {
	if item.Causes, err = m.list(ctx, memberCauses, record, maxCauses, maxID); err != nil {
		return err
	}
	if item.Visibility, err = m.text(ctx, memberVisibility, record, maxID); err != nil {
		return err
	}
	switch item.Visibility {
	case "", span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic:
		return nil
	}
	return recordFault(memberVisibility, "%q must be private, organization or public", cut(item.Visibility))
}

// text evaluates a member that gives text of at most limit bytes, "" for null.
// A whole number counts as text, since ids often are numbers.
func (m *Map) text(ctx context.Context, member string, record any, limit int) (string, error) {
	v, err := m.eval(ctx, member, record)
	if err != nil || v == nil {
		return "", err
	}
	return asText(member, v, limit)
}

func asText(member string, v any, limit int) (string, error) {
	s, ok := v.(string)
	if !ok {
		if _, isNumber := number(v); !isNumber {
			return "", recordFault(member, "%s is not text", show(v))
		}
		s = show(v)
	}
	if len(s) > limit {
		return "", recordFault(member, "it has %d bytes, and %d are allowed", len(s), limit)
	}
	return s, nil
}

// list evaluates a member that gives a list of texts; null is none, nulls and
// empty texts in it are left out, a single text is a list of one.
func (m *Map) list(ctx context.Context, member string, record any, most, limit int) ([]string, error) {
	v, err := m.eval(ctx, member, record)
	if err != nil || v == nil {
		return nil, err
	}
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	var out []string
	for _, value := range values {
		if value == nil || value == "" {
			continue
		}
		s, err := asText(member, value, limit)
		if err != nil {
			return nil, err
		}
		if len(out) == most {
			return nil, recordFault(member, "there are more than %d", most)
		}
		out = append(out, s)
	}
	return out, nil
}

// payload gives the payload as canonical JSON: the whole record unless the map
// says otherwise. canonical is the record's form where it is at hand.
func (m *Map) payload(ctx context.Context, record any, canonical []byte) ([]byte, error) {
	v := record
	if m.exprs[memberPayload] != nil {
		var err error
		if v, err = m.eval(ctx, memberPayload, record); err != nil {
			return nil, err
		}
		canonical = nil
		if v == nil {
			v = map[string]any{}
		}
	}
	if canonical != nil {
		return canonical, nil
	}
	if _, object := v.(map[string]any); !object {
		return nil, recordFault(memberPayload, "%s is not an object; write {value: .} around it", show(v))
	}
	raw, err := gojq.Marshal(v)
	if err != nil {
		return nil, recordFault(memberPayload, "it has no JSON form")
	}
	body, err := span.Canonicalize(raw)
	if err != nil {
		return nil, within(err, memberPayload)
	}
	return body, nil
}

// within says in which member a JSON refusal lies.
func within(err error, member string) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	return recordFault(member, "%s", describeFault(f))
}

// describeFault is a refusal on one line, with the place it points at.
func describeFault(f *fault.Error) string {
	if len(f.Fields) > 0 && f.Fields[0].Pointer != "" {
		return printable(f.Fields[0].Pointer + ": " + f.Fields[0].Detail)
	}
	return printable(f.Detail)
}

// number is v as a float, if it is a number of any of the forms jq has.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

// fromSeconds is a time by its seconds since 1970, to the millisecond.
func fromSeconds(n float64) (time.Time, bool) {
	const most = 1e12 // far beyond the year 9999, and its milliseconds are exact
	if !(math.Abs(n) <= most) {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(n * 1000))).UTC(), true
}

// show is a value for a message, or the text of a number.
func show(v any) string {
	raw, err := gojq.Marshal(v)
	if err != nil {
		return gojq.TypeOf(v)
	}
	return cut(printable(string(raw)))
}

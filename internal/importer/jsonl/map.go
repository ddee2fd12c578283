// Package jsonl reads records out of lines of JSON and makes them items of an
// import by a map: a small YAML file of jq expressions that say what of a record
// is its id, time, type, author and so on.
//
// It owns the map format, the maps that ship with the program, the limits that
// keep any input to a bounded memory, and the file of rejected lines. It knows
// neither keys nor nodes; package importer does.
package jsonl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/danvoulez/logline/internal/fault"
)

// maxMap bounds a map file, in bytes.
const maxMap = 64 << 10

// Members of a map that are expressions, in the order they are explained in.
const (
	memberRecords    = "records"
	memberID         = "id"
	memberTime       = "time"
	memberType       = "type"
	memberAuthor     = "author"
	memberAuthorName = "author_name"
	memberTitle      = "title"
	memberSubject    = "subject"
	memberTags       = "tags"
	memberCauses     = "causes"
	memberVisibility = "visibility"
	memberPayload    = "payload"
)

var expressionMembers = []string{
	memberRecords, memberID, memberTime, memberType, memberAuthor, memberAuthorName, memberTitle,
	memberSubject, memberTags, memberCauses, memberVisibility, memberPayload,
}

// Map says how a record becomes an item. It is read-only once made, and safe
// for concurrent use.
type Map struct {
	Name    string // names the source of what it imports; part of every derived id
	About   string // one line for people
	Undated bool   // records without a time are taken, as having none

	exprs map[string]*expr
}

var mapName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// ParseMap reads a map file. A refusal is map_invalid, and its fields name the
// member, the line and column in the file, and what is wrong there.
func ParseMap(src []byte) (*Map, error) {
	if len(src) > maxMap {
		return nil, mapFault("", nil, "the map has more than %d bytes", maxMap)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(src))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, mapFault("", nil, "the map is empty")
		}
		return nil, mapFault("", nil, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, mapFault("", nil, "something follows the map; a file holds one")
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, mapFault("", nil, "the map must be members such as `id: .uuid`, one a line")
	}
	m := &Map{exprs: make(map[string]*expr)}
	top := doc.Content[0]
	seen := make(map[string]bool)
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if seen[key.Value] {
			return nil, mapFault(key.Value, key, "stands twice")
		}
		seen[key.Value] = true
		if err := m.set(key, value); err != nil {
			return nil, err
		}
	}
	for _, needed := range []string{"name", memberID, memberTime, memberType} {
		if !seen[needed] && (needed != memberTime || !m.Undated) {
			return nil, mapFault(needed, nil, "is missing")
		}
	}
	return m, nil
}

// set takes one member of the file.
func (m *Map) set(key, value *yaml.Node) error {
	if key.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode {
		return mapFault(key.Value, value, "must be text; put an expression that starts with [ or { in quotes or after |")
	}
	switch {
	case key.Value == "name":
		if m.Name = value.Value; !mapName.MatchString(m.Name) {
			return mapFault("name", value, "must be lower-case letters, digits, dots, dashes and underscores, at most 63")
		}
	case key.Value == "about":
		if m.About = value.Value; strings.ContainsAny(m.About, "\r\n") {
			return mapFault("about", value, "must be one line")
		}
	case key.Value == "undated":
		if err := value.Decode(&m.Undated); err != nil {
			return mapFault("undated", value, "must be true or false")
		}
	case !slices.Contains(expressionMembers, key.Value):
		return mapFault(key.Value, key, "is not a member of a map; those are name, about, undated, %s", strings.Join(expressionMembers, ", "))
	case strings.TrimSpace(value.Value) == "":
		return mapFault(key.Value, key, "has no expression; leave the member out, or write null")
	default:
		e, err := compile(value.Value)
		if err != nil {
			return mapFault(key.Value, value, "%v", err)
		}
		m.exprs[key.Value] = e
	}
	return nil
}

// mapFault is a refusal of a map, at a place in its file where there is one.
func mapFault(member string, at *yaml.Node, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	f := fault.New(fault.Invalid, "map_invalid", "the map cannot be used: "+what)
	if member == "" {
		return f
	}
	f.Detail = fmt.Sprintf("the map cannot be used: %s: %s", printable(member), what)
	if at != nil {
		what = fmt.Sprintf("line %d, column %d: %s", at.Line, at.Column, what)
	}
	return f.At("/"+printable(member), what)
}

// eval gives what the member's expression makes of a value, nil where the map
// has no such member, or where the expression gives null or nothing.
func (m *Map) eval(ctx context.Context, member string, v any) (any, error) {
	e := m.exprs[member]
	if e == nil {
		return nil, nil
	}
	out, err := e.one(ctx, v)
	if err != nil {
		return nil, recordFault(member, "%v", err)
	}
	return out, nil
}

// recordFault is a refusal of a record by a member of the map.
func recordFault(member, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	return fault.New(fault.Invalid, "map_failed", member+": "+what).At("/"+member, what)
}

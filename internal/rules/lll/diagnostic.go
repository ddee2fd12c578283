package lll

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxErrors is how many diagnostics are reported of one file.
const MaxErrors = 50

// Severity tells what stops a contract from what only deserves a look.
type Severity uint8

// A file with an Error is not activated; a Warning never stops anything.
const (
	Error Severity = iota
	Warning
)

// Diagnostic is one thing that is wrong, and where. Every layer above reports
// with it too: offsets count bytes of the file.
type Diagnostic struct {
	Severity    Severity
	Offset, End int    // what is wrong; End may equal Offset
	Message     string // what is wrong: one sentence in lower case, without a full stop
	Fix         string // what to do: "write `on: …`"; "" when nobody can know
	Notes       []Note // other places that explain it, such as where a bracket was opened
}

// Note is a second place of a Diagnostic.
type Note struct {
	Offset  int
	Message string // "opened here"
}

// Failed says that one of the diagnostics is an Error.
func Failed(all []Diagnostic) bool {
	return slices.ContainsFunc(all, func(d Diagnostic) bool { return d.Severity == Error })
}

// Header is the first line of a rendered diagnostic:
// "file:line:column: message; what to do".
func (s *Source) Header(d Diagnostic) string {
	at := s.Pos(d.Offset)
	text := fmt.Sprintf("%s:%d:%d: ", s.Name, at.Line, at.Column)
	if d.Severity == Warning {
		text += "warning: "
	}
	text += d.Message
	if d.Fix != "" {
		text += "; " + d.Fix
	}
	return text
}

// Render is the diagnostic as people read it: the header, the line of the
// source with a caret below it, and the same for each note. It ends with a
// newline.
func (s *Source) Render(d Diagnostic) string {
	var b strings.Builder
	b.WriteString(s.Header(d) + "\n")
	s.caret(&b, d.Offset, d.End)
	for _, n := range d.Notes {
		at := s.Pos(n.Offset)
		fmt.Fprintf(&b, "  %s:%d:%d: %s\n", s.Name, at.Line, at.Column, n.Message)
		s.caret(&b, n.Offset, n.Offset)
	}
	return b.String()
}

// RenderAll renders each diagnostic, with an empty line between two.
func (s *Source) RenderAll(all []Diagnostic) string {
	parts := make([]string, len(all))
	for i, d := range all {
		parts[i] = s.Render(d)
	}
	return strings.Join(parts, "\n")
}

// How much of a line is shown: contexts of this many characters on both sides.
const caretContext = 100

// caret writes the line of offset and marks offset to end below it.
func (s *Source) caret(b *strings.Builder, offset, end int) {
	at := s.Pos(offset)
	line := []rune(s.Line(at.Line))
	column := min(at.Column-1, len(line))
	length := 1
	if end > offset && end <= len(s.Text) {
		length = max(1, utf8.RuneCountInString(s.Text[offset:end]))
	}
	length = min(length, max(1, len(line)-column))
	first := max(0, column-caretContext)
	last := min(len(line), column+caretContext)
	length = min(length, max(1, last-column))
	shown := line[first:last]
	b.WriteString("    " + visible(shown) + "\n    ")
	for _, r := range shown[:column-first] {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	b.WriteString(strings.Repeat("^", length) + "\n")
}

// visible shows control characters, which could rewrite a terminal, as "�".
func visible(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || turnsText(r)) {
			return utf8.RuneError
		}
		return r
	}, string(line))
}

// sorted orders diagnostics by place, keeps one of those that say the same
// there, and cuts the list at MaxErrors.
func sorted(all []Diagnostic) []Diagnostic {
	slices.SortStableFunc(all, func(a, b Diagnostic) int {
		if a.Offset != b.Offset {
			return a.Offset - b.Offset
		}
		return int(a.Severity) - int(b.Severity)
	})
	all = slices.CompactFunc(all, func(a, b Diagnostic) bool { return a.Offset == b.Offset && a.Message == b.Message })
	return all[:min(len(all), MaxErrors)]
}

package lll

import (
	"sort"
	"strings"
	"unicode/utf8"
)

// Range is a part of the source: bytes Offset to End, End excluded.
type Range struct{ Offset, End int }

// Span returns the range itself, so that everything with a Range embedded
// says where it stands.
func (r Range) Span() Range { return r }

// Position is a place as people count: lines and characters from 1.
type Position struct{ Line, Column int }

// Source is the text of one file with its name. Offsets count bytes of Text.
type Source struct {
	Name string
	Text string

	lines []int // where each line begins
}

// NewSource indexes the lines of text.
func NewSource(name, text string) *Source {
	s := &Source{Name: name, Text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// Pos is the line and column of a byte offset; offsets beyond the text count
// as its end.
func (s *Source) Pos(offset int) Position {
	offset = min(max(offset, 0), len(s.Text))
	line := s.line(offset)
	begin := s.lines[line-1]
	before := strings.TrimPrefix(s.Text[begin:offset], byteOrderMark)
	return Position{Line: line, Column: utf8.RuneCountInString(before) + 1}
}

// line is the number, from 1, of the line that offset is on.
func (s *Source) line(offset int) int {
	return sort.Search(len(s.lines), func(i int) bool { return s.lines[i] > offset })
}

// Line is the text of a line, numbered from 1, without its end; "" when there
// is none.
func (s *Source) Line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	end := len(s.Text)
	if number < len(s.lines) {
		end = s.lines[number] - 1
	}
	text := strings.TrimSuffix(s.Text[s.lines[number-1]:end], "\r")
	if number == 1 {
		text = strings.TrimPrefix(text, byteOrderMark)
	}
	return text
}

// Slice is the text of a range.
func (s *Source) Slice(r Range) string {
	return s.Text[min(r.Offset, len(s.Text)):min(max(r.End, r.Offset), len(s.Text))]
}

const byteOrderMark = "\uFEFF"

// Package ui draws what the command line shows to people: tables, a progress
// bar, and numbers in words. It knows nothing of LogLine, and it never decides
// whether somebody is looking; the caller says so.
package ui

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table collects rows and writes them in aligned columns.
type Table struct {
	head  []string
	right []bool
	rows  [][]string
}

// NewTable makes a table with these column titles. A title that starts with
// ">" makes its column align right.
func NewTable(head ...string) *Table {
	t := &Table{head: make([]string, len(head)), right: make([]bool, len(head))}
	for i, title := range head {
		t.head[i], t.right[i] = strings.CutPrefix(title, ">")
	}
	return t
}

// Row adds a row; cells beyond the columns are dropped, missing ones empty.
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.head))
	for i := range row {
		if i < len(cells) {
			row[i] = Clean(cells[i])
		}
	}
	t.rows = append(t.rows, row)
}

// Write writes the table. With width > 0 the last column is cut so that no line
// is wider than width; 0 cuts nothing.
func (t *Table) Write(w io.Writer, width int) error {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	if last := len(widths) - 1; width > 0 && last >= 0 {
		used := 2 * last
		for _, n := range widths[:last] {
			used += n
		}
		widths[last] = max(min(widths[last], width-used), 8)
	}
	var b strings.Builder
	for _, row := range append([][]string{t.head}, t.rows...) {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString("  ")
			}
			cell = Cut(cell, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Cut shortens s to n code points, the last an ellipsis if anything is lost.
func Cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 1 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

// Clean makes s fit for one line of a terminal: control characters, which could
// move the cursor or change colours, and what turns text, breaks a line or is not
// seen at all become spaces. Joiners stay: scripts need them.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x20, r >= 0x7f && r < 0xa0, // C0, DEL and C1 controls
			r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, // directions
			r == 0x2028, r == 0x2029, // ends of lines and paragraphs
			r == 0x200b, r >= 0x2060 && r <= 0x2064, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f: // unseen
			return ' '
		}
		return r
	}, s)
}

// CleanLines is Clean for text of several lines.
func CleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

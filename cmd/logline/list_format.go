package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/ui"
)

// Formats of a list.
const (
	formatTable  = "table"
	formatJSON   = "json"
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
)

var formats = []string{formatTable, formatJSON, formatNDJSON, formatCSV}

// listWriter writes the pages of a query in one format.
type listWriter interface {
	page(p *client.Page) error
	end() error // after the last page, whether or not there were any
}

// newListWriter makes a writer to w. Cells of a table are cut at width, unless
// that is 0; it has a column of who signed where who says what people call them.
func newListWriter(w io.Writer, format string, rawCells bool, width int, who func(identity string) string) listWriter {
	switch format {
	case formatJSON:
		return &jsonList{w: w}
	case formatNDJSON:
		return ndjsonList{w}
	case formatCSV:
		return &csvList{w: csv.NewWriter(w), raw: rawCells}
	}
	return &tableList{w: w, width: width, who: who}
}

// checked reads an entry and checks that its payload is the one signed.
func checked(raw []byte) (entryView, error) {
	e, err := parseEntry(raw)
	if err == nil {
		err = e.check()
	}
	return e, err
}

// statusOf is the effective status of an item of a page.
func statusOf(p *client.Page, i int) string {
	if i < len(p.Statuses) {
		return string(p.Statuses[i])
	}
	return ""
}

// tableList is for people: a table for each page.
type tableList struct {
	w     io.Writer
	width int
	who   func(identity string) string // of an author; nil shows none
	begun bool
}

func (t *tableList) page(p *client.Page) error {
	if len(p.Items) == 0 {
		return nil
	}
	t.begun = true
	head := []string{">SEQ", "WHEN", "TYPE", "ID", "WHAT"}
	if t.who != nil {
		head = slices.Insert(head, len(head)-1, "AUTHOR")
	}
	table := ui.NewTable(head...)
	for i, raw := range p.Items {
		e, err := checked(raw)
		if err != nil {
			return err
		}
		what := e.what()
		if e.Span.Withheld != "" {
			what = "(" + e.Span.Withheld + ") " + what
		}
		if status := statusOf(p, i); status != "" && status != "executed" {
			what = "[" + status + "] " + what
		}
		row := []string{seqOf(e.Seq), shortTime(e.when()), e.Span.Type, e.Span.ID, what}
		if t.who != nil {
			row = slices.Insert(row, len(row)-1, t.who(e.Span.Author))
		}
		table.Row(row...)
	}
	return table.Write(t.w, t.width)
}

func (t *tableList) end() error {
	if t.begun {
		return nil
	}
	_, err := io.WriteString(t.w, "No entries match.\n")
	return err
}

// jsonList is one object: {"items": […], "next": null, "statuses": […]}, whose
// items are written as they come.
type jsonList struct {
	w        io.Writer
	begun    bool
	next     *string
	statuses []string
}

func (j *jsonList) page(p *client.Page) error {
	j.next = p.Next
	for i, raw := range p.Items {
		if _, err := checked(raw); err != nil {
			return err
		}
		before := ","
		if !j.begun {
			before = `{"items":[`
		}
		j.begun = true
		j.statuses = append(j.statuses, statusOf(p, i))
		if err := writeAll(j.w, []byte(before), raw); err != nil {
			return err
		}
	}
	return nil
}

func (j *jsonList) end() error {
	before := ""
	if !j.begun {
		before, j.statuses = `{"items":[`, []string{}
	}
	rest, err := json.Marshal(struct {
		Next     *string  `json:"next"`
		Statuses []string `json:"statuses"`
	}{j.next, j.statuses})
	if err != nil {
		return err
	}
	return writeAll(j.w, []byte(before), []byte("],"), rest[1:], []byte("\n"))
}

// ndjsonList is one whole entry a line, as the node gave it.
type ndjsonList struct{ w io.Writer }

func (n ndjsonList) page(p *client.Page) error {
	for _, raw := range p.Items {
		if _, err := checked(raw); err != nil {
			return err
		}
		if err := writeAll(n.w, raw, []byte("\n")); err != nil {
			return err
		}
	}
	return nil
}

func (n ndjsonList) end() error { return nil }

func writeAll(w io.Writer, parts ...[]byte) error {
	_, err := w.Write(slices.Concat(parts...))
	return err
}

// csvColumns are the columns of a CSV list. Their names and order stay; new
// ones are added at the end.
var csvColumns = []string{
	"seq", "recorded_at", "status", "type", "id", "time", "occurred_at", "author", "on_behalf_of",
	"title", "subject", "tags", "causes", "visibility", "outcome", "withheld", "payload",
}

// csvList is for spreadsheets (RFC 4180, with \n).
type csvList struct {
	w     *csv.Writer
	raw   bool // cells as they are
	begun bool
}

func (c *csvList) page(p *client.Page) error {
	if err := c.begin(); err != nil {
		return err
	}
	for i, raw := range p.Items {
		e, err := checked(raw)
		if err != nil {
			return err
		}
		h := e.Span.Header
		row := []string{
			seqOf(e.Seq), e.RecordedAt, statusOf(p, i), h.Type, h.ID, h.Time, h.OccurredAt, h.Author, h.OnBehalfOf,
			h.Title, h.Subject, jsonCell(h.Tags), jsonCell(h.Causes), h.Visibility, e.Decision.Outcome, e.Span.Withheld, string(e.Span.Payload),
		}
		if !c.raw {
			for i := range row {
				row[i] = harmless(row[i])
			}
		}
		if err := c.w.Write(row); err != nil {
			return err
		}
	}
	c.w.Flush()
	return c.w.Error()
}

func (c *csvList) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	return c.w.Write(csvColumns)
}

func (c *csvList) end() error {
	if err := c.begin(); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// jsonCell is a list as a JSON array, "" for none: a tag may hold any separator.
func jsonCell(values []string) string {
	if len(values) == 0 {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(values) // strings have a JSON form
	return strings.TrimSuffix(b.String(), "\n")
}

// harmless puts a ' before what a spreadsheet would take for a formula (OWASP,
// CSV injection): somebody else may have chosen titles, subjects and tags.
func harmless(cell string) string {
	if cell == "" {
		return ""
	}
	switch []rune(cell)[0] {
	case '=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠':
		return "'" + cell
	}
	return cell
}

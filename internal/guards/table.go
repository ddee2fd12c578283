package guards

import (
	"errors"
	"io/fs"
	"strings"
)

// The table stands in docs/testing.md below this heading, up to the next one.
const (
	Document = "docs/testing.md"
	heading  = "## Guards and the lines they hold\n"
)

// Table is the document with the table of all guards as it should be, and as it
// is.
func Table(root fs.FS) (want, is string, err error) {
	text, err := fs.ReadFile(root, Document)
	if err != nil {
		return "", "", err
	}
	is = string(text)
	before, section, found := strings.Cut(is, heading)
	intro, rest, table := strings.Cut(section, "\n| ")
	if !found || !table || strings.Contains(intro, "\n## ") {
		return "", "", errors.New(Document + " has no section " + strings.TrimSpace(heading) + " with a table in it")
	}
	_, after, more := strings.Cut(rest, "\n\n")
	all, err := List(root)
	if err != nil {
		return "", "", err
	}
	var b strings.Builder
	b.WriteString(before + heading + intro + "\n| test | guarded line | what the test says when it is taken out |\n|---|---|---|\n")
	for i := range all {
		row, err := all[i].row(root)
		if err != nil {
			return "", "", err
		}
		b.WriteString(row)
	}
	if more {
		b.WriteString("\n" + after)
	}
	return b.String(), is, nil
}

func (g *Guard) row(root fs.FS) (string, error) {
	_, function, err := g.Without(root)
	if err != nil {
		return "", err
	}
	line := "`" + g.File + "`"
	if function != "" {
		line += ", `" + function + "`"
	}
	test := "`" + g.Package + "` `" + g.Test + "`"
	return "| " + test + " | " + line + ": " + cell(g.What) + " | " + cell(g.Says) + " |\n", nil
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

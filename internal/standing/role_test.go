package standing_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
)

// TestRoleTable is the table of PROTOCOL §7, and how a role that is not in it fares.
func TestRoleTable(t *testing.T) {
	t.Parallel()
	roles := []string{"owner", "admin", "member", "agent", "auditor", "guest", "finance", ""}
	table := map[standing.Right][]string{
		standing.RightLook:             {"owner", "admin", "member", "agent", "auditor", "guest", "finance"},
		standing.RightAppend:           {"owner", "admin", "member", "agent", "guest"},
		standing.RightAppendFreely:     {"owner", "admin", "member", "agent"},
		standing.RightOnBehalf:         {"owner", "admin", "member", "agent", "auditor"},
		standing.RightReadOrganization: {"owner", "admin", "member", "agent", "auditor"},
		standing.RightReadPrivate:      {"auditor"},
		standing.RightAdminister:       {"owner", "admin"},
		standing.RightRevertOwn:        {"owner", "admin", "member"},
		standing.RightRevertOthers:     {"owner", "admin"},
		standing.RightOwn:              {"owner"},
	}
	for right, who := range table {
		for _, role := range roles {
			assert.Equal(t, slices.Contains(who, role), standing.Allows(role, right), "%s %s", role, right)
		}
	}
	for _, right := range standing.Rights() {
		assert.Contains(t, table, right)
	}
	for _, role := range roles {
		assert.False(t, standing.Allows(role, "fly"), "what is in no row is denied")
	}
}

// TestMatrixIsDocumented holds the table of docs/permissions.md against the matrix.
func TestMatrixIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/permissions.md")
	require.NoError(t, err)
	columns := []string{"owner", "admin", "member", "agent", "auditor", "guest", standing.Declared}
	want := "| right | what it is for | " + strings.Join(columns, " | ") + " |\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n"
	_, table, found := strings.Cut(string(text), want)
	require.True(t, found, "no table with these columns:\n%s", want)
	for _, right := range standing.Rights() {
		row, rest, _ := strings.Cut(table, "\n")
		table = rest
		name, cells, found := strings.Cut(row, " | ")
		require.True(t, found && name == "| `"+string(right)+"`", "the row of %s comes next, not %s", right, row)
		_, cells, _ = strings.Cut(cells, " | ")
		var marks []string
		for _, role := range columns {
			mark := "–"
			if standing.Allows(role, right) {
				mark = "yes"
			}
			marks = append(marks, mark)
		}
		require.Equal(t, strings.Join(marks, " | ")+" |", cells, right)
	}
	require.False(t, strings.HasPrefix(table, "|"), "a row of no right: %s", table)
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	w := founded(t)
	author, subject := w.member("member"), w.keys(id.SubjectPerson)
	readers := map[string]string{"": ""}
	for _, role := range []string{"owner", "admin", "member", "agent", "auditor", "guest", "finance"} {
		readers[role] = w.member(role).ID()
	}
	readers["author"], readers["on_behalf_of"], readers["stranger"] = author.ID(), subject.ID(), w.keys(id.SubjectPerson).ID()

	members := []string{"owner", "admin", "member", "agent", "auditor", "author"}
	for _, c := range []struct {
		visibility    string
		publicReading bool
		who           []string
	}{
		{"private", false, []string{"auditor", "author", "on_behalf_of"}},
		{"private", true, []string{"auditor", "author", "on_behalf_of"}},
		{"organization", false, append([]string{"on_behalf_of"}, members...)},
		{"organization", true, append([]string{"on_behalf_of"}, members...)},
		{"public", false, append([]string{"on_behalf_of"}, members...)},
		{"public", true, append([]string{"on_behalf_of", "guest", "finance", "stranger", ""}, members...)},
		{"secret", true, []string{"author", "on_behalf_of"}},
	} {
		for name, identity := range readers {
			r := standing.ReaderFor(w.tx, identity, c.publicReading)
			assert.Equal(t, slices.Contains(c.who, name), standing.MayRead(r, c.visibility, author.ID(), subject.ID()), "%s: %q", c.visibility, name)
		}
	}
	anonymous := standing.ReaderFor(w.tx, "", false)
	assert.False(t, standing.MayRead(anonymous, "private", author.ID(), ""), "nobody is not the empty on_behalf_of")
}

package standing_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
)

// TestRoleTable is the table of PROTOCOL §7.
func TestRoleTable(t *testing.T) {
	t.Parallel()
	roles := []string{"owner", "admin", "member", "agent", "auditor", "guest", "finance", ""}
	for right, who := range map[standing.Right][]string{
		standing.RightAppend:           {"owner", "admin", "member", "agent", "guest"},
		standing.RightReadOrganization: {"owner", "admin", "member", "agent", "auditor"},
		standing.RightReadPrivate:      {"auditor"},
		standing.RightAdminister:       {"owner", "admin"},
		standing.RightRevertOwn:        {"owner", "admin", "member"},
		standing.RightRevertOthers:     {"owner", "admin"},
		standing.RightOwn:              {"owner"},
		"fly":                          nil,
	} {
		for _, role := range roles {
			assert.Equal(t, slices.Contains(who, role), slices.Contains(standing.RoleRights(role), right), "%s %s", role, right)
		}
	}
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

package template

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/trial"
	"github.com/danvoulez/logline/internal/span"
)

func all(t *testing.T) []*Template {
	t.Helper()
	found, err := catalogue()
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

// What a version of a template says never changes once it is released: another
// text is another version, in a folder beside it, with a line of its own here.
func TestReleasedVersionsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/released.txt")
	require.NoError(t, err)
	released := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		require.Len(t, f, 2, line)
		released[f[0]] = f[1]
	}
	for _, one := range all(t) {
		hash, known := released[one.Ref()]
		if !known {
			t.Errorf("a new version; add the line\n%s %s", one.Ref(), one.Hash)
			continue
		}
		require.Equal(t, hash, one.Hash, "%s is released: put what changed into the next version, in a folder of its own", one.Ref())
		delete(released, one.Ref())
	}
	require.Empty(t, released, "released versions that are gone")
}

func TestContractsPassTheirTests(t *testing.T) {
	t.Parallel()
	for _, one := range all(t) {
		t.Run(one.Ref(), func(t *testing.T) {
			t.Parallel()
			l := libraryOf(one)
			for _, d := range l.Documents() {
				require.Empty(t, d.Diagnostics, d.File.RenderAll(d.Diagnostics))
				r, err := trial.Run(context.Background(), d.Contract, l.Contract, trial.Options{})
				require.NoError(t, err)
				for _, test := range r.Tests {
					for _, f := range test.Failures {
						t.Errorf("%s, line %d of %s: %s: expected %s, seen %s", test.Name, r.Contract.Source.Pos(f.Offset).Line, d.File.Name, f.What, f.Expected, f.Seen)
					}
				}
				for _, b := range r.Coverage {
					assert.True(t, b.Covered, "line %d of %s: no test takes %s", r.Contract.Source.Pos(b.Offset).Line, d.File.Name, b.Name)
				}
			}
		})
	}
}

func libraryOf(one *Template) *library.Library {
	var sources []library.Source
	for _, c := range one.Contracts {
		sources = append(sources, library.Source{Name: c.File, Text: c.Source})
	}
	return library.Read(sources)
}

// The sheet says of roles and of keeping what the contracts say.
func TestSheetsAgreeWithTheirContracts(t *testing.T) {
	t.Parallel()
	builtin := []string{span.RoleOwner, span.RoleAdmin, span.RoleMember, span.RoleAgent, span.RoleAuditor, span.RoleGuest}
	for _, one := range all(t) {
		t.Run(one.Ref(), func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, one.Title)
			require.NotEmpty(t, one.Summary)
			require.NotEmpty(t, one.Settings.RetentionWhy)
			require.NotEmpty(t, one.Settings.PublicWhy)
			require.NotEmpty(t, one.Contracts)
			require.NotEmpty(t, one.Examples())
			told := map[string]bool{}
			for _, r := range one.Roles {
				require.NotEmpty(t, r.Does, r.Name)
				require.False(t, told[r.Name], "%s is told twice", r.Name)
				told[r.Name] = true
				if r.Builtin {
					require.Contains(t, builtin, r.Name, "no contract declares the role")
				}
			}
			longest := 0
			for _, d := range libraryOf(one).Documents() {
				for _, r := range d.Contract.Roles {
					assert.True(t, told[r.Name], "the sheet does not tell what %s does", r.Name)
				}
				for _, p := range d.Contract.Permits {
					for _, r := range p.Roles {
						assert.True(t, told[r], "the sheet does not tell what %s does", r)
					}
				}
				require.NotEmpty(t, d.Contract.Retains, "it says nothing of how long its spans are kept")
				for _, r := range d.Contract.Retains {
					longest = max(longest, daysOf(r))
				}
			}
			want := one.Settings.RetentionDays
			if want == 0 {
				want = forEver
			}
			assert.Equal(t, want, longest, "retention_days is as long as the contracts keep anything, 0 for ever")
			for _, part := range []string{"# " + one.Title + "\n", "## Who does what\n", "## What is refused, and why\n", "## How to change it\n"} {
				assert.Contains(t, one.Page, part)
			}
			for _, r := range one.Roles {
				assert.Contains(t, one.Page, r.Name, "the page does not speak of a role")
			}
		})
	}
}

const forEver = 1 << 30

func daysOf(r contract.Retain) int {
	if r.Forever {
		return forEver
	}
	return int(r.For / (24 * time.Hour))
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	for _, one := range all(t) {
		drafts := one.Drafts()
		require.Len(t, drafts, len(one.Contracts)+1)
		for i, c := range one.Contracts {
			require.Equal(t, span.TypeContract, drafts[i].Type)
			p, err := span.ParseContract(drafts[i].Payload)
			require.NoError(t, err)
			require.Equal(t, span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash, Source: c.Source, Action: span.ActionActivate}, *p)
			require.Equal(t, span.Sum([]byte(c.Source)).String(), c.Hash)
		}
		last := drafts[len(drafts)-1]
		require.Equal(t, TypeApplied, last.Type)
		var applied Applied
		require.NoError(t, json.Unmarshal(last.Payload, &applied))
		require.Equal(t, Applied{one.Name, one.Version, one.Hash}, applied)
		for _, d := range append(drafts, one.Examples()...) {
			canonical, err := span.Canonicalize(d.Payload)
			require.NoError(t, err)
			require.Equal(t, string(canonical), string(d.Payload))
			require.NotEmpty(t, d.Title)
			require.Contains(t, []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic}, d.Visibility)
		}
		first := one.Examples()
		first[0].Tags[0], first[0].Payload[0] = "x", 'x'
		require.NotEqual(t, first[0], one.Examples()[0], "what is given away is a copy")
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	newest, err := Get("audit-trail", "")
	require.NoError(t, err)
	same, err := Get("audit-trail", newest.Version)
	require.NoError(t, err)
	require.Same(t, newest, same)
	require.Contains(t, newest.Versions(), newest.Version)
	require.Contains(t, List(), newest)

	_, err = Get("audit-trail", "99.0.0")
	require.Equal(t, "template_version_unknown", fault.CodeOf(err))
	require.ErrorContains(t, err, "it has "+newest.Version)
	_, err = Get(strings.Repeat("x", 5000), "")
	require.Equal(t, "template_unknown", fault.CodeOf(err))
	require.ErrorContains(t, err, "audit-trail")
	require.Less(t, len(err.Error()), 500)
}

// The newest is by the order of versions, not of folders.
func TestTheNewestVersion(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for _, version := range []string{"1.9.0", "1.10.0", "1.10.0-rc.1"} {
		put(t, files, version)
	}
	found, err := read(files)
	require.NoError(t, err)
	require.Len(t, newest(found), 1)
	require.Equal(t, "1.10.0", newest(found)[0].Version)
	require.Equal(t, []string{"1.10.0", "1.10.0-rc.1", "1.9.0"}, versionsOf(found, "audit-trail"))
	old, err := choose(found, "audit-trail", "1.9.0")
	require.NoError(t, err)
	require.Equal(t, "1.9.0", old.Version)
}

// put puts a copy of the template audit-trail beside the others.
func put(t *testing.T, files fstest.MapFS, version string) {
	t.Helper()
	require.NoError(t, fs.WalkDir(os.DirFS("files/audit-trail/1.0.0"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path.Join("files/audit-trail/1.0.0", name))
		files[path.Join("audit-trail", version, name)] = &fstest.MapFile{Data: raw}
		return err
	}))
}

// Each byte of each file, and each file's name, is in the hash; nothing else is.
func TestHashCoversEveryFile(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	put(t, files, "1.0.0")
	hash := func() string {
		of, err := fs.Sub(files, "audit-trail/1.0.0")
		require.NoError(t, err)
		h, err := hashOf(of)
		require.NoError(t, err)
		return h
	}
	before := hash()
	one, err := Get("audit-trail", "1.0.0")
	require.NoError(t, err)
	require.Equal(t, one.Hash, before)
	for name, f := range files {
		was := f.Data
		f.Data = append(append([]byte{}, was...), ' ')
		require.NotEqual(t, before, hash(), name)
		f.Data = was
		delete(files, name)
		require.NotEqual(t, before, hash(), name)
		files[name+"x"] = f
		require.NotEqual(t, before, hash(), name)
		delete(files, name+"x")
		files[name] = f
	}
	require.Equal(t, before, hash())
}

func TestWhatIsDamagedIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, from, to, want string }{
		{"template.yaml", "title:", "titel:", "titel"},
		{"template.yaml", "audit_trail.lll", "absent.lll", "absent.lll"},
		{"examples.yaml", "type: audit.exported", "type: logline.member", "logline.member"},
		{"examples.yaml", "type: audit.exported", "type: Audit", "Audit"},
		{"contracts/audit_trail.lll", "in params.outcomes", "in params.endings", "no contract that is right"},
	} {
		files := fstest.MapFS{}
		put(t, files, "1.0.0")
		f := files["audit-trail/1.0.0/"+c.file]
		require.Contains(t, string(f.Data), c.from)
		f.Data = []byte(strings.Replace(string(f.Data), c.from, c.to, 1))
		_, err := read(files)
		require.ErrorContains(t, err, c.want)
		require.Equal(t, "template_damaged", fault.CodeOf(err))
	}
	files := fstest.MapFS{}
	put(t, files, "new")
	_, err := read(files)
	require.ErrorContains(t, err, "not name/version")
	delete(files, "audit-trail/new/README.md")
	put(t, files, "1.0.0")
	for name := range files {
		if strings.HasPrefix(name, "audit-trail/new/") || strings.HasSuffix(name, "README.md") {
			delete(files, name)
		}
	}
	_, err = read(files)
	require.ErrorContains(t, err, "README.md")
}

var (
	inPage  = regexp.MustCompile(`--type (\S+)[^']*'(\{[^']*\})'`)
	permits = regexp.MustCompile(`(?m)^  permit append "([^"]+)"`)
)

// What a page would have people type is JSON, of a type that the template speaks of.
func TestPagesShowWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, one := range all(t) {
		shown := inPage.FindAllStringSubmatch(one.Page, -1)
		require.NotEmpty(t, shown, one.Ref())
		for _, m := range shown {
			require.True(t, json.Valid([]byte(m[2])), "%s: %s", one.Ref(), m[2])
			require.True(t, slices.ContainsFunc(one.Contracts, func(c Contract) bool {
				return strings.Contains(c.Source, `"`+m[1]+`"`) || slices.ContainsFunc(permits.FindAllStringSubmatch(c.Source, -1), func(p []string) bool {
					family, all := strings.CutSuffix(p[1], "*")
					return all && strings.HasPrefix(m[1], family)
				})
			}), "%s: no contract speaks of %s", one.Ref(), m[1])
		}
		for _, c := range one.Contracts {
			require.Contains(t, one.Page, "logline template show "+one.Name+" --contract "+c.Name+" > "+path.Base(c.File), "the page does not say how to change a contract")
		}
	}
}

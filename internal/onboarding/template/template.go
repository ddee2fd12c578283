// Package template is what a tenant may begin with: contracts with their tests,
// what each role does, example spans, and a page that explains it. The templates
// are part of the program, so whoever signs one trusts no server for its text.
//
// It holds texts and makes drafts of spans. It signs nothing, appends nothing and
// knows no tenant; who applies a template does that.
//
// A template's version is released once. Its hash covers every byte of its files,
// and testdata/released.txt keeps the hash of each version that was released: what
// changes takes the next number, in a folder of its own beside the old one.
package template

import (
	"cmp"
	"embed"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/mod/semver"

	"github.com/danvoulez/logline/internal/fault"
)

// Template is one version of a template. The caller does not change it.
type Template struct {
	Name    string `json:"name"`    // lower-case letters, digits and dashes
	Version string `json:"version"` // semantic, without "v"
	Hash    string `json:"hash"`    // of its files; see hashOf
	Title   string `json:"title"`
	Summary string `json:"summary"` // one or two sentences

	Settings  Settings   `json:"settings"`
	Roles     []Role     `json:"roles"`     // who does what, in the order in which they are explained
	Contracts []Contract `json:"contracts"` // in the order in which they are activated
	Page      string     `json:"page"`      // README.md: the page of explanation, in Markdown

	examples []Draft
}

// Settings are what a tenant with this template does well to choose when it is
// made. They are advice: contracts say by themselves how long what they are about
// is kept, before any contract of the tenant for "**" whose name comes later.
type Settings struct {
	RetentionDays int    `json:"retention_days"` // how long payloads are kept in general; 0: for ever
	RetentionWhy  string `json:"retention_why"`
	PublicReading bool   `json:"public_reading"` // whether anybody may read what is marked public
	PublicWhy     string `json:"public_reading_why"`
}

// Role is one that the template's contracts know.
type Role struct {
	Name    string `json:"name"`
	Does    string `json:"does"`
	Builtin bool   `json:"builtin"` // of the protocol; the others are declared by the contracts
}

// Contract is one that the template brings into force.
type Contract struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"` // of the source, as logline.contract carries it
	File    string `json:"file"` // such as "contracts/audit_trail.lll"
	Source  string `json:"source"`
}

//go:embed files
var files embed.FS

// catalogue are all templates that the program holds, by name and the newest
// version of each first. They are read when they are first asked for.
var catalogue = sync.OnceValues(func() ([]*Template, error) {
	root, err := fs.Sub(files, "files")
	if err != nil {
		return nil, err
	}
	return read(root)
})

// List is the newest version of each template, by name. It is empty where the
// program's own files cannot be read; Get says why.
func List() []*Template {
	all, _ := catalogue()
	return newest(all)
}

func newest(all []*Template) []*Template {
	var out []*Template
	for _, t := range all {
		if len(out) == 0 || out[len(out)-1].Name != t.Name {
			out = append(out, t)
		}
	}
	return out
}

// Get is a template by its name; version is one of its versions, "" the newest.
// Errors: template_unknown, template_version_unknown (fault.NotFound).
func Get(name, version string) (*Template, error) {
	all, err := catalogue()
	if err != nil {
		return nil, err
	}
	return choose(all, name, version)
}

func choose(all []*Template, name, version string) (*Template, error) {
	for _, t := range all {
		if t.Name == name && (version == "" || t.Version == version) {
			return t, nil
		}
	}
	if known := versionsOf(all, name); len(known) > 0 {
		return nil, fault.Newf(fault.NotFound, "template_version_unknown",
			"the template %s has no version %q; it has %s", name, brief(version), strings.Join(known, ", "))
	}
	var names []string
	for _, t := range newest(all) {
		names = append(names, t.Name)
	}
	return nil, fault.Newf(fault.NotFound, "template_unknown",
		"there is no template %q; there are %s", brief(name), strings.Join(names, ", "))
}

// Versions are the versions of a template that the program holds, the newest first.
func (t *Template) Versions() []string {
	all, _ := catalogue()
	return versionsOf(all, t.Name)
}

func versionsOf(all []*Template, name string) []string {
	var out []string
	for _, t := range all {
		if t.Name == name {
			out = append(out, t.Version)
		}
	}
	return out
}

// byName orders templates by name, and the newest version of each first.
func byName(a, b *Template) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), semver.Compare("v"+b.Version, "v"+a.Version))
}

// brief is what was asked for, not longer than a name can be.
func brief(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Ref is the template as people name it: name@version.
func (t *Template) Ref() string { return t.Name + "@" + t.Version }

package template

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/semver"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/span"
)

// sheet is template.yaml.
type sheet struct {
	Title    string `yaml:"title"`
	Summary  string `yaml:"summary"`
	Settings struct {
		RetentionDays int    `yaml:"retention_days"`
		RetentionWhy  string `yaml:"retention_why"`
		PublicReading bool   `yaml:"public_reading"`
		PublicWhy     string `yaml:"public_reading_why"`
	} `yaml:"settings"`
	Roles []struct {
		Name string `yaml:"name"`
		Does string `yaml:"does"`
	} `yaml:"roles"`
	Contracts []string `yaml:"contracts"`
}

// read reads every template below root: a folder for each name, in it one for
// each version.
func read(root fs.FS) ([]*Template, error) {
	dirs, err := fs.Glob(root, "*/*")
	if err != nil {
		return nil, err
	}
	var all []*Template
	for _, dir := range dirs {
		t, err := readOne(root, dir)
		if err != nil {
			return nil, fault.Newf(fault.Internal, "template_damaged", "the template in %s cannot be read: %v", dir, err).Because(err)
		}
		all = append(all, t)
	}
	slices.SortFunc(all, byName)
	return all, nil
}

func readOne(root fs.FS, dir string) (*Template, error) {
	t := &Template{Name: path.Dir(dir), Version: path.Base(dir)}
	if !span.ValidSlug(t.Name) || !semver.IsValid("v"+t.Version) {
		return nil, fault.New(fault.Invalid, "template_damaged", "its folder is not name/version")
	}
	of, err := fs.Sub(root, dir)
	if err != nil {
		return nil, err
	}
	if t.Hash, err = hashOf(of); err != nil {
		return nil, err
	}
	page, err := fs.ReadFile(of, "README.md")
	if err != nil {
		return nil, err
	}
	t.Page = string(page)
	var s sheet
	if err := readYAML(of, "template.yaml", &s); err != nil {
		return nil, err
	}
	t.Title, t.Summary = s.Title, s.Summary
	t.Settings = Settings{s.Settings.RetentionDays, s.Settings.RetentionWhy, s.Settings.PublicReading, s.Settings.PublicWhy}
	compiled, err := t.contracts(of, s.Contracts)
	if err != nil {
		return nil, err
	}
	for _, r := range s.Roles {
		declared := slices.ContainsFunc(compiled, func(c *contract.Contract) bool {
			return slices.ContainsFunc(c.Roles, func(d contract.Role) bool { return d.Name == r.Name })
		})
		t.Roles = append(t.Roles, Role{Name: r.Name, Does: r.Does, Builtin: !declared})
	}
	var examples []exampleFile
	if err := readYAML(of, "examples.yaml", &examples); err != nil {
		return nil, err
	}
	for i := range examples {
		d, err := examples[i].draft()
		if err != nil {
			return nil, err
		}
		t.examples = append(t.examples, d)
	}
	return t, nil
}

// contracts reads those that the sheet names, against one another.
func (t *Template) contracts(of fs.FS, names []string) ([]*contract.Contract, error) {
	sources := make([]library.Source, len(names))
	for i, name := range names {
		file := path.Join("contracts", name)
		text, err := fs.ReadFile(of, file)
		if err != nil {
			return nil, err
		}
		sources[i] = library.Source{Name: file, Text: string(text)}
	}
	var out []*contract.Contract
	for _, d := range library.Read(sources).Documents() {
		c := d.Contract
		if c == nil {
			return nil, fault.Newf(fault.Invalid, "contract_invalid", "%s holds no contract that is right: %s", d.File.Name, d.File.RenderAll(d.Diagnostics))
		}
		t.Contracts = append(t.Contracts, Contract{Name: c.Name, Version: c.Version, Hash: c.Hash.String(), File: d.File.Name, Source: c.Source.Text})
		out = append(out, c)
	}
	return out, nil
}

// readYAML takes no member that it does not know.
func readYAML(of fs.FS, name string, to any) error {
	raw, err := fs.ReadFile(of, name)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// hashOf is the hash of a template's files: b64u of
// H("logline.template.v1\n" || lines), where each file, in order of its path, is
// a line as sha256sum writes it: the hash in hexadecimal, two blanks, the path.
func hashOf(of fs.FS) (string, error) {
	var names []string
	err := fs.WalkDir(of, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	message := []byte("logline.template.v1\n")
	for _, name := range names {
		content, err := fs.ReadFile(of, name)
		if err != nil {
			return "", err
		}
		sum := span.Sum(content)
		message = append(message, hex.EncodeToString(sum[:])+"  "+name+"\n"...)
	}
	return span.Sum(message).String(), nil
}

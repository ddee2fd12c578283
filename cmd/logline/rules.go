package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Write contracts: check, format and test them, and bring them into force",
		Long: `Contracts are rules that decide about spans. They are written in .lll files. activate,
retire and list talk to a node, as do diff of one file and backtest of a tenant; the
other commands need files alone: no server, no keys, no network. docs/contracts.md explains the
language.`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(
		newRulesCheckCmd(env),
		newRulesFmtCmd(env),
		newRulesTestCmd(env),
		newRulesRunCmd(env),
		newRulesExplainCmd(env),
		newRulesImportCmd(env),
		newRulesDiffCmd(env),
		newRulesBacktestCmd(env),
		newRulesActivateCmd(env),
		newRulesRetireCmd(env),
		newRulesListCmd(env),
	)
	translateErrors(cmd)
	return cmd
}

// standardInput is how files are named that come from standard input.
const standardInput = "-"

// lllSuffix is how files of contracts end, where folders are searched.
const lllSuffix = ".lll"

// readSources reads the files that are named, and all .lll files below folders.
func readSources(env *environment, names []string) ([]library.Source, error) {
	var out []library.Source
	for _, name := range names {
		paths, err := contractFiles(name)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if slices.ContainsFunc(out, func(s library.Source) bool { return s.Name == path }) {
				continue // a file, and the folder that it is in
			}
			text, err := readSource(env, path)
			if err != nil {
				return nil, err
			}
			out = append(out, library.Source{Name: path, Text: text})
		}
	}
	return out, nil
}

// contractFiles is the file itself, or the .lll files of a folder and those
// below it, in the order of their names. Hidden folders are left out.
func contractFiles(name string) ([]string, error) {
	if name == standardInput {
		return []string{name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, errSource(name, err)
	}
	if !info.IsDir() {
		return []string{filepath.Clean(name)}, nil
	}
	var paths []string
	err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != name && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, lllSuffix):
			paths = append(paths, path)
		}
		return nil
	})
	if err != nil {
		return nil, errSource(name, err)
	}
	if len(paths) == 0 {
		return nil, fault.Newf(fault.NotFound, "contract_missing", "there is no %s file in %s; name a file, or a folder that has some", lllSuffix, name)
	}
	return paths, nil
}

// readSource reads one file, one byte beyond the limit at most: what is longer
// is refused by whoever parses it.
func readSource(env *environment, path string) (string, error) {
	in := env.Stdin
	if path != standardInput {
		f, err := os.Open(path) //nolint:gosec // the user names the file
		if err != nil {
			return "", errSource(path, err)
		}
		defer f.Close() //nolint:errcheck // nothing was written
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, lll.MaxBytes+1))
	if err != nil {
		return "", errSource(path, err)
	}
	return string(text), nil
}

func errSource(path string, err error) error {
	kind := fault.Unavailable
	if os.IsNotExist(err) {
		kind = fault.NotFound
	}
	return fault.Newf(kind, "contract_unreadable", "%s cannot be read", path).Because(err)
}

// readLibrary reads the sources together. A contract that is required and not
// among them is looked for in the other .lll files of their folders; those that
// were taken from there are the documents beyond the first `given`.
func readLibrary(env *environment, names []string) (l *library.Library, given int, err error) {
	sources, err := readSources(env, names)
	if err != nil {
		return nil, 0, err
	}
	given = len(sources)
	l = library.Read(sources)
	for {
		missing := l.Missing()
		found := beside(env, sources, missing)
		if len(found) == 0 {
			return l, given, nil
		}
		sources = append(sources, found...)
		l = library.Read(sources)
	}
}

// beside finds contracts by name in the folders of the sources. Where several
// files hold one, the first in the order of names is taken.
func beside(env *environment, sources []library.Source, missing []string) []library.Source {
	var out []library.Source
	for _, folder := range folders(sources) {
		paths, err := filepath.Glob(filepath.Join(folder, "*"+lllSuffix))
		if err != nil {
			continue // a folder whose name is a pattern
		}
		for _, path := range paths {
			if len(out) == len(missing) {
				return out
			}
			if slices.ContainsFunc(sources, func(s library.Source) bool { return s.Name == path }) {
				continue
			}
			text, err := readSource(env, path)
			if err != nil {
				continue // nobody named this file
			}
			source := library.Source{Name: path, Text: text}
			name := library.Read([]library.Source{source}).Documents()[0].Name()
			if slices.Contains(missing, name) && !slices.ContainsFunc(out, func(s library.Source) bool {
				return library.Read([]library.Source{s}).Documents()[0].Name() == name
			}) {
				out = append(out, source)
			}
		}
	}
	return out
}

func folders(sources []library.Source) []string {
	var out []string
	for _, s := range sources {
		if s.Name == standardInput {
			continue
		}
		if dir := filepath.Dir(s.Name); !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	return out
}

// printDiagnostics renders what is wrong in a file, as people read it.
func printDiagnostics(w io.Writer, d *library.Document) {
	for _, p := range d.Diagnostics {
		io.WriteString(w, d.File.Render(p)+"\n") //nolint:errcheck // output remembers it
	}
}

// counts says how many errors and warnings documents have: "2 errors, 1 warning".
func counts(documents []*library.Document) (errors, warnings int) {
	for _, d := range documents {
		for _, p := range d.Diagnostics {
			if p.Severity == lll.Error {
				errors++
			} else {
				warnings++
			}
		}
	}
	return errors, warnings
}

func countWords(errors, warnings int) string {
	return ui.Plural(int64(errors), "error", "errors") + ", " + ui.Plural(int64(warnings), "warning", "warnings")
}

// place is where something stands in a source, for programs: lines and
// characters from 1, the end excluded.
type place struct {
	Line      int `json:"line"`
	Column    int `json:"column"`
	EndLine   int `json:"end_line"`
	EndColumn int `json:"end_column"`
}

func placeOf(s *lll.Source, at lll.Range) place {
	from, to := s.Pos(at.Offset), s.Pos(max(at.Offset, at.End))
	return place{from.Line, from.Column, to.Line, to.Column}
}

// problem is a diagnostic for programs.
type problem struct {
	Severity string `json:"severity"` // error, warning
	place
	Message string        `json:"message"`
	Fix     string        `json:"fix,omitempty"`
	Notes   []problemNote `json:"notes,omitempty"`
}

type problemNote struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func problemsOf(d *library.Document) []problem {
	out := make([]problem, 0, len(d.Diagnostics))
	for _, p := range d.Diagnostics {
		item := problem{Severity: "error", place: placeOf(d.File.Source, lll.Range{Offset: p.Offset, End: p.End}), Message: p.Message, Fix: p.Fix}
		if p.Severity == lll.Warning {
			item.Severity = "warning"
		}
		for _, n := range p.Notes {
			at := d.File.Pos(n.Offset)
			item.Notes = append(item.Notes, problemNote{at.Line, at.Column, n.Message})
		}
		out = append(out, item)
	}
	return out
}

// contractFacts names a contract for programs.
type contractFacts struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
	Rules   int    `json:"rules"`
	Tests   int    `json:"tests"`
}

func contractFactsOf(c *contract.Contract) *contractFacts {
	if c == nil {
		return nil
	}
	return &contractFacts{c.Name, c.Version, c.Hash.String(), len(c.Rules), len(c.Tests)}
}

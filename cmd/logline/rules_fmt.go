package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesFmtCmd(env *environment) *cobra.Command {
	var write, check bool
	cmd := &cobra.Command{
		Use:   "fmt [--write|--check] FILE|DIR...",
		Short: "Write contracts in the one canonical style",
		Long: `Format .lll files: colons, indentation, blanks, one item on a line unless several
were written there. Comments stay, what the file says does not change, and
formatting twice is as formatting once.

Without a flag the text goes to standard output. --write puts it into the files and
names those that changed. --check changes nothing, names the files that are not
formatted, and exits 1 when there are any. A file with errors is left as it is.
"-" reads standard input.`,
		Example: "  logline rules fmt --write contracts\n  logline rules fmt --check contracts\n  logline rules fmt - < payments.lll",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			sources, err := readSources(env, args)
			if err != nil {
				return err
			}
			f := formatting{env: env, write: write, check: check}
			for _, s := range sources {
				if err := f.file(s); err != nil {
					return err
				}
			}
			if f.failed {
				return &exitError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&write, "write", "w", false, "write the result into the files")
	cmd.Flags().BoolVar(&check, "check", false, "name the files that are not formatted, and change nothing")
	cmd.MarkFlagsMutuallyExclusive("write", "check")
	return cmd
}

// formatting formats file by file.
type formatting struct {
	env          *environment
	write, check bool
	failed       bool
}

func (f *formatting) file(s library.Source) error {
	text, diagnostics := lll.Format(s.Name, s.Text)
	if lll.Failed(diagnostics) {
		io.WriteString(f.env.Stderr, lll.NewSource(s.Name, s.Text).RenderAll(diagnostics)) //nolint:errcheck // nobody is left to tell
		f.failed = true
		return nil
	}
	switch {
	case f.check:
		if text != s.Text {
			f.failed = true
			fmt.Fprintln(f.env.Stdout, ui.Clean(s.Name))
		}
	case f.write && s.Name != standardInput:
		return f.replace(s, text)
	default:
		_, err := io.WriteString(f.env.Stdout, text)
		return err
	}
	return nil
}

// replace writes a file whose text changed, with the rights that it had; of a
// link the file that it leads to.
func (f *formatting) replace(s library.Source, text string) error {
	if text == s.Text {
		return nil
	}
	path, err := filepath.EvalSymlinks(s.Name)
	if err != nil {
		return errSource(s.Name, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return errSource(s.Name, err)
	}
	err = atomicfile.Write(path, func(w *os.File) error {
		if err := w.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return fault.Newf(fault.Unavailable, "contract_unwritten", "%s cannot be written; it is as it was", s.Name).Because(err)
	}
	fmt.Fprintln(f.env.Stdout, ui.Clean(s.Name))
	return nil
}

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/secret"
)

// sheetFlags say where a recovery sheet goes, and whether the key file keeps what
// is on it.
type sheetFlags struct {
	text, pdf string
	forget    bool
}

func (f *sheetFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "text", "", "new `FILE` for the sheet as text (default: shown here)")
	cmd.Flags().StringVar(&f.pdf, "pdf", "", "new `FILE` for the sheet as a page to print")
	cmd.Flags().BoolVar(&f.forget, "forget", false, "then take the next key out of the key file: the sheet alone has it")
}

// check refuses, before anything is changed, files that are there.
func (f *sheetFlags) check() error {
	for _, path := range []string{f.text, f.pdf} {
		if info, err := os.Stat(path); path != "" && err == nil && (info.Mode().IsRegular() || info.IsDir()) {
			return usagef("%s is there already; name a new file, so that no other sheet is lost", path)
		}
	}
	if f.text != "" && f.text == f.pdf {
		return usagef("--text and --pdf name the same file")
	}
	return nil
}

// give makes the sheet of the keys' next one and puts it where the flags say. The
// next key leaves the file only after that.
func (f *sheetFlags) give(env *environment, p profile, keys *id.Keys, passphrase string) (*recovery.Sheet, error) {
	seed, err := keys.NextSeed()
	if err != nil {
		return nil, err
	}
	sheet, err := recovery.New(keys.ID(), seed, p.URL, env.Now())
	if err != nil {
		return nil, err
	}
	if err := f.write(sheet); err != nil {
		return nil, err
	}
	if f.text == "" && f.pdf == "" {
		if _, err := fmt.Fprint(env.Stdout, sheet.Text()); err != nil {
			return nil, fileError("write", "standard output", err)
		}
	}
	if !f.forget {
		return sheet, nil
	}
	if err := keys.ForgetNext(); err != nil {
		return nil, err
	}
	return sheet, id.ReplaceKeys(p.KeyFile, keys, passphrase)
}

// write makes the files that the flags name, for their owner alone.
func (f *sheetFlags) write(sheet *recovery.Sheet) error {
	if f.text != "" {
		if err := writeFileAtomic(f.text, []byte(sheet.Text())); err != nil {
			return err
		}
	}
	if f.pdf == "" {
		return nil
	}
	page, err := sheet.PDF()
	if err != nil {
		return err
	}
	return writeFileAtomic(f.pdf, page)
}

// told says what has become of the sheet, beside the sheet itself.
func (f *sheetFlags) told(env *environment) {
	for _, path := range []string{f.text, f.pdf} {
		if path != "" {
			fmt.Fprintf(env.Stderr, "Wrote %s. Print it, and remove the file.\n", path)
		}
	}
	fmt.Fprintln(env.Stderr, "Whoever has this sheet can take the identity over: keep it on paper, in a safe place.")
	if f.forget {
		fmt.Fprintln(env.Stderr, "The key file has the next key no more; older copies of the file still have it.")
	}
}

func newIdentitySheetCmd(env *environment) *cobra.Command {
	var f sheetFlags
	var check, name string
	cmd := &cobra.Command{
		Use:   "sheet",
		Short: "Print the recovery sheet: the next key, with which you take your identity back",
		Long: `Prints the recovery sheet of your identity: its next key, which alone can replace
the current one. With it you take your identity back when the key file or its
passphrase is lost, or a thief signs as you: logline identity recover.

--check reads a sheet that you typed from paper and says whether it is right, or
which group of it is wrong. --forget takes the next key out of the key file, so that
a thief of the file cannot rotate; rotating then asks for the sheet.`,
		Example: `  logline identity sheet --pdf sheet.pdf
  logline identity sheet --check -
  logline identity sheet --forget`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, p, passphrase, err := ownKeys(env, name)
			if err != nil {
				return err
			}
			if check != "" {
				return checkSheet(env, keys, check)
			}
			if err := f.check(); err != nil {
				return err
			}
			if _, err := f.give(env, p, keys, passphrase); err != nil {
				return err
			}
			f.told(env)
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "profile", "", "profile whose identity it is (or LOGLINE_PROFILE; default: the current one)")
	f.register(cmd)
	cmd.Flags().StringVar(&check, "check", "", "compare a typed sheet in `FILE` (- for what is typed here) with the identity, and change nothing")
	cmd.MarkFlagsMutuallyExclusive("check", "text")
	cmd.MarkFlagsMutuallyExclusive("check", "pdf")
	cmd.MarkFlagsMutuallyExclusive("check", "forget")
	return cmd
}

// ownKeys opens the keys of a profile; no node is asked.
func ownKeys(env *environment, name string) (keys *id.Keys, p profile, passphrase string, err error) {
	all, err := loadProfiles(env)
	if err != nil {
		return nil, p, "", err
	}
	name = firstOf(name, env.Getenv("LOGLINE_PROFILE"), all.Current)
	p, ok := all.find(name)
	if !ok {
		return nil, p, "", usagef("there is no profile %q; %s", name, all.names())
	}
	if p.KeyFile == "" {
		return nil, p, "", usagef("profile %q has no identity; make one with `logline identity create`", p.Name)
	}
	keys, passphrase, err = loadKeys(env, p.KeyFile)
	return keys, p, passphrase, err
}

// readSheet reads a sheet from a file, or from what is typed until its last line.
func readSheet(env *environment, path string) (*recovery.Sheet, error) {
	text, err := readInput(env, path, recovery.MaxSheetBytes)
	if err != nil {
		return nil, err
	}
	warnExposed(env, path)
	return recovery.Parse(text)
}

// checkSheet says whether a typed sheet is the good one of an identity.
func checkSheet(env *environment, keys *id.Keys, path string) error {
	sheet, err := readSheet(env, path)
	if err != nil {
		return err
	}
	if err := takeSheet(keys, sheet); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "The sheet is right: it holds the next key of %s.\n", keys.ID())
	return nil
}

// takeSheet puts the next key back that is on a sheet.
func takeSheet(keys *id.Keys, sheet *recovery.Sheet) error {
	if sheet.Identity != keys.ID() {
		return fault.Newf(fault.Conflict, "recovery_sheet_foreign", "this is the sheet of %s, not of %s", sheet.Identity, keys.ID())
	}
	return keys.TakeNext(sheet.Seed())
}

func registerSheet(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "sheet", "", "`FILE` with the recovery sheet, where the key file has no next key (- for what is typed)")
}

// takeNext puts the next key back from the sheet in a file, "" for none.
func (s *session) takeNext(path string) error {
	if path == "" {
		return nil
	}
	sheet, err := readSheet(s.env, path)
	if err != nil {
		return err
	}
	return takeSheet(s.keys, sheet)
}

// warnExposed says who else may read a file with a secret that is only read here.
func warnExposed(env *environment, path string) {
	if e := secret.Exposure(path); path != "-" && e != "" {
		fmt.Fprintln(env.Stderr, "Warning:", e)
	}
}

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/ui"
)

func newKeysCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Exchange the keys of a node",
		Long: `The master key seals what a node keeps in its database: its own keys and those of
identities in its custody. The node's own key is exchanged by
"logline serve --rotate-node-key", those of identities by "logline identity rotate".`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRotateMasterCmd(env))
	return cmd
}

// rotateMaster is the flags of the command.
type rotateMaster struct {
	file                   string
	generate, status, json bool
}

func newRotateMasterCmd(env *environment) *cobra.Command {
	var f rotateMaster
	cmd := &cobra.Command{
		Use:   "rotate-master",
		Short: "Seal everything in the database under another master key",
		Long: `Seals anew what is sealed in the database, row by row. It may be interrupted at
any point, also by a power cut: run it again, and it goes on. In the end the old
key opens nothing in the database any more.

The old key comes from the settings (LOGLINE_MASTER_KEY or LOGLINE_MASTER_KEY_FILE).
The new one comes from

  --new-key-file FILE     a file that nobody else may read; --generate makes it
  LOGLINE_MASTER_KEY_NEW  the environment
  LOGLINE_MASTER_KEY      the settings, with the old one as LOGLINE_MASTER_KEY_PREVIOUS

The first two want every server stopped. With the third, servers that were started
with the same two keys work on meanwhile, and go on when the old one is taken away.

Backups made before want the old key, those made meanwhile both: keep the old key
for as long as you keep them. Whoever had the old key and a copy of the database
has what was in it; then rotate the keys themselves.`,
		Example: "  logline keys rotate-master --new-key-file new.key --generate\n  logline keys rotate-master --status",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 { // which may be a key, and is not repeated
				return errors.New("rotate-master takes no arguments: the new key is in a file or in the environment, because everybody on a machine can read command lines")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			if f.status {
				return f.show(cmd, env, cfg)
			}
			return f.run(cmd, env, cfg)
		},
	}
	app.AddMasterFlags(cmd.Flags())
	cmd.Flags().StringVar(&f.file, "new-key-file", "", "`FILE` with the new master key, readable by you alone")
	cmd.Flags().BoolVar(&f.generate, "generate", false, "make that file where it is not there yet")
	cmd.Flags().BoolVar(&f.status, "status", false, "say under which keys how much is sealed, and change nothing; needs no key")
	registerJSON(cmd, &f.json)
	return cmd
}

func (f *rotateMaster) run(cmd *cobra.Command, env *environment, cfg app.Config) error {
	to, err := f.newKey(env)
	if err != nil {
		return err
	}
	bar := newSlugBar(env, "Sealing ")
	out, err := app.RotateMaster(cmd.Context(), cfg, env.offline(cfg), app.RotateMasterOptions{To: to, By: osUser(), Progress: func(done, total int) {
		bar.update("", uint64(done), uint64(total))
	}})
	bar.finish()
	if err != nil {
		if n := out.Node + out.Custody + out.Secrets; n > 0 {
			fmt.Fprintf(env.Stderr, "Sealed anew before that: %s. Run the command again to go on.\n", ui.Plural(int64(n), "row", "rows"))
		}
		return err
	}
	if f.json {
		return printJSON(env.Stdout, out)
	}
	fmt.Fprintf(env.Stdout, "Sealed under the master key %s: %s and %s", out.To,
		ui.Plural(int64(out.Node), "node's keys", "nodes' keys"), ui.Plural(int64(out.Custody), "identity in custody", "identities in custody"))
	if out.Secrets > 0 {
		fmt.Fprintf(env.Stdout, ", %s", ui.Plural(int64(out.Secrets), "secret of an account", "secrets of accounts"))
	}
	if out.Already > 0 {
		fmt.Fprintf(env.Stdout, "; %d were already", out.Already)
	}
	fmt.Fprint(env.Stdout, ".\nNothing in the database is sealed under another master key.\n")
	switch {
	case f.file != "":
		fmt.Fprintf(env.Stdout, "Next: set LOGLINE_MASTER_KEY_FILE to %s, unset LOGLINE_MASTER_KEY, and start the servers.\n", f.file)
	case to != nil:
		fmt.Fprintln(env.Stdout, "Next: set LOGLINE_MASTER_KEY to the new key, and start the servers.")
	default:
		fmt.Fprintln(env.Stdout, "Next: unset LOGLINE_MASTER_KEY_PREVIOUS and its file setting, and restart the servers when it suits you.")
	}
	fmt.Fprintln(env.Stdout, "Keep the old key for as long as you keep backups that were made before.")
	return nil
}

// osUser is who runs this process, "" where nobody can say.
func osUser() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	return u.Username
}

// newKey is the key that takes over, nil for the one in the settings.
func (f *rotateMaster) newKey(env *environment) (*id.MasterKey, error) {
	text := env.Getenv("LOGLINE_MASTER_KEY_NEW")
	switch {
	case f.file != "" && text != "":
		return nil, usagef("--new-key-file and LOGLINE_MASTER_KEY_NEW are both given; leave one out")
	case f.generate && f.file == "":
		return nil, usagef("--generate makes the file that --new-key-file names")
	case text != "":
		k, err := id.ParseMasterKey(text)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, fault.CodeOf(err), "LOGLINE_MASTER_KEY_NEW %s", fault.From(err).Detail)
		}
		return k, nil
	case f.file == "":
		return nil, nil
	}
	if _, err := os.Lstat(f.file); f.generate && errors.Is(err, os.ErrNotExist) {
		if err := app.MakeMasterKeyFile(f.file, rand.Reader); err != nil {
			return nil, err
		}
		fmt.Fprintf(env.Stderr, "Made %s; keep a copy where you keep secrets, apart from the database.\n", f.file)
	}
	return app.ReadMasterKey(f.file)
}

// show says how the database is sealed.
func (f *rotateMaster) show(cmd *cobra.Command, env *environment, cfg app.Config) error {
	s, err := app.SealingOf(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	left := 0
	for master, n := range s.Under {
		if master != s.By.ID {
			left += n
		}
	}
	if f.json {
		return printJSON(env.Stdout, map[string]any{"seals": s.By, "under": s.Under, "left": left})
	}
	if s.By.ID == "" && len(s.Under) == 0 {
		fmt.Fprintln(env.Stdout, "Nothing is sealed in this database: the node's keys are in a file.")
		return nil
	}
	if s.By.ID != "" {
		fmt.Fprintf(env.Stdout, "Sealing: master key %s, since %s\n", ui.Clean(s.By.ID), ui.Clean(s.By.Since))
	}
	for _, master := range slices.Sorted(maps.Keys(s.Under)) {
		fmt.Fprintf(env.Stdout, "  %s  %s\n", ui.Clean(master), ui.Plural(int64(s.Under[master]), "row", "rows"))
	}
	switch {
	case s.By.ID != "" && left > 0:
		fmt.Fprintf(env.Stdout, "An exchange is not finished, %s left: run logline keys rotate-master again.\n", ui.Plural(int64(left), "row is", "rows are"))
	case s.By.Done != "":
		fmt.Fprintf(env.Stdout, "The exchange from %s was finished at %s.\n", ui.Clean(s.By.From), ui.Clean(s.By.Done))
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/secret"
)

func newIdentityCeremonyCmd(env *environment) *cobra.Command {
	return group("ceremony", "Share your identity's next key among people, any so many of whom recover it",
		`A recovery sheet is in one hand. For an organisation the next key can be shared
instead: among N people, any M of whom take the identity back together, while fewer
can do nothing. Each gets a file that is encrypted to their own age key.

  split    makes the shares, on the computer that has the identity
  open     decrypts one share, each person on their own computer
  combine  takes enough shares and recovers or rotates the identity`,
		newCeremonySplitCmd(env),
		newCeremonyOpenCmd(env),
		newCeremonyCombineCmd(env),
	)
}

// ceremonyFlags say among whom a key is shared.
type ceremonyFlags struct {
	profile, out string
	of, needs    int
	to           []string
	forget       bool
}

func newCeremonySplitCmd(env *environment) *cobra.Command {
	var f ceremonyFlags
	cmd := &cobra.Command{
		Use:   "split --of N --needs M --to age1… --to age1… …",
		Short: "Share the next key among N people, any M of whom have it together",
		Long: `Shares your identity's next key among as many people as --to names: each by the
public key of their own age identity (they make one with age-keygen and keep the
secret half). Makes one file for each, in the order of --to, encrypted to that person
alone. --forget then takes the next key out of your key file, so that only enough
people together can rotate or revoke the identity.

A rotation spends the shares: hold a new ceremony after it.`,
		Example: `  logline identity ceremony split --of 3 --needs 2 --to age1ana… --to age1bo… --to age1cy… --out shares --forget`,
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return f.run(env) },
	}
	cmd.Flags().StringVar(&f.profile, "profile", "", "profile whose identity it is (or LOGLINE_PROFILE; default: the current one)")
	cmd.Flags().IntVar(&f.of, "of", 0, "how many people (required)")
	cmd.Flags().IntVar(&f.needs, "needs", 0, "how many of them are needed (required)")
	cmd.Flags().StringArrayVar(&f.to, "to", nil, "age `RECIPIENT` of one person, age1…; once for each (required)")
	cmd.Flags().StringVar(&f.out, "out", "shares", "new `FOLDER` for the files")
	cmd.Flags().BoolVar(&f.forget, "forget", false, "then take the next key out of the key file: the people alone have it")
	for _, name := range []string{"of", "needs", "to"} {
		_ = cmd.MarkFlagRequired(name) // the flags exist
	}
	return cmd
}

func (f *ceremonyFlags) run(env *environment) error {
	if len(f.to) != f.of {
		return usagef("--of %d needs as many --to as people, not %d: one age1… for each", f.of, len(f.to))
	}
	for i, to := range f.to {
		for _, before := range f.to[:i] {
			if to == before {
				return usagef("--to number %d is there twice: everybody has a key of their own", i+1)
			}
		}
	}
	if exists(f.out) {
		return usagef("%s is there already; name a new folder with --out, so that no other share is lost", f.out)
	}
	keys, p, passphrase, err := ownKeys(env, f.profile)
	if err != nil {
		return err
	}
	seed, err := keys.NextSeed()
	if err != nil {
		return err
	}
	shares, err := recovery.Split(keys.ID(), seed, f.of, f.needs, keys.Signer(), env.Now(), rand.Reader)
	if err != nil {
		return err
	}
	if err := f.write(shares); err != nil {
		return err
	}
	if f.forget {
		if err := keys.ForgetNext(); err != nil {
			return err
		}
		if err := id.ReplaceKeys(p.KeyFile, keys, passphrase); err != nil {
			return err
		}
	}
	fmt.Fprintf(env.Stdout, "Shared the next key of %s: any %d of %d people have it.\n", keys.ID(), f.needs, f.of)
	for i, to := range f.to {
		fmt.Fprintf(env.Stdout, "  %s  for %s\n", f.file(i), to)
	}
	fmt.Fprintln(env.Stdout, "\nGive each their file, then try it: logline identity ceremony open FILE --key THEIR-AGE-KEY")
	if f.forget {
		fmt.Fprintln(env.Stderr, "The key file has the next key no more; older copies of the file still have it.")
	}
	return nil
}

func (f *ceremonyFlags) file(i int) string {
	return filepath.Join(f.out, fmt.Sprintf("share-%d.age", i+1))
}

// write encrypts all shares, and writes them only then.
func (f *ceremonyFlags) write(shares []*recovery.Share) error {
	sealed := make([][]byte, len(shares))
	var err error
	for i, s := range shares {
		if sealed[i], err = s.Seal(f.to[i]); err != nil {
			return fault.Newf(fault.KindOf(err), fault.CodeOf(err), "--to number %d: %s", i+1, fault.From(err).Detail)
		}
	}
	if err := os.MkdirAll(f.out, 0o700); err != nil {
		return fileError("write", f.out, err)
	}
	for i := range sealed {
		if err := writeFileAtomic(f.file(i), sealed[i]); err != nil {
			return err
		}
	}
	return nil
}

func newCeremonyOpenCmd(env *environment) *cobra.Command {
	var key, out, to string
	cmd := &cobra.Command{
		Use:   "open SHARE --key FILE",
		Short: "Decrypt your share, and say whether it is whole",
		Long: `Decrypts a share with your age identity (a file as age-keygen makes it) and says
whether it is as it was given out. --to encrypts it to whoever combines; --out writes
it as it is, for a computer that all of you trust. Without either nothing is written:
that is how to try a share.`,
		Example: `  logline identity ceremony open share-1.age --key ana.agekey
  logline identity ceremony open share-1.age --key ana.agekey --to age1combiner… --out for-them.age`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if to != "" && out == "" {
				return usagef("--to needs --out: the file for them")
			}
			if out != "" && exists(out) {
				return usagef("%s is there already; name a new file with --out", out)
			}
			share, err := readShare(env, args[0], key)
			if err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "Share %d of %d of %s, made %s: whole. %d are needed.\n", share.Number, share.Of, share.Identity, share.Made, share.Needs)
			if out == "" {
				return nil
			}
			text, err := share.Text()
			if to != "" {
				text, err = share.Seal(to)
			}
			if err != nil {
				return err
			}
			return writeFileAtomic(out, text)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`FILE` with your age identity, readable by you alone")
	cmd.Flags().StringVar(&out, "out", "", "new `FILE` for the share")
	cmd.Flags().StringVar(&to, "to", "", "age `RECIPIENT` to encrypt it to, age1…")
	return cmd
}

func newCeremonyCombineCmd(env *environment) *cobra.Command {
	var f recoverFlags
	var key string
	var rotate bool
	cmd := &cobra.Command{
		Use:   "combine SHARE… [--rotate]",
		Short: "Recover the identity with enough shares, or rotate it where its key file is",
		Long: `Takes enough shares of one ceremony, as "open" wrote them, and takes the identity
back as "recover" does: on a computer that has nothing of it. With --rotate it rotates
the identity of a profile that is here. A share that was altered, is of another
ceremony or is there twice is named, and nothing is done with it.

The shares are spent by that: hold a new ceremony.`,
		Example: `  logline identity ceremony combine ana.share bo.share --url https://log.example.com
  logline identity ceremony combine ana.age bo.age --key combiner.agekey --rotate --profile acme`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.sheet.forget && f.sheet.text == "" && f.sheet.pdf == "" {
				return usagef("--forget goes with a sheet (--text or --pdf); shares are made by `logline identity ceremony split`, which forgets too")
			}
			sheet, err := combineShares(env, args, key)
			if err != nil {
				return err
			}
			if rotate {
				if !cmd.Flags().Changed("profile") {
					f.profile = "" // the current one
				}
				return rotateBySheet(cmd.Context(), env, &f, sheet)
			}
			f.ceremony = true
			return f.run(cmd.Context(), env, sheet)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&key, "key", "", "`FILE` with the age identity that the shares are encrypted to, where they are")
	cmd.Flags().BoolVar(&rotate, "rotate", false, "rotate the identity of the profile instead, whose key file has no next key")
	return cmd
}

// maxAgeKey bounds a file with age identities, in bytes.
const maxAgeKey = 64 << 10

// readShare reads a share from a file, decrypting it with the age identities in
// another, "" for none.
func readShare(env *environment, path, key string) (*recovery.Share, error) {
	var with []age.Identity
	if key != "" {
		text, err := secret.ReadFile(key, "the age identity", maxAgeKey)
		if err != nil {
			return nil, err
		}
		if with, err = age.ParseIdentities(bytes.NewReader(text)); err != nil {
			return nil, fault.Newf(fault.Invalid, "age_identity", "%s holds no age identity, as age-keygen makes it", key)
		}
	}
	raw, err := readInput(env, path, recovery.MaxShareBytes)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(raw, []byte("{")) { // as it is
		warnExposed(env, path)
	}
	share, err := recovery.OpenShare(raw, with...)
	if err != nil {
		return nil, fault.Newf(fault.KindOf(err), fault.CodeOf(err), "%s: %s", path, fault.From(err).Detail)
	}
	return share, nil
}

// combineShares is the sheet that enough shares are together.
func combineShares(env *environment, paths []string, key string) (*recovery.Sheet, error) {
	handed := make([]recovery.Handed, len(paths))
	for i, path := range paths {
		share, err := readShare(env, path, key)
		if err != nil {
			return nil, err
		}
		handed[i] = recovery.Handed{Name: path, Share: share}
	}
	c, seed, err := recovery.Combine(handed)
	if err != nil {
		return nil, err
	}
	return recovery.New(c.Identity, seed, "", env.Now())
}

// rotateBySheet rotates the identity of a profile that is here.
func rotateBySheet(ctx context.Context, env *environment, f *recoverFlags, sheet *recovery.Sheet) error {
	if err := f.sheet.check(); err != nil {
		return err
	}
	flags := clientFlags{profile: f.profile, url: f.url}
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	if err := takeSheet(s.keys, sheet); err != nil {
		return err
	}
	event, err := s.change(ctx, func(k *id.Keys) (*id.Event, error) { return k.Rotate(env.Now(), rand.Reader) })
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Stderr, "The shares are spent; hold a new ceremony: logline identity ceremony split")
	return printEvent(env, f.asJSON, s.keys.ID(), event, "Rotated: the primary key is now "+event.Key+".")
}

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/secret"
)

var errPassphraseNeeded = fault.New(fault.Unauthenticated, "passphrase_needed",
	"the key file is protected by a passphrase; set LOGLINE_PASSPHRASE or run this on a terminal")

// loadKeys opens a key file, asking for its passphrase if it has one:
// LOGLINE_PASSPHRASE, else the terminal. It gives the passphrase too ("" when
// the file has none), for writing a later state back.
func loadKeys(env *environment, path string) (keys *id.Keys, passphrase string, err error) {
	keys, err = id.LoadKeys(path, func() (string, error) {
		if passphrase = env.Getenv("LOGLINE_PASSPHRASE"); passphrase != "" {
			return passphrase, nil
		}
		p, ok, err := askSecret(env, "Passphrase for "+path+": ")
		if err == nil && !ok {
			err = errPassphraseNeeded
		}
		passphrase = p
		return p, err
	})
	if e := secret.Exposure(path); err == nil && passphrase == "" && e != "" {
		fmt.Fprintln(env.Stderr, "Warning:", e) // what was read is read: refusing to sign takes nothing back
	}
	return keys, passphrase, err
}

// maxTokenFile bounds a file with a bootstrap token, in bytes.
const maxTokenFile = 1024

func registerTokenFile(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "token-file", "", "`FILE` with the bootstrap token, for the first tenant (default: LOGLINE_BOOTSTRAP_TOKEN)")
}

// givenToken is the bootstrap token from a file, else from the environment, ""
// for none. There is no flag for the token itself: everybody on a machine sees
// command lines.
func givenToken(env *environment, file string) (string, error) {
	if file == "" {
		return env.Getenv("LOGLINE_BOOTSTRAP_TOKEN"), nil
	}
	text, err := secret.ReadFile(file, "the bootstrap token file", maxTokenFile)
	return strings.TrimSpace(string(text)), err
}

// newPassphrase is what to protect a new key file with: LOGLINE_PASSPHRASE,
// else what is typed twice. "" means unprotected, which needs none to be true.
func newPassphrase(env *environment, none bool) (string, error) {
	if none {
		fmt.Fprintln(env.Stderr, "Warning: the key file is not protected by a passphrase; whoever reads it can sign as you.")
		return "", nil
	}
	if p := env.Getenv("LOGLINE_PASSPHRASE"); p != "" {
		return p, nil
	}
	first, ok, err := askSecret(env, "Passphrase for the new key (it cannot be recovered): ")
	if err != nil {
		return "", err
	}
	if !ok {
		return "", usagef("a new key needs a passphrase: set LOGLINE_PASSPHRASE, run this on a terminal, or give --no-passphrase")
	}
	if first == "" {
		return "", usagef("the passphrase is empty; give --no-passphrase if the key shall not be protected")
	}
	second, _, err := askSecret(env, "The same again: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", usagef("the two passphrases differ; nothing was made")
	}
	return first, nil
}

// askSecret reads a line without showing it; ok is false without a terminal.
func askSecret(env *environment, prompt string) (answer string, ok bool, err error) {
	in, isFile := env.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return "", false, nil
	}
	state, err := term.GetState(int(in.Fd()))
	if err != nil {
		return "", true, errors.Join(errPassphraseNeeded, err)
	}
	// Whoever presses Ctrl-C here wants out, not a drain: reading from a terminal
	// cannot be cancelled, so the process ends around it, with echo on again.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		raw, err := term.ReadPassword(int(in.Fd()))
		read <- line{raw, err}
	}()
	fmt.Fprint(env.Stderr, prompt)
	defer fmt.Fprintln(env.Stderr)
	select {
	case <-interrupted:
		_ = term.Restore(int(in.Fd()), state) // nothing better to do about it
		return "", true, &exitError{code: exitFailed, err: errors.New("interrupted; nothing was done")}
	case l := <-read:
		if l.err != nil {
			return "", true, errors.Join(errPassphraseNeeded, l.err)
		}
		return string(l.text), true, nil
	}
}

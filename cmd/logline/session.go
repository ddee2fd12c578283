package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/ui"
)

// clientFlags are the flags of every command that talks to a node.
type clientFlags struct {
	profile string
	url     string
	tenant  string
	json    bool
}

func (f *clientFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.profile, "profile", "", "profile to work with (or LOGLINE_PROFILE; default: the current one)")
	cmd.Flags().StringVar(&f.url, "url", "", "node to talk to, instead of the profile's (or LOGLINE_URL)")
	registerJSON(cmd, &f.json)
}

func (f *clientFlags) registerTenant(cmd *cobra.Command) {
	f.register(cmd)
	cmd.Flags().StringVar(&f.tenant, "tenant", "", "tenant id or slug, instead of the profile's (or LOGLINE_TENANT)")
}

func registerJSON(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "json", false, "print JSON for programs")
}

// session is one command's connection: the profile, and with it the keys and
// the node.
type session struct {
	env     *environment
	profile profile
	all     *profiles
	keys    *id.Keys // nil where the profile has no identity
	client  *client.Client

	passphrase string // of the key file, to write it again
	signWith   string // delegated key to sign the protocol's own spans with; "" for the primary
}

// resolve finds the profile that the flags and the environment name. Without
// any profile a URL suffices.
func (f *clientFlags) resolve(env *environment) (profile, *profiles, error) {
	all, err := loadProfiles(env)
	if err != nil {
		return profile{}, nil, err
	}
	name := firstOf(f.profile, env.Getenv("LOGLINE_PROFILE"))
	url := firstOf(f.url, env.Getenv("LOGLINE_URL"))
	p, ok := all.find(firstOf(name, all.Current))
	if !ok && (name != "" || url == "") {
		if name == "" {
			return profile{}, nil, usagef("no profile is chosen: %s", all.names())
		}
		return profile{}, nil, usagef("there is no profile %q; %s", name, all.names())
	}
	p.URL = firstOf(url, p.URL)
	p.Tenant = firstOf(f.tenant, env.Getenv("LOGLINE_TENANT"), p.Tenant)
	return p, all, nil
}

// open resolves the profile and connects with its keys.
func (f *clientFlags) open(env *environment) (*session, error) {
	p, all, err := f.resolve(env)
	if err != nil {
		return nil, err
	}
	s := &session{env: env, profile: p, all: all}
	if p.KeyFile != "" {
		if s.keys, s.passphrase, err = loadKeys(env, p.KeyFile); err != nil {
			return nil, err
		}
	}
	s.client, err = dial(env, p, s.keys)
	return s, err
}

// openTenant is open for commands that need keys and a tenant.
func (f *clientFlags) openTenant(env *environment) (*session, error) {
	s, err := f.open(env)
	if err != nil {
		return nil, err
	}
	if s.profile.Tenant == "" {
		return nil, usagef("profile %q has no tenant; choose one with `logline tenant use` (`logline tenant list` has those you may read), give --tenant, or make a new node's first with `logline onboard`", s.profile.Name)
	}
	if s.keys == nil {
		return nil, usagef("profile %q has no identity; make one with `logline identity create`", s.profile.Name)
	}
	return s, nil
}

// openNamed is openTenant for commands that may name the tenant as an argument:
// at most one, before what flags and profile say.
func (f *clientFlags) openNamed(env *environment, tenant ...string) (*session, error) {
	f.tenant = firstOf(append(tenant, f.tenant)...)
	return f.openTenant(env)
}

// firstOf is the first that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// printJSON writes v as one line, <, > and & as they are.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// terminalWidth is how wide the stream's terminal is, 0 if it is none.
func terminalWidth(stream any) int {
	if o, ok := stream.(*output); ok {
		stream = o.w
	}
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func writeTable(env *environment, t *ui.Table) error {
	width := 0
	if env.IsTerminal {
		width = terminalWidth(env.Stdout)
	}
	return t.Write(env.Stdout, width)
}

// facts prints aligned "name  value" lines, leaving out empty values.
func facts(w io.Writer, pairs ...string) {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, len(pairs[i]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%-*s  %s\n", width, pairs[i], ui.Clean(pairs[i+1]))
		}
	}
}

// readInput reads a file, or standard input for "-".
func readInput(env *environment, path string, limit int64) ([]byte, error) {
	var in io.Reader = env.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fileError("read", path, err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fileError("read", path, err)
	}
	if int64(len(raw)) > limit {
		return nil, fault.Newf(fault.Invalid, "input_too_large", "%s is larger than %s bytes", path, ui.Count(limit))
	}
	return raw, nil
}

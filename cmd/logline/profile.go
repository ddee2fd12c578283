package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// profile is one way of working: as whom, at which node, in which tenant.
// Secrets are in the key file alone.
type profile struct {
	Name     string `json:"name"`
	URL      string `json:"url,omitempty"`
	Node     string `json:"node,omitempty"`   // LogLine ID of the node, to notice when another answers
	Tenant   string `json:"tenant,omitempty"` // tenant id
	Slug     string `json:"slug,omitempty"`
	LogKey   string `json:"log_key,omitempty"` // note verifier key of the tenant's log, as first seen
	Identity string `json:"identity,omitempty"`
	KeyFile  string `json:"key_file,omitempty"`
	Door     string `json:"door,omitempty"` // of a visit: hash of the door's token

	OutboxFull  string `json:"outbox_full,omitempty"`  // see outboxFlags
	OutboxLimit *int   `json:"outbox_limit,omitempty"` // spans; nil is the default
}

// profiles is the content of config.json in the user's configuration folder.
type profiles struct {
	Current  string    `json:"current,omitempty"`
	Profiles []profile `json:"profiles"`

	path string
}

var profileName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// configDir is where profiles and keys live: LOGLINE_CONFIG_DIR, else the
// user's configuration folder.
func configDir(env *environment) (string, error) {
	if dir := env.Getenv("LOGLINE_CONFIG_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.New(fault.Unavailable, "config_dir_unknown",
			"the user's configuration folder is not known; set LOGLINE_CONFIG_DIR").Because(err)
	}
	return filepath.Join(dir, "logline"), nil
}

func loadProfiles(env *environment) (*profiles, error) {
	dir, err := configDir(env)
	if err != nil {
		return nil, err
	}
	ps := &profiles{path: filepath.Join(dir, "config.json")}
	raw, err := os.ReadFile(ps.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ps, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, ps)
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "profiles_unreadable",
			"%s cannot be read; repair or remove it", ps.path).Because(err)
	}
	return ps, nil
}

func (ps *profiles) find(name string) (profile, bool) {
	i := slices.IndexFunc(ps.Profiles, func(p profile) bool { return p.Name == name })
	if i < 0 {
		return profile{}, false
	}
	return ps.Profiles[i], true
}

// names lists the profiles, for messages.
func (ps *profiles) names() string {
	if len(ps.Profiles) == 0 {
		return "there is none yet: run `logline onboard` or `logline demo`"
	}
	names := make([]string, len(ps.Profiles))
	for i, p := range ps.Profiles {
		names[i] = p.Name
	}
	return "known: " + strings.Join(names, ", ")
}

// put stores p and writes the file; the first profile becomes the current one,
// and so does any with makeCurrent.
func (ps *profiles) put(p profile, makeCurrent bool) error {
	if !profileName.MatchString(p.Name) {
		return usagef("profile name %q must be lower-case letters, digits, dots, dashes and underscores, at most 63", p.Name)
	}
	if i := slices.IndexFunc(ps.Profiles, func(q profile) bool { return q.Name == p.Name }); i >= 0 {
		ps.Profiles[i] = p
	} else {
		ps.Profiles = append(ps.Profiles, p)
	}
	if makeCurrent || ps.Current == "" {
		ps.Current = p.Name
	}
	raw, err := json.MarshalIndent(ps, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(ps.path)); err != nil {
		return fileError("write", ps.path, err)
	}
	return writeFileAtomic(ps.path, append(raw, '\n'))
}

// writeFileAtomic replaces path by content, readable by its owner alone; a
// crash leaves the old file or the new one.
func writeFileAtomic(path string, content []byte) error {
	return atomically(path, atomicfile.Content(content))
}

// atomically lets fill write a new file that then takes path's place, synced.
// What is there and is no file, such as /dev/stdout or a pipe, is written to.
func atomically(path string, fill func(f *os.File) error) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return into(path, info, fill)
	}
	var filled error
	err := atomicfile.Write(path, func(f *os.File) error {
		filled = unwritable(path, f, fill(f))
		return filled
	})
	if err == nil || filled != nil {
		return filled
	}
	return fileError("write", path, err)
}

// into lets fill write to a device or a pipe.
func into(path string, info os.FileInfo, fill func(f *os.File) error) error {
	if info.IsDir() {
		return fileError("write", path, errors.New("it is a folder; name a file"))
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fileError("write", path, err)
	}
	err = unwritable(path, f, fill(f))
	if closing := f.Close(); err == nil && closing != nil {
		err = fileError("write", path, closing)
	}
	return err
}

// unwritable tells that the file could not be written, by the name that the
// reader knows, from what else may have ended fill.
func unwritable(path string, f *os.File, err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) && failed.Path == f.Name() {
		return fileError("write", path, failed)
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fileError says which file could not be read or written, and why.
func fileError(verb, path string, err error) error {
	reason := err.Error()
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		reason = pathErr.Err.Error()
	case errors.As(err, &linkErr):
		reason = linkErr.Err.Error()
	}
	return &exitError{code: exitUnavailable,
		err: fault.Newf(fault.Unavailable, "file_unusable", "cannot %s %s: %s", verb, path, reason)}
}

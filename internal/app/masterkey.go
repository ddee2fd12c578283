package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/secret"
)

// maxMasterKeyFile bounds the file of a master key, in bytes: 44 characters of
// base64 or 64 of hex, and what an editor may leave around them.
const maxMasterKeyFile = 1024

// masters are the master keys that are set: the one and the one before it.
func (c Config) masters() (out id.Masters, err error) {
	for _, s := range []struct {
		text secret.Text
		file string
	}{{c.MasterKey, c.MasterKeyFile}, {c.MasterKeyPrevious, c.MasterKeyPreviousFile}} {
		k, err := masterOf(s.text, s.file)
		if err != nil {
			return nil, err
		}
		if k == nil || len(out) == 1 && out[0].ID() == k.ID() {
			continue
		}
		out = append(out, k)
	}
	return out, nil
}

// ownMasterFile is the master key that a node makes for itself in its data
// directory, where none is set and the database is a file beside it. It seals what the
// node keeps for others, not the node's own keys: those are in a file already.
const ownMasterFile = "master.key"

func (c Config) ownMasterPath() string { return filepath.Join(c.DataDir, ownMasterFile) }

// keeping are the master keys under which the node keeps things for others: those
// that are set, and the data directory's own where there is one, which opens what
// was sealed before another was set.
func (c Config) keeping() (id.Masters, error) {
	masters, err := c.masters()
	if err != nil || c.databaseDir() == "" {
		return masters, err
	}
	if _, err := os.Lstat(c.ownMasterPath()); errors.Is(err, fs.ErrNotExist) {
		return masters, nil
	}
	own, err := ReadMasterKey(c.ownMasterPath())
	if err != nil {
		return nil, err
	}
	for _, k := range masters {
		if k.ID() == own.ID() {
			return masters, nil
		}
	}
	return append(masters, own), nil
}

// openKeeping reads those keys, and makes the data directory's own on the first
// start: people whose keys the node holds must be able to come without anybody having
// configured something. What a database in memory keeps, a key in memory seals.
func (a *App) openKeeping(ctx context.Context) (err error) {
	switch {
	case len(a.masters) > 0:
	case a.cfg.inMemory():
		text, err := id.NewMasterKey(a.opt.Rand)
		if err != nil {
			return err
		}
		k, err := id.ParseMasterKey(text)
		a.keeping = id.Masters{k}
		return err
	case a.cfg.databaseDir() != "":
		err := MakeMasterKeyFile(a.cfg.ownMasterPath(), a.opt.Rand)
		if err == nil {
			a.log.InfoContext(ctx, "master key made for keys in custody; keep a copy of this file elsewhere: backups do not hold it", slog.String("file", a.cfg.ownMasterPath()))
		} else if fault.CodeOf(err) != "secret_file_exists" {
			return err
		}
	}
	a.keeping, err = a.cfg.keeping()
	return err
}

// hasMaster says whether a master key is set, good or not.
func (c Config) hasMaster() bool { return c.MasterKey.IsSet() || c.MasterKeyFile != "" }

// masterOf is the master key in a setting or in a file, nil for none.
func masterOf(text secret.Text, file string) (k *id.MasterKey, err error) {
	if text.IsSet() {
		if k, err = id.ParseMasterKey(text.Reveal()); err != nil {
			return nil, err
		}
	}
	if file == "" {
		return k, nil
	}
	filed, err := ReadMasterKey(file)
	if err == nil && k != nil && k.ID() != filed.ID() {
		err = fault.Newf(fault.Invalid, "master_keys_differ",
			"the master key in %s (%s) is not the one that is set as text (%s); set one of them, or the older one as master_key_previous", file, filed.ID(), k.ID())
	}
	return filed, err
}

// ReadMasterKey reads a master key from a file that its owner alone may read.
func ReadMasterKey(path string) (*id.MasterKey, error) {
	text, err := secret.ReadFile(path, "the master key file", maxMasterKeyFile)
	if err != nil {
		return nil, err
	}
	k, err := id.ParseMasterKey(string(text))
	if err != nil {
		f := fault.From(err)
		return nil, fault.Newf(f.Kind, f.Code, "the content of %s %s", path, f.Detail)
	}
	return k, nil
}

// checkMaster is what is wrong with one of the settings of master keys, each of
// which was read after those before it.
func (c Config) checkMaster(key string) string {
	var err error
	switch key {
	case "master_key":
		_, err = masterOf(c.MasterKey, "")
	case "master_key_file":
		_, err = masterOf(c.MasterKey, c.MasterKeyFile)
	case "master_key_previous":
		_, err = masterOf(c.MasterKeyPrevious, "")
	default:
		_, err = masterOf(c.MasterKeyPrevious, c.MasterKeyPreviousFile)
	}
	if err != nil {
		return fault.From(err).Detail
	}
	if (key == "master_key_previous" && c.MasterKeyPrevious.IsSet() || key == "master_key_previous_file" && c.MasterKeyPreviousFile != "") && !c.hasMaster() {
		return "is the key before the master key, and no master key is set; set it as master_key"
	}
	return ""
}

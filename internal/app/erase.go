package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/mirror"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// erasableTables are those with something in them that is erased or replaced:
// payloads and their words, handles and names, keys in custody. What entries are
// found by, hashes and checkpoints are of headers alone, which stay.
var erasableTables = []string{"identities", "sealed_keys", "api_keys", "accounts", "account_codes", "account_sessions", "account_passkeys", "account_challenges", "account_oidc_links", "account_oidc_flows", "feed_tickets", "sealed_secrets", "settings", "node_acts", "timeline_indexed", "timeline_words", "timeline_entries"}

// Erasure is what a compaction has done or, where Compacted is false, would do.
type Erasure struct {
	Compacted bool           `json:"compacted"`
	Database  string         `json:"database"` // without secrets
	Parts     []storage.Part `json:"rewritten"`
	Unreached []string       `json:"unreached"` // where erased content may still be
}

// Erase rewrites whatever of a node's data may hold bytes of erased content
// although nothing serves them any more; without compact it only says what it
// would do. It works beside servers on a database; folders of NDJSON files
// belong to one process, and a mirror that a server has is left to it.
func Erase(ctx context.Context, cfg Config, opt Options, compact bool, tell func(part string)) (out Erasure, err error) {
	a, err := openData(ctx, cfg, opt, false)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	target, err := storage.Parse(cfg.Database())
	if err != nil {
		return out, err
	}
	e := &erasing{App: a, out: Erasure{Compacted: compact, Database: target.String()}, tell: tell}
	for _, step := range []func(context.Context) error{e.database, e.files, e.mirror} {
		if err := step(ctx); err != nil {
			return e.out, err
		}
	}
	e.copies(target.Path)
	e.out.Unreached = append(e.out.Unreached, beyondNode...)
	if !compact {
		return e.out, nil
	}
	return e.out, admin.NewBook(a.db, a.opt.Now).Add(ctx, admin.Act{Type: admin.Compacted, OSUser: osUser(), Facts: map[string]any{"parts": len(e.out.Parts)}})
}

// beyondNode is what no command of a node reaches.
var beyondNode = []string{
	"backups and dumps made before: let them expire, and after a restore repeat the redactions that came later",
	"snapshots of disks and file systems, and blocks that SSDs and copy-on-write file systems have put aside: let them expire, and encrypt disks",
	"what others have: bundles and pages they fetched, copies at other nodes, spans in an outbox",
}

// erasing is one run of Erase.
type erasing struct {
	*App
	out  Erasure
	tell func(part string)
}

func (e *erasing) database(ctx context.Context) error {
	var c storage.Compaction
	var err error
	if e.out.Compacted {
		c, err = e.db.Compact(ctx, erasableTables, e.tell)
	} else {
		c, err = e.db.Compactable(ctx, erasableTables)
	}
	e.out.Parts = append(e.out.Parts, c.Parts...)
	e.out.Unreached = append(e.out.Unreached, c.Unreached...)
	return err
}

// files is the timelines' own, where they have any.
func (e *erasing) files(ctx context.Context) error {
	store, ok := e.store.(*ndjsonstore.Store)
	if !ok {
		return nil
	}
	if !e.out.Compacted {
		return e.measure(e.cfg.timelineDir())
	}
	shrunk, err := store.Compact(ctx, e.tell)
	e.add(shrunk)
	return err
}

// mirror is the folder that this node mirrors to, with payloads.
func (e *erasing) mirror(ctx context.Context) error {
	if e.cfg.Mirror == "" || !e.cfg.MirrorPayloads {
		return nil
	}
	if !e.out.Compacted {
		return e.measure(e.cfg.Mirror)
	}
	store, err := e.keeper()
	if err != nil {
		return err
	}
	m := mirror.New(store, bus.New(), mirror.Config{Dir: e.cfg.Mirror, Payloads: true, Log: e.log})
	shrunk, err := m.Compact(ctx, e.tell)
	e.add(shrunk)
	if fault.CodeOf(err) == "timeline_dir_in_use" {
		e.out.Unreached = append(e.out.Unreached, fmt.Sprintf(
			"the mirror in %s, which a running server has: it erases there by itself before it mirrors a redaction; stop it and run this again to shrink the files", e.cfg.Mirror))
		return nil
	}
	return err
}

func (e *erasing) add(shrunk []segment.Shrunk) {
	for _, s := range shrunk {
		e.out.Parts = append(e.out.Parts, storage.Part{Name: s.Dir, Before: s.Before, After: s.After})
	}
}

// measure adds the folders of payloads in a folder of timelines as they are.
func (e *erasing) measure(dir string) error {
	folders, err := filepath.Glob(filepath.Join(dir, "*", ndjsonstore.PayloadsDir))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		var size int64
		err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err != nil {
			return fault.Newf(fault.Unavailable, "file_unusable", "the folder %s cannot be read", folder).Because(err)
		}
		e.out.Parts = append(e.out.Parts, storage.Part{Name: folder, Before: size, After: size})
	}
	return nil
}

// copies names what restores have put aside, or left when they were killed:
// whole older copies of the node's data, which nobody but their owner removes.
func (e *erasing) copies(database string) {
	beside := []string{e.cfg.DataDir}
	for _, path := range []string{database, e.cfg.timelineDir()} {
		if path != "" {
			beside = append(beside, filepath.Dir(filepath.Clean(path)))
		}
	}
	var found []string
	for _, dir := range beside {
		names, err := os.ReadDir(dir)
		if err != nil {
			continue // it holds nothing that can be named
		}
		for _, f := range names {
			if strings.Contains(f.Name(), ".before-") || strings.HasSuffix(f.Name(), ".restoring") {
				found = append(found, filepath.Join(dir, f.Name()))
			}
		}
	}
	slices.Sort(found)
	for _, path := range slices.Compact(found) {
		e.out.Unreached = append(e.out.Unreached, fmt.Sprintf("%s, an older copy that a restore left: remove it when you do not need it any more", path))
	}
}

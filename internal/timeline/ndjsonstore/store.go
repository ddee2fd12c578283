// Package ndjsonstore keeps timelines in plain files that cat, grep and jq
// read, one folder a tenant:
//
//	<tenant id>/tenant.json     the tenant's record as it was made
//	<tenant id>/lines/          the entries' lines, exactly: sha256(0x00 || line) is the leaf
//	<tenant id>/payloads/       what may be erased: payload, salt, detail, a line an entry
//	<tenant id>/commits/        a line a batch: checkpoint, state rows, statuses, redactions
//	<tenant id>/index           a snapshot of the index; it may be deleted
//
// A batch is committed when its line in commits is on the medium; payloads and
// lines are flushed before that. What stands beyond the last commit is an
// interrupted batch and is cut off at the next start. A timeline begins in a
// folder of another name, which is renamed. Redacted content is overwritten in
// its place after the commit that says so, and again at the next start.
//
// After a flush that failed nobody knows what is on the medium, so nothing is
// appended any more until the store is opened again; reads go on.
//
// Everything but the bytes is held in memory (package memindex). The folder
// belongs to one process. Identities and settings are not kept here.
package ndjsonstore

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memindex"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

var _ timeline.Keeper = (*Store)(nil)

// Config of a Store. Zero values are usable.
type Config struct {
	FS     segment.FS     // segment.Disk{}
	Limits segment.Limits // of each file
	Log    *slog.Logger   // slog.Default(); told what was repaired
	// SnapshotEvery is how many new entries make a new index snapshot worth
	// while, beside the one that Close writes: 50,000 when 0, and never less
	// than a quarter of the timeline.
	SnapshotEvery uint64
}

// codeDoubtful is the code of a store that is broken.
const codeDoubtful = "timeline_files_doubtful"

// newPrefix is before the name of a folder whose timeline is not committed.
const newPrefix = ".new-"

// Store keeps timelines in files. Make one with Open.
type Store struct {
	*memindex.Index
	dir  string
	cfg  Config
	lock *storage.DirLock

	broken atomic.Pointer[fault.Error] // why nothing is appended any more

	creating  sync.Mutex   // one new timeline at a time
	mu        sync.RWMutex // guards the map
	timelines map[string]*files
	snapshots sync.WaitGroup // being written
	closeOnce sync.Once
	closeErr  error
}

// Open takes the folder, makes it where it is missing, repairs what a crash has
// left and reads the index. Errors: timeline_dir_in_use where another process
// has it, timeline_damaged for what no crash leaves.
func Open(ctx context.Context, dir string, cfg Config) (*Store, error) {
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	cfg.SnapshotEvery = cmp.Or(cfg.SnapshotEvery, 50_000)
	s := &Store{Index: memindex.New(), dir: filepath.Clean(dir), cfg: cfg, timelines: map[string]*files{}}
	if cfg.FS == nil { // a file system of a test is nobody else's
		s.cfg.FS = segment.Disk{}
		var err error
		if s.lock, err = Lock(dir); err != nil {
			return nil, err
		}
	}
	if err := s.load(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// Lock takes a folder of NDJSON files for this process.
func Lock(dir string) (*storage.DirLock, error) {
	lock, err := storage.LockDir(dir)
	switch fault.CodeOf(err) {
	case "data_dir_in_use":
		return nil, fault.Newf(fault.Unavailable, "timeline_dir_in_use",
			"another process writes the NDJSON files in %s; stop it, or give this one a folder of its own", dir).Because(err)
	case "data_dir_unusable":
		return nil, fault.Newf(fault.Unavailable, "timeline_dir_unusable",
			"the folder %s for NDJSON files cannot be used; check its permissions, or choose another", dir).Because(err)
	}
	return lock, err
}

// load reads every timeline in the folder.
func (s *Store) load(ctx context.Context) error {
	if err := s.cfg.FS.Mkdir(s.dir); err != nil {
		return ioError(err)
	}
	// The folder itself must not be lost with what is in it.
	if err := s.cfg.FS.SyncDir(filepath.Dir(s.dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return ioError(err)
	}
	names, err := s.cfg.FS.List(s.dir)
	if err != nil {
		return ioError(err)
	}
	for _, name := range names {
		switch {
		case ctx.Err() != nil:
			return interrupted(ctx)
		case strings.HasPrefix(name, newPrefix):
			s.cfg.Log.WarnContext(ctx, "a timeline that was being made when the process ended was never committed; its files are removed",
				slog.String("folder", filepath.Join(s.dir, name)))
			if err := s.cfg.FS.Remove(filepath.Join(s.dir, name)); err != nil {
				return ioError(err)
			}
		case span.IsUUID(name):
			f, err := s.open(ctx, name)
			if err != nil {
				return err
			}
			s.timelines[name] = f
		}
	}
	// A rename whose flush failed in an earlier process is made to last.
	return ioError(s.cfg.FS.SyncDir(s.dir))
}

// Err is why nothing can be appended until the store is opened again, nil while
// all is well.
func (s *Store) Err() error {
	if broken := s.broken.Load(); broken != nil {
		return broken
	}
	return nil
}

// fail makes err the reason why nothing is appended any more.
func (s *Store) fail(err error) error {
	f := fault.New(fault.Unavailable, codeDoubtful,
		"the disk failed while the timeline's files were flushed, so what is on it is not known; nothing more is recorded "+
			"until the server is started again, which looks").After(30 * time.Second).Because(err)
	s.broken.CompareAndSwap(nil, f)
	return s.broken.Load()
}

// Close writes index snapshots and gives the folder back; closing twice is
// harmless. Appends and reads of bytes fail afterwards.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		closed := fault.New(fault.Unavailable, "timeline_closed", "the store is closed because the server is stopping")
		sound := s.broken.CompareAndSwap(nil, closed)
		s.creating.Lock()
		defer s.creating.Unlock()
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, f := range s.timelines { // whoever appends now has looked at broken before
			f.mu.Lock()
			defer f.mu.Unlock()
		}
		s.snapshots.Wait()
		var errs []error
		for id, f := range s.timelines {
			if sound {
				s.keepSnapshot(id, f)
			}
			errs = append(errs, f.close())
		}
		s.closeErr = errors.Join(append(errs, s.release())...)
	})
	return s.closeErr
}

func (s *Store) release() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Release()
}

// ioError classifies what the file system answered.
func ioError(err error) error {
	var known *fault.Error
	var damage *segment.Damage
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.As(err, &damage):
		return damaged(damage.Path, damage.Reason)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Unavailable, "disk_full",
			"the disk that holds the timelines is full; nothing of this request was recorded; free space and send it again").
			After(30 * time.Second).Because(err)
	default:
		return fault.New(fault.Unavailable, "timeline_io",
			"the timeline's files cannot be read or written; check the disk, its free space and the folder's permissions").
			After(30 * time.Second).Because(err)
	}
}

func damaged(path, reason string) *fault.Error {
	return fault.Newf(fault.Unavailable, "timeline_damaged",
		"the timeline's files are damaged in a way that no crash explains (%s: %s); nothing was changed: restore the folder from a backup", path, reason)
}

func interrupted(ctx context.Context) error {
	return fault.New(fault.Unavailable, "interrupted", "the operation was interrupted before it began; send it again").Because(context.Cause(ctx))
}

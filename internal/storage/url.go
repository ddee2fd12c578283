package storage

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// Target is a parsed database URL.
type Target struct {
	Path   string // of the SQLite file; empty for others
	Memory bool
	Server string // the URL of a PostgreSQL database without secrets; empty for others

	raw string // of Server, with secrets
}

// String is the URL in its short form, without secrets.
func (t Target) String() string {
	switch {
	case t.Memory:
		return "memory:"
	case t.Server != "":
		return t.Server
	}
	return "sqlite:" + t.Path
}

// Parse reads a database URL: "sqlite:<path>" (also sqlite://<path>),
// "memory:", or "postgres://…" (also postgresql://…). Errors are of kind
// Invalid (database_url_invalid) and never repeat the URL, which may hold a
// password.
func Parse(raw string) (Target, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	switch {
	case !ok:
		return Target{}, fault.New(fault.Invalid, "database_url_invalid",
			"the database URL has no scheme; use postgres://user:password@host:5432/database, sqlite:<path> or memory:")
	case scheme == "memory" && rest == "":
		return Target{Memory: true}, nil
	case scheme == "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" || strings.ContainsAny(path, "?\x00") {
			return Target{}, fault.New(fault.Invalid, "database_url_invalid",
				"a SQLite URL is sqlite:<path> with a path and no parameters")
		}
		return Target{Path: filepath.Clean(path)}, nil
	case scheme == "postgres" || scheme == "postgresql":
		return parsePostgres(raw)
	default:
		return Target{}, fault.Newf(fault.Invalid, "database_url_invalid",
			"the database URL has the unknown scheme %q; use postgres://user:password@host:5432/database, sqlite:<path> or memory:", scheme)
	}
}

// busyTimeout is how long a statement waits for a lock, in milliseconds. One
// writer in one process hardly ever does.
const busyTimeout = "10000"

// memoryCount names memory: databases, which SQLite shares by name within the
// process, so that each Open gets its own.
var memoryCount atomic.Uint64

// dsn makes the data source names of the writer and the readers.
func (t Target) dsn() (write, read string, err error) {
	q := url.Values{}
	q.Set("_busy_timeout", busyTimeout)
	q.Set("_foreign_keys", "on")
	q.Set("_defensive", "1")
	q.Set("_dqs", "0")
	q.Add("_pragma", "temp_store(MEMORY)") // no copy of content in temporary files
	q.Add("_pragma", "trusted_schema(OFF)")
	q.Add("_pragma", "secure_delete(ON)")
	u := url.URL{Scheme: "file"}
	if t.Memory {
		// The memdb VFS rather than a shared cache: its connections lock the
		// database like a file, so a reader never sees half a transaction.
		u.Path = "/logline-" + strconv.FormatUint(memoryCount.Add(1), 10)
		q.Set("vfs", "memdb")
	} else {
		abs, err := filepath.Abs(t.Path)
		if err != nil {
			return "", "", fault.New(fault.Invalid, "database_url_invalid", "the database path cannot be resolved").Because(err)
		}
		if err := makeDir(filepath.Dir(abs)); err != nil {
			return "", "", err
		}
		makeFile(abs)
		u.Path = filepath.ToSlash(abs)
		if !strings.HasPrefix(u.Path, "/") { // a Windows drive letter
			u.Path = "/" + u.Path
		}
		q.Set("_journal_mode", "WAL")
		q.Set("_synchronous", "FULL")
		q.Add("_pragma", "wal_autocheckpoint(4000)")     // pages: a page that many commits change is copied once
		q.Add("_pragma", "journal_size_limit(67108864)") // bytes the WAL file keeps after a checkpoint
		q.Add("_pragma", "cache_size(-16384)")           // KiB for each connection
	}
	q.Set("_txlock", "immediate")
	u.RawQuery = q.Encode()
	write = u.String()

	q.Del("_journal_mode") // the writer has set it
	q.Set("_txlock", "deferred")
	q.Set("_query_only", "1")
	u.RawQuery = q.Encode()
	return write, u.String(), nil
}

// makeFile creates an empty database file for its owner alone, where there is
// none: SQLite would make it, and the logs beside it, readable by others. When
// it cannot, SQLite says so better. A file that exists is never opened here,
// because closing it again would drop this process's locks on it.
func makeFile(path string) {
	if f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = f.Close()
	}
}

// makeDir creates a directory for its owner alone; one that exists is left as
// it is.
func makeDir(dir string) error {
	if err := atomicfile.MkdirAll(dir); err != nil {
		return fault.Newf(fault.Unavailable, "data_dir_unusable",
			"the directory %s cannot be created; check its parent's permissions or choose another with --data-dir", dir).Because(err)
	}
	return nil
}

package doctor

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Ages at which something is said.
const (
	oldKey    = 365 * 24 * time.Hour // of the node's key and the master key
	oldBackup = 48 * time.Hour
	idleKey   = 90 * 24 * time.Hour // of an API key that was never used
)

// age is how long ago a time of ours is; ok is false for none.
func age(now time.Time, at string) (d time.Duration, ok bool) {
	t, err := span.ParseTime(at)
	return now.Sub(t), err == nil
}

// Keys checks the ages of the node's keys and of API keys. events are the node's.
func (r *Report) Keys(ctx context.Context, db *storage.DB, now time.Time, events [][]byte) {
	r.nodeKey(now, events)
	if err := r.apiKeys(ctx, db, now); err != nil {
		r.broken("API keys", storage.Classify(err))
	}
}

func (r *Report) nodeKey(now time.Time, events [][]byte) {
	made := ""
	for _, raw := range events {
		e, err := id.ParseEvent(raw)
		if err == nil && (e.Kind == id.KindInception || e.Kind == id.KindRotation) {
			made = e.Time
		}
	}
	d, ok := age(now, made)
	switch {
	case !ok:
		r.OK("node key", "the node has none yet: no server has worked on this database")
	case d > oldKey:
		r.Warn("node key", "logline serve --rotate-node-key, once; keep a new copy of node.key where it is in a file", "it is %s old", About(d))
	default:
		r.OK("node key", "it is %s old", About(d))
	}
}

func (r *Report) apiKeys(ctx context.Context, db *storage.DB, now time.Time) error {
	var all, endless, idle int
	at := span.FormatTime(now)
	err := db.Read.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(CASE WHEN expires_at IS NULL THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN used_at IS NULL AND created_at < $1 THEN 1 ELSE 0 END), 0)
		FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)`, span.FormatTime(now.Add(-idleKey)), at).Scan(&all, &endless, &idle)
	if err != nil {
		return err
	}
	if endless > 0 {
		r.Warn("API keys", "have their owners rotate them, which gives them an end: logline identity keys rotate", "%d of %d never expire", endless, all)
	}
	if idle > 0 {
		r.Warn("API keys", "have their owners revoke what nobody uses: logline identity keys list, revoke", "%d of %d were made more than %s ago and never used", idle, all, About(idleKey))
	}
	if endless == 0 && idle == 0 {
		r.OK("API keys", "%d are valid, each with an end", all)
	}
	return nil
}

// Sealing checks how the database is sealed, with the ids of the master keys that
// are set, the newest first.
func (r *Report) Sealing(s id.Sealing, now time.Time, set []string) {
	left := 0
	for master, n := range s.Under {
		if master != s.By.ID && s.By.ID != "" { // where it is noted

			left += n
		}
	}
	d, dated := age(now, s.By.Since)
	switch {
	case len(s.Under) == 0 && len(set) == 0:
		r.OK("master key", "none is set, and nothing is sealed")
	case len(s.Under) == 0:
		r.OK("master key", "nothing is sealed yet")
	case len(set) == 0:
		r.Warn("master key", "set LOGLINE_MASTER_KEY or LOGLINE_MASTER_KEY_FILE", "none is set here, and %d keys are sealed under %s", sum(s.Under), s.By.ID)
	case s.By.ID == "":
		r.OK("master key", "keys in custody and second factors are sealed under %s", set[0])
	case s.By.ID != set[0] && (len(set) == 1 || s.By.ID != set[1]):
		r.Fail("master key", "set the one that the database names; if it is lost, restore node.key and lose the keys in custody", "the database is sealed under %s, and that one is not set", s.By.ID)
	case s.By.ID != set[0]:
		r.Warn("master key", "when every process has both keys, run logline keys rotate-master", "the database is sealed under the previous one (%s)", s.By.ID)
	case left > 0:
		r.Warn("master key", "run logline keys rotate-master again", "an exchange is not finished: %d keys are sealed under an old one", left)
	case len(set) > 1:
		r.Warn("master key", "unset master_key_previous", "nothing is sealed under the previous one any more, and it is still set")
	case dated && d > oldKey:
		r.Warn("master key", "exchange it: logline keys rotate-master (docs/secrets.md)", "it has sealed for %s", About(d))
	default:
		r.OK("master key", "%s seals, since %s", s.By.ID, s.By.Since)
	}
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// BackupSetting is the settings row that says when the last backup was written.
const BackupSetting = "backup"

// NoteBackup says in the database that a backup was written.
func NoteBackup(ctx context.Context, db *storage.DB, at string) error {
	return db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, BackupSetting, []byte(at))
		return err
	})
}

// Backup checks when the last one was written.
func (r *Report) Backup(ctx context.Context, db *storage.DB, now time.Time) {
	var at []byte
	err := db.Read.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, BackupSetting).Scan(&at)
	const do = "run logline backup FILE daily, and keep the file elsewhere; backups that the database makes by itself are not known here"
	d, ok := age(now, string(at))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		r.Warn("backup", do, "logline backup has never been run on this database")
	case err != nil:
		r.broken("backup", storage.Classify(err))
	case !ok || d < 0:
		r.Warn("backup", do, "the note of the last one (%q) is of no time before now", at)
	case d > oldBackup:
		r.Warn("backup", do, "the last one by logline backup is %s old", About(d))
	default:
		r.OK("backup", "the last one by logline backup is %s old", About(d))
	}
}

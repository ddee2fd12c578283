package id

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// resealBatch is how many rows are re-sealed in one transaction where nobody
// says: other writers wait for some milliseconds.
const resealBatch = 100

// Reseal puts one master key in the place of another: it notes that the new one
// seals from now on, and then seals every row anew, some in a transaction. It may
// end after any statement, and however it does; the next run goes on. Processes
// that hold both keys work on meanwhile: each row names the key that it is under,
// and none is sealed under the old one after the note.
type Reseal struct {
	DB       *storage.DB
	Masters  Masters    // that open what there is; To need not be among them
	To       *MasterKey // that takes over
	Now      func() time.Time
	Rand     io.Reader
	Batch    int                   // rows in a transaction; 0: 100
	Progress func(done, total int) // after each transaction that sealed something; nil for nobody
	// Finish joins the transaction that notes the end, which one exchange has once;
	// nil for nobody.
	Finish func(ctx context.Context, tx *sql.Tx, by SealedBy) error
}

// Resealed is what came of it.
type Resealed struct {
	To         string   `json:"to"`         // id of the master key that seals now
	From       []string `json:"from"`       // ids of those that this run took over from
	Node       int      `json:"node"`       // keys of the node that this run sealed anew
	Custody    int      `json:"custody"`    // keys of identities in custody
	Secrets    int      `json:"secrets"`    // small secrets beside keys
	Already    int      `json:"already"`    // keys that were under it before
	Unopenable []string `json:"unopenable"` // identities whose keys could not be opened: they are as they were
	Done       bool     `json:"done"`       // nothing is under another master key any more
}

// Sealing is how a database is sealed.
type Sealing struct {
	By    SealedBy       // what seals; ID is "" where nothing was sealed yet
	Under map[string]int // keys by the id of the master key that they are under
}

// ReadSealing looks at a database, for which it needs no key.
func ReadSealing(ctx context.Context, db *storage.DB) (s Sealing, err error) {
	if s.By, _, err = readSealedBy(ctx, db.Read); err != nil {
		return s, err
	}
	s.Under = map[string]int{}
	rows, err := db.Read.QueryContext(ctx, `
		SELECT master, count(*) FROM (SELECT master FROM sealed_keys UNION ALL SELECT master FROM sealed_secrets) AS sealed GROUP BY master`)
	if err != nil {
		return s, storage.Failed("count sealed keys", err)
	}
	defer rows.Close()
	for rows.Next() {
		var master string
		var n int
		if err := rows.Scan(&master, &n); err != nil {
			return s, storage.Failed("count sealed keys", err)
		}
		s.Under[master] = n
	}
	if err := rows.Err(); err != nil {
		return s, storage.Failed("count sealed keys", err)
	}
	return s, nil
}

// Run re-seals. Codes: nothing_sealed, master_key_wrong (nothing was changed),
// sealed_unopenable (the others are done). After an error the report says how far
// it came.
func (r Reseal) Run(ctx context.Context) (out Resealed, err error) {
	out = Resealed{To: r.To.ID(), From: []string{}, Unopenable: []string{}}
	before, err := ReadSealing(ctx, r.DB)
	if err != nil {
		return out, err
	}
	total := 0
	held := append(Masters{r.To}, r.Masters...)
	for master, n := range before.Under {
		if _, err := held.named(master, fmt.Sprintf("%d keys", n)); err != nil {
			return out, err
		}
		if master == r.To.ID() {
			out.Already = n
		} else {
			total += n
		}
	}
	if total+out.Already == 0 {
		return out, fault.New(fault.Conflict, "nothing_sealed",
			"no key is sealed in this database, so that there is nothing to exchange; set the master key and start the server, which seals its keys")
	}
	node, err := NodeHome{DB: r.DB}.owner(ctx)
	if err != nil {
		return out, err
	}
	if err := r.begin(ctx); err != nil {
		return out, err
	}
	for _, on := range shelves {
		w := walk{Reseal: r, shelf: on, held: held, node: node, out: &out}
		for more := true; more; {
			if err := r.DB.InTx(ctx, func(tx *sql.Tx) (err error) {
				more, err = w.step(ctx, tx)
				return err
			}); err != nil {
				return out, err
			}
			w.keep()
			if r.Progress != nil && w.took {
				r.Progress(out.Node+out.Custody+out.Secrets, total)
			}
		}
	}
	if len(out.Unopenable) > 0 {
		some := out.Unopenable[:min(len(out.Unopenable), 5)]
		return out, fault.Newf(fault.Unavailable, "sealed_unopenable",
			"the sealed keys of %d identities are damaged and stay as they are (%s); everything else is sealed anew. Restore them from a backup, and keep the old master key until then", len(out.Unopenable), strings.Join(some, ", "))
	}
	out.Done = true
	return out, r.end(ctx)
}

// begin notes that the new key seals, unless it is noted.
func (r Reseal) begin(ctx context.Context) error {
	return r.DB.InTx(ctx, func(tx *sql.Tx) error {
		by, _, err := readSealedBy(ctx, tx)
		if err != nil || by.ID == r.To.ID() {
			return err
		}
		return writeSealedBy(ctx, tx, SealedBy{ID: r.To.ID(), Since: span.FormatTime(r.Now()), From: by.ID})
	})
}

// end notes that nothing is under an earlier key, if the key is still the one.
func (r Reseal) end(ctx context.Context) error {
	err := r.DB.InTx(ctx, func(tx *sql.Tx) error {
		by, _, err := readSealedBy(ctx, tx)
		if err != nil || by.ID != r.To.ID() || by.Done != "" {
			return err
		}
		by.Done = span.FormatTime(r.Now())
		if err := writeSealedBy(ctx, tx, by); err != nil || r.Finish == nil || by.From == "" {
			return err
		}
		return r.Finish(ctx, tx, by)
	})
	if err != nil {
		return err
	}
	// What was under the old key is gone from the database; here from its log. A
	// reader in the way is waited for by the next commit.
	if err := r.DB.TruncateWAL(ctx); err != nil && fault.CodeOf(err) != "database_busy" {
		return err
	}
	return nil
}

func writeSealedBy(ctx context.Context, tx *sql.Tx, by SealedBy) error {
	value, err := json.Marshal(by)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, masterSetting, value); err != nil {
		return storage.Failed("note the master key", err)
	}
	return nil
}

// shelf is a table of what is sealed, whose rows are named by one text.
type shelf struct {
	table, row string // row is the name, as SQL has it
	sealedFor  func(row string) (purpose, name string)
}

var shelves = []shelf{
	{"sealed_keys", "identity", func(row string) (string, string) { return purposeKeys, row }},
	{"sealed_secrets", "purpose || ' ' || name", func(row string) (string, string) {
		purpose, name, _ := strings.Cut(row, " ")
		return purpose, name
	}},
}

// walk goes through the rows of a shelf in order of their names.
type walk struct {
	Reseal
	shelf
	held Masters
	node string
	last string // row; those up to it are done
	out  *Resealed

	reached string   // by a step whose transaction is not committed yet
	did     Resealed // in it
	took    bool     // it found rows
}

// step re-seals the next rows, and says whether there may be more.
func (w *walk) step(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	type row struct {
		name, master string
		sealed       []byte
	}
	most := w.Batch
	if most == 0 {
		most = resealBatch
	}
	w.did, w.reached = Resealed{}, w.last
	switch by, _, err := readSealedBy(ctx, tx); {
	case err != nil:
		return false, err
	case by.ID != w.To.ID():
		return false, fault.Newf(fault.Conflict, "master_key_changed",
			"the database is to be sealed under the master key %s by now, not under %s: somebody exchanges it again; nothing is left half done", by.ID, w.To.ID())
	}
	rows, err := tx.QueryContext(ctx, `SELECT `+w.row+`, master, sealed FROM `+w.table+` WHERE `+w.row+` > $1 AND master <> $2 ORDER BY 1 LIMIT $3`, w.last, w.To.ID(), most)
	if err != nil {
		return false, storage.Failed("read sealed keys", err)
	}
	defer rows.Close()
	var batch []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.name, &r.master, &r.sealed); err != nil {
			return false, storage.Failed("read sealed keys", err)
		}
		batch = append(batch, r)
	}
	if err := rows.Err(); err != nil {
		return false, storage.Failed("read sealed keys", err)
	}
	for _, r := range batch {
		w.reached = r.name
		purpose, name := w.sealedFor(r.name)
		from, err := w.held.named(r.master, "the keys of "+name)
		if err != nil {
			return false, err
		}
		plain, err := from.Open(purpose, name, r.sealed)
		if err != nil {
			w.did.Unopenable = append(w.did.Unopenable, name)
			continue
		}
		sealed, err := w.To.Seal(purpose, name, plain, w.Rand)
		if err != nil {
			return false, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE `+w.table+` SET master = $1, sealed = $2 WHERE `+w.row+` = $3`, w.To.ID(), sealed, r.name); err != nil {
			return false, storage.Failed("write what is sealed", err)
		}
		w.did.count(purpose, name == w.node, r.master)
	}
	w.took = len(batch) > 0
	return len(batch) == most, nil
}

func (r *Resealed) count(purpose string, node bool, from string) {
	switch {
	case purpose != purposeKeys:
		r.Secrets++
	case node:
		r.Node++
	default:
		r.Custody++
	}
	r.from(from)
}

func (r *Resealed) from(master string) {
	for _, known := range r.From {
		if known == master {
			return
		}
	}
	r.From = append(r.From, master)
}

// keep counts what a step did, which is committed.
func (w *walk) keep() {
	w.last = w.reached
	w.out.Node += w.did.Node
	w.out.Custody += w.did.Custody
	w.out.Secrets += w.did.Secrets
	w.out.Unopenable = append(w.out.Unopenable, w.did.Unopenable...)
	for _, master := range w.did.From {
		w.out.from(master)
	}
}

package timeline

import (
	"context"
	"io"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Errors that every Store returns by these codes. Any other error of Append
// leaves the outcome unknown: the batch may have been committed.
var (
	// ErrHeadMoved: the timeline's size and root are not the expected ones.
	// Nothing was written. Begin again and decide again.
	ErrHeadMoved = fault.New(fault.Conflict, "head_moved",
		"the timeline grew while the batch was being decided; try again")
	// ErrSpent: the batch spends a span id twice or one already spent. Nothing
	// was written.
	ErrSpent = fault.New(fault.Conflict, "id_spent",
		"this span id is already spent in the timeline; a new span needs a new id")
	// ErrTenantTaken: a tenant with this id or slug exists. Nothing was written.
	ErrTenantTaken = fault.New(fault.Conflict, "tenant_taken",
		"a tenant with this slug or id exists; choose another slug")
	// ErrTenantUnknown: no such tenant.
	ErrTenantUnknown = fault.New(fault.NotFound, "tenant_unknown",
		"no such tenant, or not for this reader")
)

// Store keeps timelines. It is given finished lines and hashes and understands
// none of them; everything it is asked to filter by stands in typed fields.
//
// Concurrency: all methods may be called at once by any number of goroutines
// and processes. Isolation: nothing of one tenant reaches another; reads see
// committed batches only, whole ones, and never an entry before all entries
// with smaller seq; State, Rows, Range and Count each see one committed state.
// Durability: when Append returns nil the batch
// survives the loss of process and power. Order: seqs are dense from 0.
// Tenants are named by id; an unknown one is ErrTenantUnknown. Errors of the
// medium are *fault.Error of kind unavailable or internal. Slices passed in are
// not kept or changed by the store once it has returned; slices returned belong
// to the caller.
// Close releases the store's own resources, not the database it was given.
type Store interface {
	Appender
	HeadReader
	RowReader
	EntryReader
	LinkReader
	TreeReader
	io.Closer
}

// Appender writes.
type Appender interface {
	// Append commits the whole batch or nothing, if the tenant's head still has
	// the size and root the batch expects; of several appenders one wins and
	// the others get ErrHeadMoved. After ErrHeadMoved, ErrSpent and
	// ErrTenantTaken nothing was written; after any other error the outcome is
	// unknown until the head has been read again.
	Append(ctx context.Context, b *Batch) error
}

// Holder is what a Store is besides where several processes append to one
// tenant: whoever lost a race can have the head to itself while it decides
// again, so that a large or slow batch is not overtaken for ever.
type Holder interface {
	// Hold waits for the tenant's head and keeps every other appender of every
	// process from it: their appends wait, and then find the head moved; reads
	// go on. Waiters come in about the order in which they asked. It is for a
	// moment: a store may end what is held idle for some seconds, and ends it
	// with the process. Where it has no means left to hold one more head, it returns
	// nil without an error, and the caller races like everybody.
	Hold(ctx context.Context, tenant string) (Held, error)
}

// Held is a tenant's head in the hands of one caller; not safe for concurrent use.
type Held interface {
	// Append is Appender's, with the head given back whatever comes of it.
	Appender
	// Close gives the head back; after Append, or a second time, it does nothing.
	Close()
}

// HeadReader reads tenants and what stands at their heads.
type HeadReader interface {
	// TenantByID and TenantBySlug find one tenant.
	TenantByID(ctx context.Context, id string) (Tenant, error)
	TenantBySlug(ctx context.Context, slug string) (Tenant, error)
	// Tenants lists tenants with id > after in order of id, at most limit.
	Tenants(ctx context.Context, after string, limit int) ([]Tenant, error)
	// Head is the committed head.
	Head(ctx context.Context, tenant string) (Head, error)
	// State is the head and all state rows as of that head, in order of key, but
	// for those whose keys begin with DecisionRows.
	State(ctx context.Context, tenant string) (Head, []standing.Row, error)
}

// EntryReader reads entries. Records come without Entry.
type EntryReader interface {
	// Range is the entries with from <= seq < to, in order; fewer where the
	// timeline ends or limits (a number of entries the store chooses, a Budget
	// of MaxPageBytes) are reached: the caller goes on from there.
	Range(ctx context.Context, tenant string, from, to uint64) ([]Record, error)
	// At is the entries with these seqs, in this order; those beyond the end
	// are left out. Unless full, Payload, Salt and Detail stay empty.
	At(ctx context.Context, tenant string, seqs []uint64, full bool) ([]Record, error)
	// Spent says which of the ids are spent, and by what; unspent ids are absent.
	Spent(ctx context.Context, tenant string, ids []string) (map[string]Spent, error)
	// Select is the entries that match, in the order the filter asks for, as
	// many as its Limit and the Budget of its Bytes let in.
	Select(ctx context.Context, tenant string, f *Filter) (Selection, error)
	// Count tallies all entries of a timeline.
	Count(ctx context.Context, tenant string) (Counts, error)
}

// LinkReader follows references between entries.
type LinkReader interface {
	// Linked lists, for each of the span ids, the entries that refer to it with
	// this kind of link, in order of seq, at most limit in all.
	Linked(ctx context.Context, tenant string, kind LinkKind, ids []string, limit int) ([]Link, error)
	// Holding lists the tenants, by id, in whose timeline an identity is embedded.
	Holding(ctx context.Context, identity string) ([]string, error)
}

// TreeReader reads tree hashes and checkpoints.
type TreeReader interface {
	// Hashes are the roots of the complete subtrees of 2^level leaves with
	// index in [from, to): leaf hashes at level 0, else level 8, 16, 24 …
	// Exactly to-from of them or an error.
	Hashes(ctx context.Context, tenant string, level int, from, to uint64) ([]span.Hash, error)
	// Checkpoint is the one with the smallest size greater than seq: the first
	// that covers entry seq. Not found is fault not_found checkpoint_unknown.
	Checkpoint(ctx context.Context, tenant string, seq uint64) (size uint64, note []byte, err error)
}

// ErrCheckpointUnknown is the answer for an entry no checkpoint covers.
var ErrCheckpointUnknown = fault.New(fault.NotFound, "checkpoint_unknown",
	"no checkpoint covers this position; the timeline is shorter")

// Batch is what one Append commits.
type Batch struct {
	Tenant       string
	ExpectedSize uint64
	ExpectedRoot span.Hash // of the empty tree when ExpectedSize is 0
	Create       *Tenant   // the tenant's record, with its first batch
	Epoch        *Epoch    // replaces the tenant's origin and log key
	Rows         []Row     // seq dense from ExpectedSize
	Spent        []SpentID
	Subtrees     []tree.Subtree
	Head         Head   // after the batch
	Earlier      []Note // checkpoints of sizes inside the batch: a copy of a timeline commits many batches at once
	State        []standing.Row
	Statuses     []standing.StatusChange // of earlier entries and of this batch's
	Redacted     []uint64                // seqs whose payload, salt and detail become unreachable
	Embedded     []string                // identities embedded for the first time
}

// Note is the signed checkpoint of one size.
type Note struct {
	Size uint64
	Text []byte
}

// Epoch is the identity of a log from some size on (PROTOCOL §5).
type Epoch struct{ Origin, LogKey string }

// Row is one entry and the fields a store filters by.
type Row struct {
	Seq        uint64
	Line       []byte
	Leaf       span.Hash
	Payload    []byte
	Salt       string
	Detail     []byte
	ID         string
	RecordedAt string
	Type       string
	Author     string
	OnBehalfOf string // "" for none
	Subject    string // "" for none
	Visibility string
	Status     string   // effective
	Initial    string   // what the line says the status begins as; "" where the row's maker did not look
	Tags       []string // without repeats
	Links      []RowLink
}

// LinkKind says how one entry refers to a span.
type LinkKind uint8

// The kinds of links, stored as these numbers.
const (
	LinkCause  LinkKind = 0 // the span stands in the entry's causes
	LinkTarget LinkKind = 1 // the entry's payload acts on it: revert, redaction, resolution, approval
)

// RowLink is one reference of a new entry, without repeats within the entry.
type RowLink struct {
	Kind LinkKind
	ID   string // the span referred to
}

// Link is one stored reference: entry From refers to span ID.
type Link struct {
	ID   string
	From uint64
}

// SpentID spends a span id.
type SpentID struct {
	ID string
	Spent
}

// Spent is what spent an id: the entry at Seq, as By says.
type Spent struct {
	Seq uint64
	By  string // SpentByEntry or SpentByDecision
}

// Tally is how often a value occurs.
type Tally struct {
	Value string
	Count uint64
}

// Counts are a timeline's totals; tallies are in order of value.
type Counts struct {
	Size     uint64
	Types    []Tally // of entries that are not private, whose types are nobody else's to know
	Statuses []Tally
	Authors  uint64 // distinct
	Redacted uint64
	FirstAt  string // recorded_at of entry 0
}

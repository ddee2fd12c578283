package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// Keeper is a Store that can be examined as a whole and have what it derived
// from the lines rebuilt: what fsck, backup and restore need beside Store.
type Keeper interface {
	Store
	// Snapshot gives fn everything the store holds, as of one moment. Appends
	// meanwhile wait or are not seen. fn writes nothing to the store.
	Snapshot(ctx context.Context, fn func(Snapshot) error) error
	// Rebuild replaces everything derived of one tenant, in one transaction:
	// the tenant's record but for PublicReading and CreatedAt, the head, the
	// state, what entries are found by, their statuses, leaf hashes and subtree
	// hashes, and what identities the timeline holds. Lines stay, and so do
	// checkpoints; payload, salt and detail go where a row is redacted and stay
	// everywhere else. It is ErrRebuildStale where the timeline has not exactly
	// Head.Size entries; then and after any other error nothing was changed.
	// Appends meanwhile wait or fail.
	Rebuild(ctx context.Context, r *Rebuilt) error
}

// Snapshot reads a store at one moment. It holds damaged rows too: what cannot
// be read as what it should be comes back as zero and is the caller's to find.
// Not safe for concurrent use, and at its end with the function it was given to.
type Snapshot interface {
	// Tenants lists all of them, in order of id.
	Tenants(ctx context.Context) ([]Tenant, error)
	// State is the head and all state rows, in order of key.
	State(ctx context.Context, tenant string) (Head, []standing.Row, error)
	// Entries is as Store.Range, without its end: the entries that are there
	// from a seq on, in order.
	Entries(ctx context.Context, tenant string, from uint64) ([]Record, error)
	// Checkpoints are those of sizes greater than after, ascending, at most limit.
	Checkpoints(ctx context.Context, tenant string, after uint64, limit int) ([]Note, error)
	// Postings gives everything that entries are found by, in any order.
	Postings(ctx context.Context, tenant string, each func(Posting) error) error
	// Subtrees gives the stored roots of complete subtrees, in any order.
	Subtrees(ctx context.Context, tenant string, each func(tree.Subtree) error) error
	// Embedded are the identities the timeline holds, in order.
	Embedded(ctx context.Context, tenant string) ([]string, error)
}

// WordSnapshot is what a Snapshot is besides where the store is a WordIndexer.
type WordSnapshot interface {
	// Indexed is how far the index has come; zero where it has not begun.
	Indexed(ctx context.Context, tenant string) (Indexed, error)
	// WordPages gives the whole index of words, in order of block and first word.
	WordPages(ctx context.Context, tenant string, each func(block uint64, page words.Page) error) error
}

// Posting is one thing that a store derived from entry Seq.
type Posting struct {
	Seq   uint64
	Field Field
	Value string
}

// Field names what a posting holds.
type Field string

// The fields of postings. An entry has the first seven once, the others as
// often as they occur.
const (
	FieldLeaf       Field = "leaf" // b64u
	FieldRecordedAt Field = "recorded_at"
	FieldType       Field = "type"
	FieldAuthor     Field = "author"
	FieldVisibility Field = "visibility"
	FieldStatus     Field = "status"   // effective
	FieldRedacted   Field = "redacted" // "true" or "false"
	FieldOnBehalfOf Field = "on_behalf_of"
	FieldSubject    Field = "subject"
	FieldTag        Field = "tag"
	FieldCause      Field = "cause"      // span id
	FieldTarget     Field = "target"     // span id
	FieldSpan       Field = "span id"    // spent by the entry
	FieldRefused    Field = "refused id" // spent by the decision that the entry is
)

// Postings are what a store keeps of a row, and of the ids it spends.
func (r *Row) Postings(spent []SpentID, redacted bool, each func(Posting)) {
	post := func(field Field, value string) { each(Posting{r.Seq, field, value}) }
	post(FieldLeaf, r.Leaf.String())
	post(FieldRecordedAt, r.RecordedAt)
	post(FieldType, r.Type)
	post(FieldAuthor, r.Author)
	post(FieldVisibility, r.Visibility)
	post(FieldStatus, r.Status)
	if redacted {
		post(FieldRedacted, "true")
	} else {
		post(FieldRedacted, "false")
	}
	if r.OnBehalfOf != "" {
		post(FieldOnBehalfOf, r.OnBehalfOf)
	}
	if r.Subject != "" {
		post(FieldSubject, r.Subject)
	}
	for _, tag := range r.Tags {
		post(FieldTag, tag)
	}
	for _, l := range r.Links {
		if l.Kind == LinkCause {
			post(FieldCause, l.ID)
		} else {
			post(FieldTarget, l.ID)
		}
	}
	for _, id := range spent {
		if id.By == SpentByEntry {
			post(FieldSpan, id.ID)
		} else {
			post(FieldRefused, id.ID)
		}
	}
}

// Rebuilt is everything derived from the lines of one timeline.
type Rebuilt struct {
	Tenant   Tenant // PublicReading, CreatedAt and Size are not read
	Head     Head
	State    []standing.Row
	Subtrees []tree.Subtree
	Embedded []string
	// Rows gives every entry's row in order, without payload, salt and detail.
	// It reads lines, but does not write, and may be called once.
	Rows func(ctx context.Context, each func(RebuiltRow) error) error
}

// RebuiltRow is what is derived from one entry.
type RebuiltRow struct {
	Row
	Spent    []SpentID
	Redacted bool
}

// ErrRebuildStale is the answer of Rebuild for a timeline that has grown or
// lacks entries.
var ErrRebuildStale = fault.New(fault.Conflict, "rebuild_stale",
	"the timeline has not the entries that the repair was made for; nothing was changed. Stop whatever appends, and check again")

// Package timeline keeps the timelines of tenants: append-only Merkle logs of
// entries with signed checkpoints. A Log decides nothing; it appends what a
// Session admitted, in one transaction of a Store with the tree hashes, the
// standing and the checkpoint, and reads it back: by id, by filter, by cause,
// with proofs and receipts.
//
// It refuses to sign anything but a consistent extension of the last
// checkpoint it gave out (PROTOCOL §5), and to show a reader more than the
// reader may see: what is hidden answers exactly like what does not exist.
//
// Subpackages: tree (pure tree, proofs, checkpoints), fsck (check and repair of
// what a store keeps), bundle (export format and
// offline verification), memstore, sqlitestore and ndjsonstore (stores; memindex
// and segment are what two of them share), storetest (the conformance suite of
// stores).
package timeline

import (
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Tenant is the record of one timeline. Slugs are unique at a node, never of
// UUID form, and never change; Origin and LogKey change with the epoch.
type Tenant struct {
	ID, Slug, Name string
	Node, Owner    string // LogLine IDs as genesis names them
	Origin         string // checkpoint origin of the current epoch
	LogKey         string // note verifier key of the current epoch
	PublicReading  bool
	CreatedAt      string
	Size           uint64 // entries committed
	ReadOnly       bool   // another node writes it: it was imported here; set by Log
}

// OfNode says of a timeline that the node which began it owns it: there it tells what
// its operators do. It is no tenant of anybody's.
func (t Tenant) OfNode() bool { return t.Owner != "" && t.Owner == t.Node }

// Head is the committed end of a timeline.
type Head struct {
	Size       uint64
	Root       span.Hash
	RecordedAt string      // of the last entry; "" while empty
	Checkpoint []byte      // signed note at Size
	Edge       []span.Hash // compact range [0, Size), left to right
}

// Record is one entry as stored, with everything kept beside it. Line is the
// exact line of the tree. Payload, Salt and Detail are empty once Redacted.
type Record struct {
	Seq      uint64
	Line     []byte
	Leaf     span.Hash
	Entry    *span.Entry // Line, parsed; nil as a Store returns it
	Payload  []byte      // JCS
	Salt     string      // b64u
	Detail   []byte      // JCS; nil where the decision had none
	Status   string      // effective: executed, pending, rejected, reverted, ghost
	Redacted bool
}

// Effective statuses of an entry (PROTOCOL §4).
const (
	StatusExecuted = standing.StatusExecuted
	StatusPending  = standing.StatusPending
	StatusRejected = standing.StatusRejected
	StatusReverted = standing.StatusReverted
	StatusGhost    = standing.StatusGhost
)

// Draft is a span and the decision about it, to be appended. Detail is the JCS
// of the decision's erasable detail and matches Decision.DetailHash; nil for none.
type Draft struct {
	Span     *span.Span
	Decision span.Decision
	Detail   []byte
}

// Receipt proves that Line is entry Index of the tree of Size entries that
// Checkpoint signs (RFC 6962 inclusion proof, leaf to root).
type Receipt struct {
	Line       []byte
	Leaf       span.Hash
	Checkpoint []byte
	Index      uint64
	Size       uint64
	Proof      []span.Hash
}

// Ways in which a span id is spent.
const (
	SpentByEntry    = "entry"    // the id of an entry's own span
	SpentByDecision = "decision" // named by a logline.decision: a refused attempt
)

// Found says what spent a span id. Ref and Record are of the entry that did: the
// span's own, or the logline.decision that names it. Pending marks one that is
// admitted in this session and not committed yet (no Payload, Salt, Leaf).
type Found struct {
	Ref     standing.Ref
	Record  Record
	SpentBy string
	Pending bool
}

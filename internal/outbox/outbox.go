// Package outbox keeps signed spans on disk while no node can be reached, and
// gives them out in order when one can.
//
// It owns the folder: its files, its locks between processes, its limit and what
// happens at it. It knows no node: whoever sends says what became of each span.
// A span is in the folder from when Add returns until it was delivered, refused
// for good or dropped by the owner's choice, whatever ends the process.
//
//	NNNNNNNNNNNNNNNN-<span id>.span   a waiting span, in the order of the numbers
//	dead/…                            the same, refused for good, with the reason
//	lost.ndjson                       what a full outbox rejected or dropped, headers only
//	lock, send.lock                   held while the folder changes; while spans are sent
//
// A file is two lines: what is known of the span, and the span. A dead one that
// is moved back is sent again.
package outbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/filelock"
	"github.com/danvoulez/logline/internal/span"
)

// Policy says what happens to a span when the outbox is full.
type Policy string

// The policies.
const (
	Fail       Policy = "error"       // Add fails with outbox_full: the caller must see to it
	RejectNew  Policy = "reject-new"  // the new span is let go and written down; Add succeeds
	DropOldest Policy = "drop-oldest" // the oldest spans make room, and are written down
)

// Policies are all of them, for messages.
var Policies = []string{string(Fail), string(RejectNew), string(DropOldest)}

// DefaultLimit is how many spans wait at most unless told otherwise.
const DefaultLimit = 1000

// maxBytes makes an outbox full, whatever its number of spans.
const maxBytes = 256 << 20

// maxFile is the largest file that is read: the largest payload any node takes, and room.
const maxFile = 20 << 20

// Item is a span in the outbox.
type Item struct {
	Node   string    // LogLine ID of the node it is for
	KeptAt time.Time // when it came in
	Span   *span.Span
	Raw    []byte // the span as it was sealed

	name string // of its file
}

// Box is an outbox. Safe for use by several processes at once.
type Box struct{ dir string }

// Open gives the outbox in dir, which need not be there yet. It does no I/O.
func Open(dir string) *Box { return &Box{dir: dir} }

// Dir is the outbox's folder.
func (b *Box) Dir() string { return b.dir }

// Lost is a span that a full outbox did not keep.
type Lost struct {
	At     time.Time `json:"at"`
	Policy Policy    `json:"policy"`
	ID     string    `json:"id"`
	Type   string    `json:"type"`
	Tenant string    `json:"tenant"`
}

// Added is what became of a new span.
type Added struct {
	Kept    bool
	Waiting int       // spans in the outbox now
	Oldest  time.Time // signing time of the oldest of them; zero without any
	Lost    []Lost    // what a full outbox rejected or dropped
}

// Add keeps a span, as of its return on the disk. limit is how many may wait.
func (b *Box) Add(ctx context.Context, item Item, limit int, policy Policy) (Added, error) {
	if err := atomicfile.MkdirAll(b.dir); err != nil { // with it would go what is in it
		return Added{}, b.failed(err)
	}
	if policy == DropOldest { // a span that is being sent cannot be dropped
		sending, err := b.lock(ctx, "send.lock")
		if err != nil {
			return Added{}, err
		}
		defer sending.Close()
	}
	lock, err := b.lock(ctx, "lock")
	if err != nil {
		return Added{}, err
	}
	defer lock.Close()
	names, bytes, err := b.list()
	if err != nil {
		return Added{}, b.failed(err)
	}
	var out Added
	for len(names) >= limit || bytes+int64(len(item.Raw)) > maxBytes {
		if policy != DropOldest || len(names) == 0 {
			if policy != RejectNew {
				return Added{}, fault.Newf(fault.Unavailable, "outbox_full",
					"the outbox %s is full: %d spans wait; send them with `logline append --flush`, allow more with --outbox-limit, or choose another --outbox-full", b.dir, len(names))
			}
			out.Lost = append(out.Lost, lost(item, policy))
			out.Waiting, out.Oldest = len(names), b.oldest(names)
			return out, b.failed(b.note(out.Lost))
		}
		gone, size, err := b.drop(names[0], item.KeptAt)
		if err != nil {
			return out, b.failed(err)
		}
		out.Lost = append(out.Lost, gone)
		names, bytes = names[1:], bytes-size
	}
	next := uint64(1)
	if len(names) > 0 {
		next = number(names[len(names)-1]) + 1
	}
	name := fmt.Sprintf("%016d-%s%s", next, item.Span.ID, suffix)
	if err := b.write(filepath.Join(b.dir, name), item.encode("")); err != nil {
		return out, b.failed(err)
	}
	names = append(names, name)
	out.Kept, out.Waiting, out.Oldest = true, len(names), b.oldest(names)
	return out, nil
}

func lost(item Item, policy Policy) Lost {
	return Lost{At: item.KeptAt, Policy: policy, ID: item.Span.ID, Type: item.Span.Type, Tenant: item.Span.Tenant}
}

// drop removes the oldest span, once it is written down what is lost.
func (b *Box) drop(name string, at time.Time) (Lost, int64, error) {
	gone := Lost{At: at, Policy: DropOldest, ID: strings.TrimSuffix(name[17:], suffix)}
	size := int64(0)
	if item, err := b.read(name); err == nil {
		item.KeptAt = at
		gone, size = lost(item, DropOldest), int64(len(item.Raw))
	}
	if err := b.note([]Lost{gone}); err != nil {
		return gone, 0, err
	}
	return gone, size, os.Remove(filepath.Join(b.dir, name))
}

// maxNotes turns the file of what is lost over, in bytes.
const maxNotes = 1 << 20

// note writes down what is lost, durably.
func (b *Box) note(all []Lost) error {
	path := filepath.Join(b.dir, "lost.ndjson")
	if info, err := os.Stat(path); err == nil && info.Size() > maxNotes {
		if err := os.Rename(path, path+".old"); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, l := range all {
		err = cmp.Or(err, enc.Encode(l))
	}
	err = cmp.Or(err, f.Sync(), f.Close())
	if err == nil {
		err = atomicfile.SyncDir(b.dir) // it may be new
	}
	return err
}

// Status is what an outbox holds.
type Status struct {
	Waiting int
	Oldest  time.Time // signing time of the oldest waiting span; zero without any
	Dead    int
}

// Status counts, without a lock.
func (b *Box) Status() (Status, error) {
	names, _, err := b.list()
	if err != nil {
		return Status{}, b.failed(err)
	}
	dead, _, err := (&Box{dir: filepath.Join(b.dir, "dead")}).list()
	if err != nil {
		return Status{}, b.failed(err)
	}
	return Status{Waiting: len(names), Oldest: b.oldest(names), Dead: len(dead)}, nil
}

// oldest is when the first of these was signed.
func (b *Box) oldest(names []string) time.Time {
	for _, name := range names {
		if item, err := b.read(name); err == nil {
			if at, err := span.ParseTime(item.Span.Time); err == nil {
				return at
			}
		}
	}
	return time.Time{}
}

// sweep removes what a crash left half-written.
func (b *Box) sweep(ctx context.Context) error {
	lock, err := b.lock(ctx, "lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	for _, dir := range []string{b.dir, filepath.Join(b.dir, "dead")} {
		left, err := filepath.Glob(filepath.Join(dir, atomicfile.Half+"*"))
		for _, path := range left {
			err = cmp.Or(err, os.Remove(path))
		}
		if err != nil {
			return b.failed(err)
		}
	}
	return nil
}

// WaitingFor counts the spans that wait for a node.
func (b *Box) WaitingFor(node string) (int, error) {
	names, _, err := b.list()
	if err != nil {
		return 0, b.failed(err)
	}
	n := 0
	for _, name := range names {
		if item, err := b.read(name); err == nil && item.Node == node {
			n++
		}
	}
	return n, nil
}

const suffix = ".span"

// list gives the names of waiting spans in order, and their size together.
// Files that are none, a half-written one among them, are passed over.
func (b *Box) list() ([]string, int64, error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	var names []string
	size := int64(0)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isName(e.Name()) {
			names = append(names, e.Name())
			size += info.Size()
		}
	}
	slices.Sort(names)
	return names, size, nil
}

func isName(name string) bool {
	id, ok := strings.CutSuffix(name, suffix)
	return ok && len(id) > 17 && id[16] == '-' && number(name) > 0 && span.IsUUID(id[17:])
}

// number is the place in the order that a name says, 0 for none.
func number(name string) uint64 {
	n, err := strconv.ParseUint(name[:16], 10, 63)
	if err != nil {
		return 0
	}
	return n
}

// about is the first line of a file.
type about struct {
	V      int       `json:"v"`
	Node   string    `json:"node,omitempty"`
	KeptAt time.Time `json:"kept_at"`
	Reason string    `json:"reason,omitempty"` // why it is dead
}

func (i *Item) encode(reason string) []byte {
	head, _ := json.Marshal(about{V: 1, Node: i.Node, KeptAt: i.KeptAt, Reason: reason}) // it holds nothing that has no JSON form
	return slices.Concat(head, []byte("\n"), i.Raw, []byte("\n"))
}

var errFile = errors.New("it is no span of an outbox")

// decode reads a file's content.
func decode(content []byte) (Item, error) {
	head, rest, ok := bytes.Cut(content, []byte("\n"))
	raw, end, complete := bytes.Cut(rest, []byte("\n"))
	var a about
	if !ok || !complete || len(end) > 0 || json.Unmarshal(head, &a) != nil || a.V != 1 {
		return Item{}, errFile
	}
	sealed, err := span.Parse(raw, span.Limits{Header: maxFile, Payload: maxFile})
	if err != nil {
		return Item{}, fmt.Errorf("%w: %w", errFile, err)
	}
	return Item{Node: a.Node, KeptAt: a.KeptAt, Span: sealed, Raw: bytes.Clone(raw)}, nil
}

func (b *Box) read(name string) (Item, error) {
	f, err := os.Open(filepath.Join(b.dir, name))
	if err != nil {
		return Item{}, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Item{}, err
	}
	item, err := decode(content)
	item.name = name
	return item, err
}

// write makes a whole file, on the disk when it returns. The lock is held.
func (b *Box) write(path string, content []byte) error {
	return atomicfile.Write(path, atomicfile.Content(content))
}

// lock waits for one of the outbox's locks.
func (b *Box) lock(ctx context.Context, name string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	f, err := filelock.Wait(ctx, filepath.Join(b.dir, name))
	if errors.Is(err, filelock.ErrLocked) {
		return nil, fault.Newf(fault.Unavailable, "outbox_busy", "another process works with the outbox %s; try again", b.dir).Because(err)
	}
	if err != nil {
		return nil, b.failed(err)
	}
	return f, nil
}

// patience is how long a lock is waited for.
const patience = time.Minute

func (b *Box) failed(err error) error {
	if err == nil {
		return nil
	}
	return fault.Newf(fault.Unavailable, "outbox_unusable", "the outbox %s cannot be used", b.dir).Because(err)
}

package timeline

import (
	"slices"
	"sync"
)

// Bounds of what a Tail holds; beyond them it holds nothing and its owner reads
// the store.
const (
	tailRecords = 4096
	tailBytes   = 16 << 20
)

// Tail is what this process commits to one timeline from the moment it was
// opened, for somebody who would otherwise read back what has just been written.
// It is no source to rely on: it knows nothing of what other processes append,
// and where it may lack something it is empty. It is safe for concurrent use.
type Tail struct {
	lv *live

	mu      sync.Mutex // guards the rest
	records []Record   // dense, up to size
	bytes   int
	size    uint64
	note    []byte
}

// Tail opens the tail of a tenant, named by id. The caller closes it.
func (l *Log) Tail(tenant string) *Tail {
	t := &Tail{lv: l.live(tenant)}
	t.lv.tailing.Lock()
	defer t.lv.tailing.Unlock()
	t.lv.tails = append(t.lv.tails, t)
	return t
}

// Close ends the tail; closing twice is harmless.
func (t *Tail) Close() {
	t.lv.tailing.Lock()
	defer t.lv.tailing.Unlock()
	t.lv.tails = slices.DeleteFunc(t.lv.tails, func(other *Tail) bool { return other == t })
}

// Take is what was committed since it was last called, dense and in order, with
// Entry set, as the last of those commits left it; and the signed checkpoint of
// its end. It is empty where nothing is at hand.
func (t *Tail) Take() (records []Record, note []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	records, t.records, t.bytes = t.records, nil, 0
	return records, t.note
}

// tell hands a committed batch to the tails. The caller holds the turn.
func (lv *live) tell(b *Batch, admitted []admitted) {
	lv.tailing.Lock()
	defer lv.tailing.Unlock()
	for _, t := range lv.tails {
		t.add(b, admitted)
	}
}

// miss empties the tails: something was committed that they are not told.
func (lv *live) miss() {
	lv.tailing.Lock()
	defer lv.tailing.Unlock()
	for _, t := range lv.tails {
		t.mu.Lock()
		t.forget()
		t.mu.Unlock()
	}
}

func (t *Tail) add(b *Batch, admitted []admitted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size != b.ExpectedSize {
		t.forget() // others appended before
	}
	t.size, t.note = b.Head.Size, b.Head.Checkpoint
	for i := range admitted {
		a := &admitted[i]
		sp := a.draft.Span
		t.records = append(t.records, Record{
			Seq: a.entry.Seq, Line: a.line, Leaf: a.leaf, Entry: a.entry, Status: b.Rows[i].Status,
			Payload: sp.Payload, Salt: sp.Salt, Detail: a.draft.Detail,
		})
		t.bytes += len(a.line) + len(sp.Payload) + len(a.draft.Detail)
	}
	for _, c := range b.Statuses {
		if r := t.at(c.Seq); r != nil {
			r.Status = c.Status
		}
	}
	for _, seq := range b.Redacted {
		if r := t.at(seq); r != nil {
			r.Payload, r.Salt, r.Detail, r.Redacted = nil, "", nil, true
		}
	}
	if len(t.records) > tailRecords || t.bytes > tailBytes {
		t.forget()
	}
}

// at is the record of an entry that was not taken yet, nil for any other.
func (t *Tail) at(seq uint64) *Record {
	first := t.size - uint64(len(t.records))
	if seq < first || seq >= t.size {
		return nil
	}
	return &t.records[seq-first]
}

func (t *Tail) forget() { t.records, t.bytes = nil, 0 }

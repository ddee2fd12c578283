package bundle

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Entry is one entry to write. What the reader may not see, or nobody can any
// more, is left nil and its reason named.
type Entry struct {
	Seq    uint64
	Hidden bool      // the reader may not see the entry: Leaf is all there is
	Leaf   span.Hash // of a hidden entry

	// Sound says that Line is known to be the one that was hashed into the tree
	// here: where it can, Write does not parse it then.
	Sound bool

	Line           []byte
	Parsed         *span.Entry // Line, parsed; nil lets Write parse it
	Payload        []byte      // JCS
	Salt           string
	Withheld       string // span.WithheldRedacted or span.WithheldPrivate, where Payload is nil
	Detail         []byte // JCS, with its salt
	DetailWithheld string // likewise, where the decision has a detail_hash and Detail is nil
}

// Write writes the bundle of info's range to w as it reads the entries, which
// must be those of [From, To) in order. The range proof and package roots come
// from hashes, for which the tree must have at least the checkpoint's size.
// w gets many small writes' worth in large pieces; it is not closed. After an
// error what was written is not a bundle.
func Write(ctx context.Context, w io.Writer, info Info, hashes tree.HashReader, entries iter.Seq2[Entry, error]) error {
	h, err := makeHeader(ctx, info, hashes)
	if err != nil {
		return err
	}
	line, err := h.append()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 256<<10)
	_, _ = out.Write(append(line, '\n')) // bufio keeps the error for Flush
	next := info.From
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Seq != next || next >= info.To {
			return fault.Newf(fault.Internal, "bundle_order", "entry %d was given where entry %d of %d was due", e.Seq, next, info.To)
		}
		next++
		if line, err = e.append(line[:0]); err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	if next != info.To {
		return fault.Newf(fault.Internal, "bundle_order", "the entries end at %d, before %d", next, info.To)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

func makeHeader(ctx context.Context, info Info, hashes tree.HashReader) (*header, error) {
	note, err := tree.ParseNote(info.Checkpoint)
	if err != nil {
		return nil, err
	}
	if info.From > info.To || info.To > note.Size {
		return nil, fault.Newf(fault.Invalid, "bundle_range_invalid",
			"the timeline has %d entries; choose from <= to <= %d", note.Size, note.Size)
	}
	h := &header{
		Logline: "bundle", V: 1,
		Tenant:     headerTenant{ID: info.Tenant, Slug: info.Slug, Name: info.Name},
		Node:       headerNode{ID: info.Node, Events: make([]jsontext.Value, len(info.Events))},
		LogKey:     info.LogKey,
		From:       info.From,
		To:         info.To,
		Checkpoint: string(info.Checkpoint),
	}
	for i, e := range info.Events {
		h.Node.Events[i] = e
	}
	roots, err := packageRoots(ctx, hashes, info.From, info.To)
	if err != nil {
		return nil, err
	}
	h.Packages = formatHashes(roots)
	if info.From > 0 || info.To < note.Size {
		left, err := tree.Compact(ctx, hashes, 0, info.From)
		if err != nil {
			return nil, err
		}
		right, err := tree.Compact(ctx, hashes, info.To, note.Size)
		if err != nil {
			return nil, err
		}
		h.RangeProof = &rangeProof{Left: formatHashes(left.Hashes()), Right: formatHashes(right.Hashes())}
	}
	return h, nil
}

// packageRoots are the roots of the packages of [from, to): stored ones where a
// package is whole, else the RFC 6962 root of the leaves that are left of it.
func packageRoots(ctx context.Context, hashes tree.HashReader, from, to uint64) ([]span.Hash, error) {
	var out []span.Hash
	for from < to {
		if whole := to/packageSize - from/packageSize; from%packageSize == 0 && whole > 0 {
			n := min(whole, packageSize)
			stored, err := hashes.Hashes(ctx, tree.StoredStep, from/packageSize, from/packageSize+n)
			if err != nil {
				return nil, err
			}
			out, from = append(out, stored...), from+n*packageSize
			continue
		}
		end := min(to, (from/packageSize+1)*packageSize)
		leaves, err := hashes.Hashes(ctx, 0, from, end)
		if err != nil {
			return nil, err
		}
		cut := &tree.Range{}
		for _, leaf := range leaves {
			cut.Append(leaf, nil)
		}
		out, from = append(out, cut.Root()), end
	}
	return out, nil
}

func (e *Entry) append(dst []byte) ([]byte, error) {
	if e.Hidden {
		return appendHidden(dst, e.Leaf, e.Seq), nil
	}
	if e.sound() {
		if out, ok := span.AppendWithPayload(dst, e.Line, e.Payload, e.Salt); ok {
			return out, nil
		}
	}
	parsed := e.Parsed
	if parsed == nil {
		var err error
		if parsed, err = span.ParseLine(e.Line); err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Seq, err)
		}
	}
	o := span.Opened{
		Entry: *parsed, Payload: e.Payload, Salt: e.Salt, Withheld: e.Withheld,
		Detail: e.Detail, DetailWithheld: e.DetailWithheld,
	}
	missing := o.Payload == nil && o.Withheld == "" || o.Decision.DetailHash != "" && o.Detail == nil && o.DetailWithheld == ""
	if missing || o.Seq != e.Seq {
		return nil, fault.Newf(fault.Internal, "bundle_entry", "entry %d lacks its payload or detail without a reason, or its line is another's", e.Seq)
	}
	return o.AppendLine(dst), nil
}

// sound says whether the line needs no parsing to be written with its payload.
func (e *Entry) sound() bool {
	if !e.Sound || e.Payload == nil || e.Salt == "" || e.Withheld != "" || e.Detail != nil || e.DetailWithheld != "" {
		return false
	}
	var room [64]byte
	seq := append(strconv.AppendUint(append(room[:0], `,"seq":`...), e.Seq, 10), `,"span":{"author":"`...)
	return bytes.Contains(e.Line, seq)
}

// appendHidden is the JCS of {"leaf", "seq"}.
func appendHidden(dst []byte, leaf span.Hash, seq uint64) []byte {
	dst = append(dst, `{"leaf":"`...)
	dst = append(dst, leaf.String()...)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, '}')
}

package storetest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Folder folds entries as contracts would: sums that run by type, of which rows
// that nobody can ask for any more are deleted; states by subject, which refuse
// some spans; and the last payload of each type that can never be redacted.
type Folder struct{}

var _ timeline.Folder = Folder{}

// Refuse is the title of a span that the Folder refuses where its subject is in
// the wrong state, with folder_refuses.
const Refuse = "refuse"

// lastKey is behind every key of a prefix.
const lastKey = "\U0010ffff"

// window is how many entries back sums are asked for.
const window = 6

func sumKey(typ string, seq uint64) string { return fmt.Sprintf("sum/%s/%010d", typ, seq) }

// Fold implements timeline.Folder.
func (Folder) Fold(ctx context.Context, e *span.Entry, payload []byte, state timeline.DecisionState) (out []standing.Row, err error) {
	if span.Redactable(e.Span.Type) != (payload == nil) {
		return nil, fault.Newf(fault.Internal, "folder_payload", "entry %d of type %s comes with %d bytes of payload", e.Seq, e.Span.Type, len(payload))
	}
	if payload != nil {
		hash := span.Sum(payload)
		out = append(out, standing.Row{Key: "last/" + e.Span.Type, Value: []byte(hash.String())})
	}
	rows, err := sum(ctx, e, state)
	if err != nil {
		return nil, err
	}
	out = append(out, rows...)
	if e.Span.Subject == "" {
		return out, nil
	}
	key := "step/" + e.Span.Subject
	step, _, err := state.Get(ctx, key)
	switch {
	case err != nil:
		return nil, err
	case e.Span.Title == Refuse && string(step) == "ss":
		return nil, fault.New(fault.Conflict, "folder_refuses", "the subject is in the wrong state")
	case len(step) == 3:
		return append(out, standing.Row{Key: key}), nil
	}
	return append(out, standing.Row{Key: key, Value: append(bytes.Clone(step), 's')}), nil
}

// sum adds to the running sum of a type, and deletes the first row of it once
// there is another below the window.
func sum(ctx context.Context, e *span.Entry, state timeline.DecisionState) ([]standing.Row, error) {
	prefix := "sum/" + e.Span.Type + "/"
	last, _, err := state.Floor(ctx, prefix, prefix+lastKey)
	if err != nil {
		return nil, err
	}
	count, total := 0, 0
	if len(last.Value) > 0 {
		if _, err := fmt.Sscanf(string(last.Value), "%d %d", &count, &total); err != nil {
			return nil, err
		}
	}
	out := []standing.Row{{Key: sumKey(e.Span.Type, e.Seq), Value: fmt.Appendf(nil, "%d %d", count+1, total+int(e.Seq))}}
	first, err := state.Range(ctx, prefix, "", 2)
	if err != nil {
		return nil, err
	}
	if len(first) == 2 {
		if seq, err := strconv.ParseUint(strings.TrimPrefix(first[1].Key, prefix), 10, 64); err == nil && seq+window <= e.Seq {
			out = append(out, standing.Row{Key: first[0].Key})
		}
	}
	return out, nil
}

// Observe is what a decision about a span of that type and subject, to stand at
// seq, could see of the rows.
func Observe(ctx context.Context, state timeline.DecisionState, typ, subject string, seq uint64) (string, error) {
	prefix := "sum/" + typ + "/"
	step, in, err := state.Get(ctx, "step/"+subject)
	if err != nil {
		return "", err
	}
	before, _, err := state.Floor(ctx, prefix, sumKey(typ, seq-min(seq, window)))
	if err != nil {
		return "", err
	}
	last, _, err := state.Floor(ctx, "sum/", "sum/"+typ+"/"+lastKey)
	if err != nil {
		return "", err
	}
	rest, err := state.Range(ctx, "", before.Key, 4)
	return fmt.Sprintf("step %v %q before %q last %q then %q", in, step, before, last, rest), err
}

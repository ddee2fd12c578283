package rules

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/contract"
)

// Source is a version of a contract that the timeline knows: where its text
// stands and what it does now.
type Source struct {
	Ref  string // name@version#hash
	Name string
	Seq  uint64 // of the logline.contract entry whose payload has the source
	Mode contract.Mode
}

// pageOfRows is how many rows are read at once.
const pageOfRows = 256

// Sources are all versions that were ever activated, in order of their names:
// those in force, and the others as Pinned, for work in flight. The Set of a
// World is made of them.
func Sources(ctx context.Context, s State) ([]Source, error) {
	var out []Source
	err := each(ctx, s, versionPrefix, func(key string, value []byte) error {
		var r versionRow
		if err := decodeRow(key, value, &r); err != nil {
			return err
		}
		ref := strings.TrimPrefix(key, versionPrefix)
		name, _, _ := strings.Cut(ref, "@")
		out = append(out, Source{Ref: ref, Name: name, Seq: r.Seq, Mode: contract.Pinned})
		return nil
	})
	if err != nil || len(out) == 0 { // most timelines have none: one question
		return nil, err
	}
	for prefix, mode := range map[string]contract.Mode{contractPrefix: contract.Enforced, shadowPrefix: contract.Shadowed} {
		err := each(ctx, s, prefix, func(key string, value []byte) error {
			var r contractRow
			err := decodeRow(key, value, &r)
			ref := strings.TrimPrefix(key, prefix) + "@" + r.Version + "#" + r.Hash
			if i := slices.IndexFunc(out, func(v Source) bool { return v.Ref == ref }); i >= 0 {
				out[i].Mode = mode
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b Source) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// each reads the rows of a prefix, page by page.
func each(ctx context.Context, s State, prefix string, visit func(key string, value []byte) error) error {
	after := ""
	for {
		rows, err := s.Range(ctx, prefix, after, pageOfRows)
		if err != nil {
			return unavailable(err)
		}
		for _, r := range rows {
			if err := visit(r.Key, r.Value); err != nil {
				return err
			}
			after = r.Key
		}
		if len(rows) < pageOfRows {
			return nil
		}
	}
}

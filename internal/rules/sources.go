package rules

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
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
	inForce := map[string]contractRow{}
	err := each(ctx, s, contractPrefix, func(key string, value []byte) error {
		var r contractRow
		err := decodeRow(key, value, &r)
		inForce[strings.TrimPrefix(key, contractPrefix)] = r
		return err
	})
	if err != nil {
		return nil, err
	}
	var out []Source
	err = each(ctx, s, versionPrefix, func(key string, value []byte) error {
		var r versionRow
		if err := decodeRow(key, value, &r); err != nil {
			return err
		}
		ref := strings.TrimPrefix(key, versionPrefix)
		name, _, _ := strings.Cut(ref, "@")
		v := Source{Ref: ref, Name: name, Seq: r.Seq, Mode: contract.Pinned}
		if now, ok := inForce[name]; ok && ref == name+"@"+now.Version+"#"+now.Hash {
			v.Mode = contract.Enforced
			if now.Mode == span.ActionShadow {
				v.Mode = contract.Shadowed
			}
		}
		out = append(out, v)
		return nil
	})
	slices.SortFunc(out, func(a, b Source) int { return strings.Compare(a.Ref, b.Ref) })
	return out, err
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

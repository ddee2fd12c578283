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

// Sources are the versions that decide: those in force, their shadows, and, as
// Pinned, those whose workflow instances are in flight, in order of their names.
// The Set of a World is made of them. Other work that is pinned to a version,
// votes and tasks, asks the World for it when its time comes.
func Sources(ctx context.Context, s State) ([]Source, error) {
	if any, err := s.Range(ctx, versionPrefix, "", 1); err != nil || len(any) == 0 { // most timelines have none: one question
		return nil, failed(err)
	}
	out, err := standingSources(ctx, s)
	if err != nil {
		return nil, err
	}
	err = each(ctx, s, flightPrefix, func(key string, _ []byte) error {
		ref := strings.TrimPrefix(key, flightPrefix)
		if slices.ContainsFunc(out, func(v Source) bool { return v.Ref == ref }) {
			return nil
		}
		v, ok, err := SourceOf(ctx, s, ref)
		if ok {
			v.Mode = contract.Pinned
			out = append(out, v)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Source) int { return strings.Compare(a.Ref, b.Ref) })
	return out, nil
}

// Versions are all versions that were ever activated, in order of their names;
// those that neither are in force nor in the shadow are Pinned.
func Versions(ctx context.Context, s State) ([]Source, error) {
	now, err := standingSources(ctx, s)
	if err != nil {
		return nil, err
	}
	var out []Source
	err = each(ctx, s, versionPrefix, func(key string, value []byte) error {
		ref := strings.TrimPrefix(key, versionPrefix)
		v, err := sourceOf(ref, key, value)
		if i := slices.IndexFunc(now, func(v Source) bool { return v.Ref == ref }); i >= 0 {
			v.Mode = now[i].Mode
		}
		out = append(out, v)
		return err
	})
	slices.SortFunc(out, func(a, b Source) int { return strings.Compare(a.Ref, b.Ref) })
	return out, err
}

// SourceOf is one version that was ever activated; false where it never was.
func SourceOf(ctx context.Context, s State, ref string) (Source, bool, error) {
	value, ok, err := s.Get(ctx, versionKey(ref))
	if err != nil || !ok {
		return Source{}, false, failed(err)
	}
	v, err := sourceOf(ref, versionKey(ref), value)
	if err != nil {
		return Source{}, false, err
	}
	for mode, prefix := range standings() {
		var r contractRow
		ok, err := load(ctx, s, prefix+v.Name, &r)
		if err != nil {
			return Source{}, false, err
		}
		if ok && r.ref(v.Name) == ref {
			v.Mode = contract.Mode(mode)
		}
	}
	return v, true, nil
}

// standings are the prefixes of rows that say what a version does, by mode.
func standings() [2]string {
	return [2]string{contract.Enforced: contractPrefix, contract.Shadowed: shadowPrefix}
}

func sourceOf(ref, key string, value []byte) (Source, error) {
	var r versionRow
	err := decodeRow(key, value, &r)
	name, _, _ := strings.Cut(ref, "@")
	return Source{Ref: ref, Name: name, Seq: r.Seq, Mode: contract.Pinned}, err
}

func (r *contractRow) ref(name string) string { return name + "@" + r.Version + "#" + r.Hash }

// standingSources are the versions in force and in the shadow.
func standingSources(ctx context.Context, s State) (out []Source, err error) {
	for mode, prefix := range standings() {
		err := each(ctx, s, prefix, func(key string, value []byte) error {
			var r contractRow
			err := decodeRow(key, value, &r)
			name := strings.TrimPrefix(key, prefix)
			out = append(out, Source{Ref: r.ref(name), Name: name, Seq: r.Seq, Mode: contract.Mode(mode)})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
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

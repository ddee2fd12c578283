package expr

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// object is a JSON object as CEL sees it. Its members are in the order of their
// names, none of them null, so that walking it never depends on how Go lays out
// a map.
type object struct{ members []member }

type member struct {
	name  string
	value ref.Val
}

var _ traits.Mapper = (*object)(nil)

// find is the value of a name. Most objects are small, where going through
// beats halving.
func (o *object) find(name string) (ref.Val, bool) {
	low, high := 0, len(o.members)
	for high-low > 8 {
		mid := int(uint(low+high) >> 1)
		if o.members[mid].name <= name {
			low = mid
		} else {
			high = mid
		}
	}
	for i := low; i < high; i++ {
		if o.members[i].name == name {
			return o.members[i].value, true
		}
	}
	return nil, false
}

// FindStringKey is looked for by CEL's field selection.
func (o *object) FindStringKey(name string) (any, bool) {
	if v, ok := o.find(name); ok {
		return v, true
	}
	return nil, false
}

// Find gives nothing for a key that is no text.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return o.find(string(name))
}

func (o *object) Get(key ref.Val) ref.Val {
	if v, ok := o.Find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

func (o *object) Contains(key ref.Val) ref.Val {
	_, ok := o.Find(key)
	return types.Bool(ok)
}

func (o *object) Size() ref.Val  { return types.Int(len(o.members)) }
func (o *object) Type() ref.Type { return types.MapType }
func (o *object) Value() any     { return o }

func (o *object) Equal(other ref.Val) ref.Val { return equal(o, other) }

func (o *object) Iterator() traits.Iterator { return &names{members: o.members} }

func (o *object) ConvertToType(t ref.Type) ref.Val {
	if t == types.MapType {
		return o
	}
	return types.NewErr("no such overload")
}

func (o *object) ConvertToNative(t reflect.Type) (any, error) { return nil, noNative(o, t) }

func noNative(v any, t reflect.Type) error { return fmt.Errorf("%T has no form as %v", v, t) }

// names walks an object's names.
type names struct {
	members []member
	at      int
}

func (n *names) HasNext() ref.Val { return types.Bool(n.at < len(n.members)) }

func (n *names) Next() ref.Val {
	if n.at >= len(n.members) {
		return nil
	}
	n.at++
	return types.String(n.members[n.at-1].name)
}

func (n *names) Type() ref.Type                              { return types.IteratorType }
func (n *names) Value() any                                  { return nil }
func (n *names) Equal(ref.Val) ref.Val                       { return types.NewErr("no such overload") }
func (n *names) ConvertToType(ref.Type) ref.Val              { return types.NewErr("no such overload") }
func (n *names) ConvertToNative(t reflect.Type) (any, error) { return nil, noNative(n, t) }

func newList(items []ref.Val) ref.Val { return types.NewRefValList(adapter{}, items) }

// makeObject makes the object of {"name": value, …}: of a name that stands
// twice the last counts.
func makeObject(names, values ref.Val) ref.Val {
	keys, ok := names.(traits.Lister)
	items, ok2 := values.(traits.Lister)
	if !ok || !ok2 {
		return mismatch(names, values)
	}
	o := &object{}
	for i := types.Int(0); i < keys.Size().(types.Int); i++ {
		name, ok := keys.Get(i).(types.String)
		if !ok {
			return mismatch(keys.Get(i))
		}
		o.members = slices.DeleteFunc(o.members, func(m member) bool { return m.name == string(name) })
		if v := items.Get(i); v != types.NullValue {
			o.members = append(o.members, member{string(name), v})
		}
	}
	slices.SortFunc(o.members, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	return o
}

package expr

import (
	"cmp"
	"slices"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Type is what an expression yields or a value is.
type Type uint8

// Any is wanted where every type will do; as the type of a value it is null.
const (
	Any Type = iota
	Bool
	Number
	String
	Duration
	Time
	List
	Map
	IdentityType
)

var typeNames = [...]string{Any: "any value", Bool: "true or false", Number: "a number", String: "a text", Duration: "a duration", Time: "a time", List: "a list", Map: "an object", IdentityType: "an identity"}

// String names the type as messages do: "a number".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// Value is an immutable value. The zero Value is null.
type Value struct{ v ref.Val }

// The values that are made outside expressions.
func BoolValue(b bool) Value                  { return Value{types.Bool(b)} }
func NumberValue(f float64) Value             { return Value{types.Double(f)} }
func StringValue(s string) Value              { return Value{types.String(s)} }
func DurationValue(d time.Duration) Value     { return Value{types.Duration{Duration: d}} }
func TimeValue(t time.Time) Value             { return Value{types.Timestamp{Time: t.UTC()}} }
func IdentityValue(identity *Identity) Value  { return Value{(*identityVal)(identity)} }
func ListValue(items ...Value) Value          { return Value{newList(refs(items))} }
func MapValue(members map[string]Value) Value { return Value{mapOf(members)} }

func refs(items []Value) []ref.Val {
	out := make([]ref.Val, len(items))
	for i, item := range items {
		out[i] = item.ref()
	}
	return out
}

func mapOf(members map[string]Value) *object {
	entries := make([]member, 0, len(members))
	for name, v := range members {
		if v.v != nil && v.v != types.NullValue {
			entries = append(entries, member{name, v.v})
		}
	}
	slices.SortFunc(entries, func(a, b member) int { return cmp.Compare(a.name, b.name) })
	return &object{entries}
}

func (v Value) ref() ref.Val {
	if v.v == nil {
		return types.NullValue
	}
	return v.v
}

// Type says what the value is.
func (v Value) Type() Type {
	switch v.v.(type) {
	case types.Bool:
		return Bool
	case types.Double:
		return Number
	case types.String:
		return String
	case types.Duration:
		return Duration
	case types.Timestamp:
		return Time
	case traits.Lister:
		return List
	case traits.Mapper, *spanVal, *tenantVal, *approvalVal:
		return Map
	case *identityVal:
		return IdentityType
	}
	return Any
}

// Bool, Number, String, Duration and Time give the value and whether it is of
// that type.
func (v Value) Bool() (bool, bool) {
	b, ok := v.v.(types.Bool)
	return bool(b), ok
}

func (v Value) Number() (float64, bool) {
	f, ok := v.v.(types.Double)
	return float64(f), ok
}

func (v Value) Str() (string, bool) {
	s, ok := v.v.(types.String)
	return string(s), ok
}

func (v Value) Duration() (time.Duration, bool) {
	d, ok := v.v.(types.Duration)
	return d.Duration, ok
}

func (v Value) Time() (time.Time, bool) {
	t, ok := v.v.(types.Timestamp)
	return t.Time, ok
}

// Identity gives the identity, which the caller does not change.
func (v Value) Identity() (*Identity, bool) {
	i, ok := v.v.(*identityVal)
	return (*Identity)(i), ok
}

// List gives the items, nil where the value is no list.
func (v Value) List() []Value {
	l, ok := v.v.(traits.Lister)
	if !ok {
		return nil
	}
	out := make([]Value, 0, int(l.Size().(types.Int)))
	for it := l.Iterator(); it.HasNext() == types.True; {
		out = append(out, Value{it.Next()})
	}
	return out
}

// Names gives an object's names in order, and Member one member; a member that
// is absent gives false.
func (v Value) Names() []string {
	o, ok := v.v.(*object)
	if !ok {
		return nil
	}
	out := make([]string, len(o.members))
	for i := range o.members {
		out[i] = o.members[i].name
	}
	return out
}

func (v Value) Member(name string) (Value, bool) {
	o, ok := v.v.(*object)
	if !ok {
		return Value{}, false
	}
	found, ok := o.find(name)
	return Value{found}, ok
}

// Equal compares as == does in an expression.
func (v Value) Equal(other Value) bool { return equal(v.ref(), other.ref()) == types.True }

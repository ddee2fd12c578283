package expr

import (
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// equal compares where both operands may be lists or objects. CEL's own
// comparison has no limit, and two lists can each hold a great value many times
// over.
func equal(a, b ref.Val) ref.Val {
	steps := MaxCost
	same := equalWithin(a, b, &steps)
	if steps < 0 {
		return tooDear()
	}
	return types.Bool(same)
}

func tooDear() ref.Val {
	return types.WrapErr(&failure{TooCostly, "the evaluation costs more than an expression may", nil})
}

// equalWithin compares in at most steps, which is negative when they did not
// suffice.
func equalWithin(a, b ref.Val, steps *int) bool {
	if *steps--; *steps < 0 {
		return false
	}
	switch x := a.(type) {
	case types.String:
		y, ok := b.(types.String)
		*steps -= min(len(x), len(y)) / charsPerUnit
		return ok && x == y
	case *object:
		y, ok := b.(*object)
		return ok && (x == y || equalObjects(x, y, steps))
	case traits.Lister:
		y, ok := b.(traits.Lister)
		return ok && equalLists(x, y, steps)
	}
	return types.Equal(a, b) == types.True
}

func equalObjects(a, b *object, steps *int) bool {
	if len(a.members) != len(b.members) {
		return false
	}
	for i := range a.members {
		if a.members[i].name != b.members[i].name || !equalWithin(a.members[i].value, b.members[i].value, steps) {
			return false
		}
	}
	return true
}

func equalLists(a, b traits.Lister, steps *int) bool {
	if sizeOf(a) != sizeOf(b) {
		return false
	}
	x, y := a.Iterator(), b.Iterator()
	for x.HasNext() == types.True {
		if !equalWithin(x.Next(), y.Next(), steps) {
			return false
		}
	}
	return true
}

// in looks for an item in a list, or for a name in an object.
func in(item, container ref.Val) ref.Val {
	switch c := container.(type) {
	case *object:
		return c.Contains(item)
	case traits.Lister:
		steps := MaxCost
		for it := c.Iterator(); it.HasNext() == types.True; {
			if equalWithin(item, it.Next(), &steps) {
				return types.True
			}
			if steps < 0 {
				return tooDear()
			}
		}
		return types.False
	}
	return mismatch(container)
}

package expr

import (
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// activation is Input as CEL sees it.
type activation Input

var _ interpreter.Activation = (*activation)(nil)

// ResolveName gives a variable.
func (in *activation) ResolveName(name string) (any, bool) {
	var v ref.Val
	switch name {
	case "data":
		v = in.data
	case "span":
		v = in.span
	case "actor":
		v = in.actor
	case "now":
		v = in.now
	case "tenant":
		v = in.tenant
	case "approvals":
		v = in.approvals
	case "entered_at":
		v = in.enteredAt
	case "it":
		v = in.it
	case supplierName:
		v = in.supplier
	}
	if v == nil {
		return nil, false
	}
	return v, true
}

// Parent gives none.
func (*activation) Parent() interpreter.Activation { return nil }

package expr

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

// affordable reckons the worst case and refuses what may cost too much.
func (c *compiler) affordable(checked *cel.Ast) {
	estimate, err := c.scope.env.EstimateCost(checked, sizes{c.scope.config.Params})
	if err != nil {
		c.fail(checked.NativeRep().Expr(), "the expression's cost cannot be reckoned: "+err.Error(), "")
		return
	}
	c.prog.estimate = estimate.Max
	if estimate.Max > MaxStaticCost {
		c.fail(checked.NativeRep().Expr(),
			fmt.Sprintf("the expression may cost %s, more than the %d that one may", costText(estimate.Max), MaxStaticCost),
			"go through lists of the payload once, not within one another")
	}
}

func costText(units uint64) string {
	if units > 1<<62 {
		return "any number of units"
	}
	return fmt.Sprintf("%d units", units)
}

// sizes tells CEL how long values can be.
type sizes struct{ params map[string]Value }

var _ cost.Estimator = sizes{}

// EstimateSize bounds what comes from outside the expression.
func (s sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if node.ComputedSize() != nil {
		return nil
	}
	if path := node.Path(); len(path) > 0 {
		if name, ok := strings.CutPrefix(path[0], paramPrefix); ok {
			return fixedSize(s.params[name])
		}
	}
	most := uint64(0)
	switch node.Type().Kind() {
	case types.ListKind, types.MapKind:
		most = listSize(node.Path())
	case types.StringKind, types.DynKind:
		most = textSize(node.Path())
	default:
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: most}
}

// fixedSize is the size of a parameter, or a bound for what lies within one.
func fixedSize(v Value) *cost.SizeEstimate {
	size := uint64(len(v.AppendJSON(nil)))
	return &cost.SizeEstimate{Min: 0, Max: size}
}

func listSize(path []string) uint64 {
	switch {
	case len(path) == 0:
		return MaxData / 2
	case path[0] == "data":
		return within(path, MaxData/2)
	case path[0] == "approvals" && len(path) == 1:
		return MaxApprovals
	}
	return MaxHeaderList
}

func textSize(path []string) uint64 {
	switch {
	case len(path) == 0:
		return MaxData
	case path[0] != "data":
		return maxHeaderText
	}
	return within(path, MaxData)
}

// within is the size of what lies in the payload: whole where it lies in no
// list, and small within the items of one, less within theirs. All items share
// the payload's bytes, so that going through each item's own list costs in sum
// what going through one great list does. Where that is not so MaxCost ends the
// evaluation.
func within(path []string, whole uint64) uint64 {
	lists := 0
	for _, step := range path {
		if step == "@items" {
			lists++
		}
	}
	switch lists {
	case 0:
		return whole
	case 1:
		return 4
	}
	return 1
}

// maxHeaderText bounds the texts of a header.
const maxHeaderText = 1024

// EstimateCallCost leaves the costs of functions to CEL.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

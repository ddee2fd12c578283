package expr

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// affordable reckons the cost and refuses what may cost too much.
func (c *compiler) affordable(checked *cel.Ast) {
	estimate, err := c.estimate(checked, usualText)
	if err != nil {
		c.fail(checked.NativeRep().Expr(), "the expression's cost cannot be reckoned: "+err.Error(), "")
		return
	}
	c.prog.estimate = estimate
	if estimate > MaxStaticCost {
		c.fail(checked.NativeRep().Expr(),
			fmt.Sprintf("the expression may cost %s, more than the %d that one may", costText(estimate), MaxStaticCost),
			"go through lists of the payload once, not within one another")
	}
}

// uncounted is how heavy data may be, in bytes as weigh has it, for which an
// evaluation cannot reach MaxCost, so that counting its cost would be idle. It
// is MaxData for most expressions without a loop, and 0 where there is no such
// bound.
func (c *compiler) uncounted(checked *cel.Ast) int {
	for _, data := range []int{MaxData, 64 << 10, 16 << 10, 4 << 10, 1 << 10} {
		s := c.sizes(uint64(data))
		s.list, s.shared = uint64(data/2), false
		if estimate, err := c.scope.env.EstimateCost(checked, s); err == nil && estimate.Max <= MaxCost {
			return data
		}
	}
	return 0
}

func (c *compiler) estimate(checked *cel.Ast, text uint64) (uint64, error) {
	estimate, err := c.scope.env.EstimateCost(checked, c.sizes(text))
	return estimate.Max, err
}

// sizes are those of the longest lists a payload can have, with texts of at
// most text bytes.
func (c *compiler) sizes(text uint64) sizes {
	s := sizes{params: c.scope.config.Params, text: text, list: MaxData / 2, shared: true, lists: make(map[int64]bool)}
	for _, e := range c.nodes {
		switch e.Kind() {
		case ast.ComprehensionKind:
			s.lists[e.AsComprehension().IterRange().ID()] = true
		case ast.CallKind:
			if call := e.AsCall(); call.FunctionName() == operators.In {
				s.lists[call.Args()[1].ID()] = true
			}
		}
	}
	return s
}

func costText(units uint64) string {
	if units > 1<<62 {
		return "any number of units"
	}
	return fmt.Sprintf("%d units", units)
}

// sizes tells CEL how long values can be.
type sizes struct {
	params map[string]Value
	text   uint64         // of the payload
	list   uint64         // of the payload
	shared bool           // what lies within lists is reckoned as sharing the payload's bytes
	lists  map[int64]bool // the nodes that are gone through, whatever their type
}

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
	kind := node.Type().Kind()
	if e := node.Expr(); e != nil && s.lists[e.ID()] {
		kind = types.ListKind
	}
	switch kind {
	case types.ListKind, types.MapKind:
		most = s.listSize(node.Path())
	case types.StringKind, types.DynKind:
		most = s.textSize(node.Path())
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

func (s sizes) listSize(path []string) uint64 {
	switch {
	case len(path) == 0:
		return s.list
	case path[0] == "data":
		return s.within(path, s.list)
	case path[0] == "approvals" && len(path) == 1:
		return MaxApprovals
	}
	return MaxHeaderList
}

func (s sizes) textSize(path []string) uint64 {
	switch {
	case len(path) == 0:
		return s.text
	case path[0] != "data":
		return maxHeaderText
	}
	return s.within(path, s.text)
}

// within is the size of what lies in the payload: whole where it lies in no
// list, and small within the items of one, less within theirs. All items share
// the payload's bytes, so that going through each item's own list costs in sum
// what going through one great list does. Where that is not so MaxCost ends the
// evaluation.
func (s sizes) within(path []string, whole uint64) uint64 {
	if !s.shared {
		return whole
	}
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

const (
	// usualText is how long a text of the payload is reckoned. One may be far
	// longer, but not where a list is long too; MaxCost ends the evaluation.
	usualText = 256
	// maxHeaderText bounds the texts of a header.
	maxHeaderText = 1024
)

// EstimateCallCost reckons our own functions in the worst case; nil leaves CEL's
// to CEL.
func (s sizes) EstimateCallCost(function, _ string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function == "count" || function == "sum" || function == "identity" || function == "state" {
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(questionCost)}
	}
	grows, ours := textFunctions[function]
	if !ours {
		return nil
	}
	if target != nil {
		args = append([]cost.AstNode{*target}, args...)
	}
	length, first := uint64(0), uint64(0)
	for i, arg := range args {
		n := s.lengthOf(arg)
		if i == 0 {
			first = n
		}
		length += n
	}
	if grows {
		first = s.text
	}
	return &cost.CallEstimate{
		CostEstimate: cost.Estimate{Min: 1, Max: 1 + (length+first)/charsPerUnit},
		ResultSize:   &cost.SizeEstimate{Min: 0, Max: first},
	}
}

func (s sizes) lengthOf(node cost.AstNode) uint64 {
	switch node.Type().Kind() {
	case types.StringKind, types.DynKind, types.ListKind, types.MapKind:
	default:
		return 0
	}
	if size := node.ComputedSize(); size != nil {
		return min(size.Max, s.text)
	}
	if size := s.EstimateSize(node); size != nil {
		return size.Max
	}
	return s.text
}

// textFunctions are those of ours that read texts through, and whether what
// they give may be longer than their first operand.
var textFunctions = map[string]bool{
	"lowerAscii": false, "upperAscii": false, "trim": false, "split": false, "indexOf": false, "substring": false,
	"replace": true, "join": true, "string": false, "double": false, "int": false, "bool": false, "duration": false,
	"timestamp": false, "size": false,
}

const (
	// questionCost is that of one question to the timeline.
	questionCost = 1000
	// charsPerUnit are the bytes of a text that cost one unit to look at.
	charsPerUnit = 10
)

// actual prices what an evaluation does where CEL's own prices do not know our
// functions, or not the type that an operand has only then.
type actual struct{}

var _ cost.ActualCostEstimator = actual{}

// CallCost prices a call that has been made; nil leaves it to CEL, whose least
// price is one unit.
func (actual) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	switch function {
	case aggregateName, identityName, stateName:
		return priceOf(questionCost)
	case equalName:
		return priceOf(uint64(min(weigh(args[0], MaxCost), weigh(args[1], MaxCost))))
	case operators.In:
		list, ok := args[1].(traits.Lister)
		if !ok {
			return nil
		}
		return priceOf(sizeOf(list) + length(args...)/charsPerUnit)
	case operators.Add, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		return priceOf(length(args...) / charsPerUnit)
	}
	if _, ours := textFunctions[function]; !ours {
		return nil
	}
	price := (length(args...) + length(result)) / charsPerUnit
	if list, ok := result.(traits.Lister); ok {
		price += sizeOf(list)
	}
	return priceOf(price)
}

// priceOf leaves a price below one unit to CEL: most are, and a pointer to each
// would be an allocation for each step.
func priceOf(units uint64) *uint64 {
	if units == 0 {
		return nil
	}
	units++
	return &units
}

// length adds the bytes of those values that are texts.
func length(values ...ref.Val) uint64 {
	n := uint64(0)
	for _, v := range values {
		if s, ok := v.(types.String); ok {
			n += uint64(len(s))
		}
	}
	return n
}

func sizeOf(l traits.Lister) uint64 {
	n, _ := l.Size().(types.Int)
	return uint64(n)
}

// weigh is about how many bytes of JSON a value is, at most limit: it stops
// there, since a list can hold one great value many times over.
func weigh(v ref.Val, limit int) int {
	switch v := v.(type) {
	case types.String:
		return min(len(v)+2, limit)
	case *object:
		n := 2
		for i := 0; i < len(v.members) && n < limit; i++ {
			n += len(v.members[i].name) + 4 + weigh(v.members[i].value, limit-n)
		}
		return min(n, limit)
	case traits.Lister:
		n := 2
		for it := v.Iterator(); n < limit && it.HasNext() == types.True; {
			n += 1 + weigh(it.Next(), limit-n)
		}
		return min(n, limit)
	}
	return min(1, limit)
}

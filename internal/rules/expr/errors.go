package expr

import (
	"fmt"
	"strings"
)

// Error is what is wrong with an expression, at the bytes [Offset,End) of the
// `.lll` file.
type Error struct {
	Offset, End int
	Message     string
	Fix         string // what to write instead, as a sentence; "" when nothing is near
}

// Error gives the message and the fix.
func (e Error) Error() string {
	if e.Fix == "" {
		return e.Message
	}
	return e.Message + "; " + e.Fix
}

// Errors are in the order of their offsets. nil means that all is well.
type Errors []Error

// Error joins the messages.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = fmt.Sprintf("%d: %s", e[i].Offset, e[i].Error())
	}
	return strings.Join(lines, "\n")
}

// Reason classifies why an evaluation gave no value.
type Reason uint8

const (
	// Missing: a field is absent or null, a list is too short, an identity is
	// not known.
	Missing Reason = iota + 1
	// Mismatch: a value is of another type than the operation needs.
	Mismatch
	// Undefined: the operation has no result for this value: division by zero,
	// a number or time out of range, a text that is no number.
	Undefined
	// TooCostly: the evaluation reached MaxCost, or a text MaxText.
	TooCostly
	// Unsupplied: the Supplier failed; the error wraps its error.
	Unsupplied
	// Defect: ours.
	Defect
)

var reasonNames = [...]string{Missing: "missing", Mismatch: "mismatch", Undefined: "undefined", TooCostly: "too_costly", Unsupplied: "unsupplied", Defect: "defect"}

// String is the reason's stable name.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && r > 0 {
		return reasonNames[r]
	}
	return "unknown"
}

// EvalError is why an evaluation gave no value, at the bytes [Offset,End) of
// the `.lll` file. The message quotes no data.
type EvalError struct {
	Reason      Reason
	Offset, End int
	Message     string
	cause       error
}

// Error gives the message.
func (e *EvalError) Error() string { return e.Message }

// Unwrap gives the supplier's error.
func (e *EvalError) Unwrap() error { return e.cause }

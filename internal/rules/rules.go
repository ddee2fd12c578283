// Package rules decides about spans: values in, decision out. It reads no
// clock, no store and no network, so that every decision can be made again.
//
// Until contracts can be enforced it holds Open alone, which refuses to record
// one: a contract on the timeline that nobody enforces would fail open.
package rules

import (
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Open allows whatever keys and roles permit. It is stateless and safe for
// concurrent use.
type Open struct{}

var errUnavailable = fault.New(fault.Invalid, "contracts_unavailable",
	"this node does not enforce contracts yet, so it records neither contracts nor approvals; leave these spans out").
	At("/type", "not supported by this node")

// Decide allows sp, unless it is a contract or a vote under one: those are
// refused with invalid contracts_unavailable.
func (Open) Decide(_ standing.View, sp *span.Span, _ standing.Position) (span.Decision, []byte, error) {
	switch sp.Type {
	case span.TypeContract, span.TypeApproval:
		return span.Decision{}, nil, errUnavailable
	}
	return span.Decision{Outcome: "allow"}, nil, nil
}

// Package fault is the vocabulary of failure: nine kinds, one stable code for
// each cause, and a detail that is safe to show to anybody. It knows no HTTP;
// internal/httpapi maps kinds to status codes (RFC 9457).
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kind classifies a failure by what the caller can do about it.
type Kind string

// The nine kinds. Every error that leaves a module has exactly one.
const (
	Invalid         Kind = "invalid"         // the input is wrong; sending it again will not help
	Unauthenticated Kind = "unauthenticated" // no credential, or one that proves nothing
	Forbidden       Kind = "forbidden"       // proven who, but without the right
	NotFound        Kind = "not_found"       // no such thing, or not for this reader
	Conflict        Kind = "conflict"        // the state differs from what the caller assumed
	Gone            Kind = "gone"            // was there, and was erased for good
	Limited         Kind = "limited"         // too much, too often; see RetryAfter
	Unavailable     Kind = "unavailable"     // cannot now; may have persisted: resolve by idempotency
	Internal        Kind = "internal"        // a defect of ours
)

// Field points at one wrong place in the input.
type Field struct {
	Pointer string `json:"pointer"` // JSON Pointer (RFC 6901), "" for the whole document
	Detail  string `json:"detail"`
}

// Error is a classified failure. Detail, Fields and Meta are safe to show to
// anybody; the cause is for the log alone.
type Error struct {
	Kind       Kind
	Code       string // stable snake_case name of the cause, unique to it
	Detail     string // what is wrong, where, and what to do
	Fields     []Field
	Meta       map[string]any // further members of the problem document
	RetryAfter time.Duration  // for Limited and Unavailable; 0 when unknown

	cause error
}

// New makes an error of kind with its stable code and a safe detail.
func New(kind Kind, code, detail string) *Error {
	return &Error{Kind: kind, Code: code, Detail: detail}
}

// Newf is New with a formatted detail.
func Newf(kind Kind, code, format string, args ...any) *Error {
	return New(kind, code, fmt.Sprintf(format, args...))
}

// At returns a copy that also points at a place in the input.
func (e *Error) At(pointer, detail string) *Error {
	c := *e
	c.Fields = append(slices.Clone(e.Fields), Field{Pointer: pointer, Detail: detail})
	return &c
}

// Because returns a copy that wraps err, which is logged but never shown.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// With returns a copy with one further member for the problem document.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Meta = maps.Clone(e.Meta)
	if c.Meta == nil {
		c.Meta = make(map[string]any, 1)
	}
	c.Meta[key] = value
	return &c
}

// After returns a copy that tells the caller when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error renders code, detail, places and cause for logs.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Detail
	for _, f := range e.Fields {
		s += fmt.Sprintf(" [%s: %s]", f.Pointer, f.Detail)
	}
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// Is matches another *Error by its code, so that package-level sentinels
// compare equal to the copies that At, Because and With make of them.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// From finds the classified error in err's chain; an unclassified err becomes
// Internal, wrapping err. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "internal", "an internal error occurred; the log has the details under this request id").Because(err)
}

// KindOf is the kind of err, Internal for unclassified errors, "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return From(err).Kind
}

// CodeOf is the stable code of err, "" for nil.
func CodeOf(err error) string {
	if err == nil {
		return ""
	}
	return From(err).Code
}

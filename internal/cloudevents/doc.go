// Package cloudevents takes CloudEvents 1.0 from callers that cannot sign: it
// reads the three modes of the HTTP binding, judges an event by the
// specification, and records it as a span signed with the caller's key that this
// node holds. (source, id) of a caller is one span, however often it is sent.
//
// It refuses to know HTTP beyond header names, and decides nothing about spans.
package cloudevents

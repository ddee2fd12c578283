// Package span is the LogLine protocol as bytes: canonical JSON (RFC 8785 over
// I-JSON, RFC 7493), spans and their sealed headers, entries and their lines,
// leaf hashes, decision details and the payloads of reserved types.
//
// It owns what is signed and hashed, and the checks that need nothing but the
// bytes themselves. It refuses to do anything that needs a key, a clock, a
// position in a timeline or a store: signatures belong to internal/id, rights
// to internal/standing, order and proofs to internal/timeline.
package span

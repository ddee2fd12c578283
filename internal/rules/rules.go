// Package rules decides about spans: values in, decision out. It reads no
// clock, no store and no network, so that every decision can be made again.
package rules

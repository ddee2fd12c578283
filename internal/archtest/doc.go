// Package archtest holds the architecture as a test: which package may import
// which (the table of ARCHITECTURE.md), where frameworks and drivers are
// confined, and what no package does. It has no code outside tests.
package archtest

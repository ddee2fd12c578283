// Package hotpath holds the ways that every span goes, each alone, against
// ceilings on what they allocate and how many instructions they take
// (ceilings.txt). Counts, unlike times, are the same on a busy machine. It has
// tests alone.
package hotpath

// Package linear checks that a timeline behaves as one list that only grows,
// whoever reads it and through whichever process: it drives clients who append
// and read at once, records what each asked and was answered and when, and has
// porcupine look for an order of all of it that a plain list explains
// (linearizability; Herlihy and Wing, 1990).
//
// It is for tests alone, and knows no server: a Door is one way into a timeline.
package linear

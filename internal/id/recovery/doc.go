// Package recovery keeps the next key of an identity outside of the computer that
// holds the others: on paper, as a recovery sheet, or shared among people, as a
// key ceremony. It makes the texts, reads back what people typed or handed in, and
// says which part of it is wrong. It talks to nobody and writes no files; what a
// key does once it is back is the identity's business.
package recovery

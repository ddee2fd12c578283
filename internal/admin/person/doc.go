// Package person gathers what a node holds of one person, for the person who asks
// for it, and erases of that what can be erased. It finds records by whom they are
// of: who signed them, for whom they were signed, whose identity is their subject.
// What merely mentions somebody inside another's payload it cannot find, and says so.
//
// Erasing goes through redactions that the node signs, through the directory and
// through the keys in the node's care. Every step may be done again: what was erased
// is passed over, so that a run that was ended goes on in the next.
package person

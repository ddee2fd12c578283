// Package account is the login of people at this node: an account is one
// identity's, with a password, a second factor and the sessions in which its
// person is signed in. It owns who is signed in where, and nothing of what they may
// do: that is the identity's.
//
// An identity lives without an account, and outlives it: accounts hold what is a
// person's alone, can be erased whole, and no timeline refers to them. It signs
// nothing, knows no HTTP, and keeps no secret that it could show: passwords,
// tokens and recovery codes are there as hashes.
package account

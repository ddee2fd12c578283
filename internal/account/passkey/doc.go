// Package passkey lets people sign in to their accounts by passkeys (WebAuthn
// Level 3). It owns the passkeys of accounts and the challenges of ceremonies that
// have begun, in the database, so that any process of a node finishes what another
// began.
//
// Keys stay with people: what is kept is public. A person is asked for by no name,
// the passkey says whose it is, so that nobody learns who has an account. It knows
// no HTTP, and begins no session itself: package account does.
package passkey

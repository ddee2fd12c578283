// Package id owns identities: key events and the chains they form, public-key
// and signature checks, key files, bearer tokens signed by a caller's own key,
// the node's own keys, keys sealed under a master key, and the directory of
// identities a node knows (PROTOCOL sections 1, 2 and 7).
//
// It refuses to know timelines and HTTP: which of an identity's events hold at
// a position of a timeline is internal/standing's business, and it folds them
// with the Chain of this package.
package id

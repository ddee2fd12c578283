package main

import (
	"bytes"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/danvoulez/logline/internal/id"
)

// library is one signature as the best library checks it, under the options of
// the standard library's verifier and with the key's tables cached: the floor
// t_verify. The node's own verifier has larger tables of keys that it meets
// often, and takes less.
type library struct {
	key   []byte
	table *voi.ExpandedPublicKey // of key; nil at first
}

var _ id.Verifier = (*library)(nil)

// Verify is for one key, by several goroutines once it has been called.
func (l *library) Verify(pub, message, sig []byte) bool {
	if l.table == nil || !bytes.Equal(l.key, pub) {
		table, err := voi.NewExpandedPublicKey(pub)
		if err != nil {
			return false
		}
		l.key, l.table = bytes.Clone(pub), table
	}
	return voi.VerifyExpandedWithOptions(l.table, message, sig, &voi.Options{Verify: voi.VerifyOptionsStdLib})
}

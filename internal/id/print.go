package id

import (
	"fmt"

	"github.com/danvoulez/logline/internal/secret"
)

// What holds keys prints as what it is, whatever the verb, and never as its
// bytes. (Inside of others it stands behind pointers, which print as addresses.)

// Format implements fmt.Formatter.
func (k *SecretKey) Format(f fmt.State, _ rune) {
	if k == nil {
		secret.Print(f, "<nil>")
		return
	}
	secret.Print(f, secret.Mask+" of "+k.public)
}

// Format implements fmt.Formatter.
func (k *Keys) Format(f fmt.State, _ rune) {
	if k == nil || k.chain == nil {
		secret.Print(f, secret.Mask)
		return
	}
	secret.Print(f, secret.Mask+" of "+k.ID())
}

// Format implements fmt.Formatter.
func (n *Node) Format(f fmt.State, _ rune) {
	if n == nil {
		secret.Print(f, "<nil>")
		return
	}
	secret.Print(f, n.ID())
}

// Format implements fmt.Formatter.
func (m *MasterKey) Format(f fmt.State, _ rune) {
	if m == nil {
		secret.Print(f, "<nil>")
		return
	}
	secret.Print(f, secret.Mask+" "+m.id)
}

// Format implements fmt.Formatter.
func (h Held) Format(f fmt.State, _ rune) { secret.Print(f, secret.Mask) }

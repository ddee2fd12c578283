// Package secret keeps secrets from being shown: text that prints as a mask
// wherever it ends up, and files that nobody but their owner may read. It knows
// nothing of what a secret is for.
package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Mask is what stands in the place of a secret.
const Mask = "[secret]"

// Text is a secret as text. Whatever prints it, fmt with any verb, slog, JSON,
// YAML or an error, prints the mask; so does a struct that holds it in a field
// that nobody exports, where fmt asks no method and finds an address. Reveal is
// the one way to it. The zero value is no secret at all.
type Text struct{ held *string }

var (
	_ fmt.Formatter  = Text{}
	_ slog.LogValuer = Text{}
)

// New holds text; "" is the zero value.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{&text}
}

// Reveal is the text itself, for what needs it and shows it to nobody.
func (t Text) Reveal() string {
	if t.held == nil {
		return ""
	}
	return *t.held
}

// IsSet says whether there is a secret.
func (t Text) IsSet() bool { return t.held != nil }

// Equal compares secrets that one program holds: not in constant time.
func (t Text) Equal(other Text) bool { return t.Reveal() == other.Reveal() }

// String is the mask, or "" for none.
func (t Text) String() string {
	if t.held == nil {
		return ""
	}
	return Mask
}

// Format implements fmt.Formatter.
func (t Text) Format(f fmt.State, _ rune) { Print(f, t.String()) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText implements encoding.TextMarshaler with the mask.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Text) UnmarshalText(text []byte) error {
	*t = New(string(text))
	return nil
}

// Print writes what takes the place of a value with secrets in it, whatever the
// verb: a format such as %x would take the value itself apart.
func Print(f fmt.State, shown string) {
	_, _ = io.WriteString(f, shown) // fmt's own buffer takes everything
}

package recovery

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/span"
)

const (
	header      = "LOGLINE RECOVERY SHEET"
	version     = "1"
	sheetDomain = "logline.recovery.v1\n"

	// MaxSheetBytes bounds what is read as a sheet.
	MaxSheetBytes = 16 << 10
)

// The key on a sheet is 18 groups of 4 characters, in rows of 6: three carry data,
// the fourth checks them and the group's place.
const (
	groups    = 18
	inRow     = 6
	perGroup  = 4
	dataChars = groups * (perGroup - 1) // 270 bits: the seed's 256, and 14 that check it all
	allChars  = groups * perGroup
)

// alphabet is Crockford's base32: without I, L, O and U.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Sheet is what a recovery sheet says: the identity, and the seed (RFC 8032) of
// the key that its last event commits to. Whoever has it can take the identity
// over. It prints without the seed; Text is what shows it.
type Sheet struct {
	Identity string // the LogLine ID
	Made     string // when the sheet was made; "" where that was not typed
	Node     string // a node that knows the identity, scheme://host[:port]; may be ""

	seed [32]byte
}

// New makes the sheet of an identity's next key. node may be "".
func New(identity string, seed [32]byte, node string, now time.Time) (*Sheet, error) {
	if !span.IsIdentity(identity) {
		return nil, fault.Newf(fault.Invalid, "recovery_identity", "%q is not a LogLine ID, for which alone there is a recovery sheet", identity)
	}
	if node != "" && !isNode(node) {
		node = "" // a sheet outlives odd addresses, and does without one
	}
	return &Sheet{Identity: identity, Made: span.FormatTime(now), Node: node, seed: seed}, nil
}

// Seed is the seed of the next key.
func (s *Sheet) Seed() [32]byte { return s.seed }

// Format implements fmt.Formatter, without the seed.
func (s *Sheet) Format(f fmt.State, _ rune) {
	if s == nil {
		secret.Print(f, "<nil>")
		return
	}
	secret.Print(f, secret.Mask+" of "+s.Identity)
}

// Text is the sheet as text, in the form of docs/recovery.md. It is secret.
func (s *Sheet) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\nidentity: %s\n", header, version, s.Identity)
	for i, row := range s.rows() {
		b.WriteString([]string{"key: ", "     "}[min(i, 1)] + row + "\n")
	}
	if s.Node != "" {
		fmt.Fprintf(&b, "node: %s\n", s.Node)
	}
	if s.Made != "" {
		fmt.Fprintf(&b, "made: %s\n", s.Made)
	}
	return b.String()
}

// rows are the groups of the key, as they are printed.
func (s *Sheet) rows() []string {
	rows := make([]string, 0, groups/inRow)
	for at := 0; at < groups; at += inRow {
		row := make([]string, inRow)
		for i := range row {
			row[i] = s.group(at + i)
		}
		rows = append(rows, strings.Join(row, " "))
	}
	return rows
}

// group is one of the groups, counted from 0.
func (s *Sheet) group(at int) string {
	return groupOf(sheetDomain, s.Identity, s.seed, at)
}

// groupOf is one of the groups of 32 bytes that belong to an identity.
func groupOf(domain, identity string, data [32]byte, at int) string {
	check := checkBits(domain, identity, data)
	bits := append(data[:], check[:]...) // of a copy: data has no room behind it
	var digits [perGroup]byte
	for i := range perGroup - 1 {
		digits[i] = digit(bits, at*(perGroup-1)+i)
	}
	digits[perGroup-1] = checkDigit(at, digits[:perGroup-1])
	for i, d := range digits {
		digits[i] = alphabet[d]
	}
	return string(digits[:])
}

// digit is the n-th run of five bits, most significant first.
func digit(bits []byte, n int) byte {
	var d byte
	for i := n * 5; i < n*5+5; i++ {
		d = d<<1 | bits[i/8]>>(7-i%8)&1
	}
	return d
}

// checkBits are the first two bytes of H("logline.recovery.v1\n" || identity ||
// "\n" || seed), of which the sheet has the first 14 bits: they tell a seed beside
// the wrong identity, and mistakes that the groups do not tell.
func checkBits(domain, identity string, seed [32]byte) [2]byte {
	h := sha256.New()
	h.Write([]byte(domain + identity + "\n"))
	h.Write(seed[:])
	return [2]byte(h.Sum(nil))
}

// checkDigit is the last digit of a group: by Horner in GF(32) over x⁵+x²+1, the
// group's number (from 1) first. So one wrong character, two neighbours that were
// exchanged, and a group in another's place are always told.
func checkDigit(at int, data []byte) byte {
	d := byte(at + 1)
	for _, v := range data {
		d = twice(d) ^ v
	}
	return twice(d)
}

// twice multiplies by x in GF(32).
func twice(d byte) byte {
	if d <<= 1; d >= 32 {
		d ^= 0b100101
	}
	return d
}

// isNode says whether text is an address of a node that a sheet may name.
func isNode(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && len(text) <= 256 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

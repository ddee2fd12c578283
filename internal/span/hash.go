package span

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/danvoulez/logline/internal/fault"
)

// b64u is base64url without padding whose spare bits must be zero. The
// decoder alone would skip line breaks; ParseB64 counts characters first.
var b64u = base64.RawURLEncoding.Strict()

// B64 encodes b as base64url without padding (b64u in PROTOCOL §1).
func B64(b []byte) string { return b64u.EncodeToString(b) }

// ParseB64 decodes b64u strictly: no padding, no line breaks, spare bits zero,
// and exactly size bytes; size < 0 allows any. Fails with base64_invalid.
func ParseB64(s string, size int) ([]byte, error) {
	if !isB64(s) || size >= 0 && len(s) != b64u.EncodedLen(size) {
		return nil, b64Error(size)
	}
	b, err := b64u.DecodeString(s)
	if err != nil {
		return nil, b64Error(size)
	}
	return b, nil
}

// decodeB64 decodes strict b64u of exactly len(dst) bytes, at most 64.
func decodeB64(dst []byte, s string) bool {
	if !isB64Of(s, len(dst)) {
		return false
	}
	var room [66]byte // Decode writes whole groups of three
	var text [88]byte
	n, err := b64u.Decode(room[:], text[:copy(text[:], s)])
	copy(dst, room[:n])
	return err == nil && n == len(dst)
}

func b64Error(size int) error {
	if size < 0 {
		return fault.New(fault.Invalid, "base64_invalid", "the value is not base64url; send it without padding and with zero spare bits")
	}
	return fault.Newf(fault.Invalid, "base64_invalid", "the value is not base64url of exactly %d bytes; send it without padding and with zero spare bits", size)
}

// inB64 are the characters of the alphabet.
var inB64 = func() (in [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		in[c] = true
	}
	return in
}()

func isB64(s string) bool {
	for i := range len(s) {
		if !inB64[s[i]] {
			return false
		}
	}
	return true
}

// isB64Of reports whether s is strict b64u of exactly size bytes, without
// decoding: only the last character carries spare bits.
func isB64Of(s string, size int) bool {
	if len(s) != b64u.EncodedLen(size) || !isB64(s) {
		return false
	}
	switch size % 3 {
	case 1: // 4 spare bits
		return b64Value(s[len(s)-1])&0x0f == 0
	case 2: // 2 spare bits
		return b64Value(s[len(s)-1])&0x03 == 0
	}
	return true
}

func b64Value(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '-':
		return 62
	}
	return 63
}

// Hash is a SHA-256 digest, H in the protocol.
type Hash [sha256.Size]byte

// String is the digest as b64u, 43 characters.
func (h Hash) String() string { return b64u.EncodeToString(h[:]) }

// ParseHash reads the b64u form of a digest. Fails with base64_invalid.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if !isB64Of(s, len(h)) {
		return h, b64Error(len(h))
	}
	if _, err := b64u.Decode(h[:], []byte(s)); err != nil {
		return h, b64Error(len(h))
	}
	return h, nil
}

// Sum is SHA-256 over the concatenation of parts.
func Sum(parts ...[]byte) Hash {
	if len(parts) == 1 {
		return sha256.Sum256(parts[0])
	}
	d := sha256.New()
	for _, p := range parts {
		d.Write(p)
	}
	var h Hash
	d.Sum(h[:0])
	return h
}

// PayloadHash is H(salt || JCS(payload)), PROTOCOL §3; payload is JCS bytes,
// salt the 16 raw bytes.
func PayloadHash(salt, payload []byte) Hash { return Sum(salt, payload) }

// LeafHash is the RFC 6962 §2.1 leaf hash of a line, H(0x00 || line).
func LeafHash(line []byte) Hash { return Sum([]byte{0}, line) }

package id

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// An opaque credential is a prefix of 4 characters, 16 of a name that is no
// secret, 52 of secret and 7 of checksum, all but the prefix's in lower-case
// base32. The prefix is for secret scanners; the checksum tells a mistyped or cut
// one without a look at the database.
const (
	opaqueNameLen = 16
	opaqueBodyLen = opaqueNameLen + 52
	opaqueSumLen  = 7
)

// NewOpaque makes the text of a credential that says nothing, with 42 random
// bytes, 32 of them secret.
func NewOpaque(prefix string, rand io.Reader) (text string, err error) {
	var name [10]byte
	if _, err := io.ReadFull(rand, name[:]); err != nil {
		return "", fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a key").Because(err)
	}
	return RenewOpaque(prefix, idEncoding.EncodeToString(name[:]), rand)
}

// RenewOpaque makes another text with the name of an earlier one and a new secret.
func RenewOpaque(prefix, name string, rand io.Reader) (string, error) {
	secret, err := randomSeed(rand)
	if err != nil {
		return "", err
	}
	text := prefix + name + idEncoding.EncodeToString(secret[:])
	return text + opaqueSum(text), nil
}

// ParseOpaque is the name in what NewOpaque made, whose form and checksum it
// judges. Whether anybody knows it, it does not say.
func ParseOpaque(prefix, text string) (name string, ok bool) {
	body, ok := strings.CutPrefix(text, prefix)
	if !ok || len(body) != opaqueBodyLen+opaqueSumLen || strings.ContainsFunc(body, notBase32) || body[opaqueBodyLen:] != opaqueSum(text[:len(prefix)+opaqueBodyLen]) {
		return "", false
	}
	return body[:opaqueNameLen], true
}

func notBase32(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }

// opaqueSum is the CRC-32 (IEEE) of everything before it, in base32.
func opaqueSum(text string) string {
	return idEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(text))))
}

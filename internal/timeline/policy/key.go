package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// Signature types of C2SP signed-note and tlog-cosignature.
const (
	typeEd25519     = 0x01 // a log's
	typeCosignature = 0x04 // a witness's: timestamped Ed25519
	typeMLDSA       = 0x06
)

// key is a verifier key (C2SP signed-note vkey) of Ed25519.
type key struct {
	vkey   string
	name   string
	hash   uint32
	public [32]byte
}

// keyTypeError says that a key is of a signature type that is not read here.
type keyTypeError string

func (e keyTypeError) Error() string { return string(e) }

// parseKey reads a vkey of one signature type. Only one spelling is accepted:
// key id in lower case, strict base64.
func parseKey(vkey string, want byte) (key, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return key{}, errors.New("the key does not read <name>+<key id>+<base64>")
	}
	k := key{vkey: vkey, name: parts[0]}
	if !validKeyName(k.name) {
		return key{}, errors.New("the key's name is empty, not UTF-8 or has a space in it")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) == 0 {
		return key{}, errors.New("the key's last part is not base64")
	}
	if raw[0] != want {
		return key{}, wrongType(raw[0], want)
	}
	if err := id.CheckPublicKey(raw[1:]); err != nil {
		return key{}, errors.New("the key is not a usable Ed25519 public key: " + fault.From(err).Detail)
	}
	sum := sha256.Sum256(append([]byte(k.name+"\n"), raw...))
	k.hash = binary.BigEndian.Uint32(sum[:])
	if fmt.Sprintf("%08x", k.hash) != parts[1] {
		return key{}, fmt.Errorf("the key id %.20q does not fit the key; it should be %08x", parts[1], k.hash)
	}
	copy(k.public[:], raw[1:])
	return k, nil
}

func wrongType(got, want byte) keyTypeError {
	is := fmt.Sprintf("the key has signature type 0x%02x", got)
	switch {
	case got == typeMLDSA:
		return keyTypeError(is + " (ML-DSA-44), which is not supported yet: only Ed25519 is")
	case want == typeCosignature && got == typeEd25519:
		return keyTypeError(is + " (Ed25519 of a log); a witness's has type 0x04 (Ed25519 cosignature)")
	case want == typeEd25519 && got == typeCosignature:
		return keyTypeError(is + " (cosignature of a witness); a log's has type 0x01 (Ed25519)")
	}
	return keyTypeError(is + fmt.Sprintf(", which is not supported; here it must be 0x%02x (Ed25519)", want))
}

func validKeyName(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsSpace)
}

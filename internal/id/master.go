package id

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const (
	masterBytes  = 32
	masterDomain = "logline.master.v1\n"
	sealDomain   = "logline.seal.v1\n"

	// sealVersion is the first byte of a sealed blob: XChaCha20-Poly1305 under
	// a key of the master key's, the nonce before the ciphertext.
	sealVersion = 1
	// minDistinct is how many different bytes a master key has at least. Of 32
	// random ones about 30 differ, and fewer than 16 never.
	minDistinct = 16
	// maxSealedBytes bounds a sealed blob, so that a damaged row costs no memory.
	maxSealedBytes = maxKeyFileBytes + 1024
)

// MasterKey seals secrets that this node keeps in a database, and opens them
// (XChaCha20-Poly1305 with random nonces). A sealed blob names the master key it
// is under by id, so that a later one can take over row by row, and it opens
// only for the purpose and the row it was sealed for, so that nobody who can
// write to the database can move it to another. Safe for concurrent use.
type MasterKey struct {
	id   string
	aead cipher.AEAD
}

// ParseMasterKey reads 32 random bytes written as base64 (either alphabet, with
// or without padding) or as 64 hexadecimal digits. There are no passphrases:
// whoever has the database could guess them at leisure. Errors (invalid
// master_key_malformed, master_key_weak) never repeat the text.
func ParseMasterKey(text string) (*MasterKey, error) {
	raw, ok := masterSecret(strings.TrimSpace(text))
	if !ok {
		return nil, fault.New(fault.Invalid, "master_key_malformed", "must be 32 random bytes as base64 or hex; `logline config master-key` makes one, and so does `openssl rand -base64 32`")
	}
	if !looksRandom(raw) {
		return nil, fault.New(fault.Invalid, "master_key_weak", "is 32 bytes, but no random ones; take what `logline config master-key` or `openssl rand -base64 32` makes")
	}
	return newMasterKey(raw)
}

func newMasterKey(raw []byte) (*MasterKey, error) {
	derive := func(what string, n int) ([]byte, error) {
		return hkdf.Key(sha256.New, raw, nil, masterDomain+what, n)
	}
	key, err := derive("seal", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive from the master key: %w", err)
	}
	name, err := derive("id", 8)
	if err != nil {
		return nil, fmt.Errorf("derive from the master key: %w", err)
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("use the master key: %w", err)
	}
	return &MasterKey{id: hex.EncodeToString(name), aead: aead}, nil
}

// NewMasterKey is the text of a new master key, base64url.
func NewMasterKey(rand io.Reader) (string, error) {
	seed, err := randomSeed(rand)
	if err != nil {
		return "", err
	}
	return span.B64(seed[:]), nil
}

func masterSecret(text string) ([]byte, bool) {
	if len(text) == hex.EncodedLen(masterBytes) {
		raw, err := hex.DecodeString(text)
		return raw, err == nil
	}
	text = strings.TrimRight(text, "=")
	encoding := base64.RawStdEncoding.Strict()
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding.Strict()
	}
	raw, err := encoding.DecodeString(text)
	return raw, err == nil && len(raw) == masterBytes
}

// looksRandom tells what a person typed or a program left empty from random
// bytes, as far as one can.
func looksRandom(raw []byte) bool {
	var seen [256]bool
	distinct, rising := 0, true
	for i, b := range raw {
		if !seen[b] {
			seen[b] = true
			distinct++
		}
		rising = rising && (i == 0 || b-raw[i-1] == raw[1]-raw[0])
	}
	return distinct >= minDistinct && !rising
}

// ID names the master key and tells nothing else about it: 16 hexadecimal digits.
func (m *MasterKey) ID() string { return m.id }

// Seal encrypts plain for one purpose and one row of a table.
func (m *MasterKey) Seal(purpose, row string, plain []byte, rand io.Reader) ([]byte, error) {
	out := make([]byte, 1+chacha20poly1305.NonceSizeX, 1+chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	out[0] = sealVersion
	nonce := out[1:]
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes to seal a key").Because(err)
	}
	return m.aead.Seal(out, nonce, plain, m.binding(purpose, row)), nil
}

// Open is the plain text of what Seal made for the same purpose and row under
// the same master key; unavailable sealed_unopenable for anything else.
func (m *MasterKey) Open(purpose, row string, sealed []byte) ([]byte, error) {
	const head = 1 + chacha20poly1305.NonceSizeX
	if len(sealed) < head+chacha20poly1305.Overhead || len(sealed) > maxSealedBytes || sealed[0] != sealVersion {
		return nil, unopenable(row, fmt.Errorf("%d bytes are no sealed blob of version %d", len(sealed), sealVersion))
	}
	plain, err := m.aead.Open(nil, sealed[1:head], sealed[head:], m.binding(purpose, row))
	if err != nil {
		return nil, unopenable(row, err)
	}
	return plain, nil
}

// binding is what a blob is bound to besides its key.
func (m *MasterKey) binding(purpose, row string) []byte {
	out := append([]byte(sealDomain), '[')
	for i, text := range []string{m.id, purpose, row} {
		if i > 0 {
			out = append(out, ',')
		}
		out = span.AppendString(out, text)
	}
	return append(out, ']')
}

func unopenable(row string, err error) error {
	return fault.Newf(fault.Unavailable, "sealed_unopenable",
		"the sealed keys of %s are damaged or not where they belong; restore the database from a backup", row).Because(err)
}

package passkey

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

// device is an authenticator with one passkey, in software (WebAuthn §6). A test in a
// real browser holds it to what browsers do: internal/systemtest/browser.
type device struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	id     []byte
	handle []byte
	count  uint32
	flags  byte // beside those that a ceremony has

	origin, party, kind string // told instead of what was asked; ""
}

const (
	present  = 0x01
	verified = 0x04
	attested = 0x40
)

func newDevice(t testing.TB) *device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	id := make([]byte, 16)
	_, err = rand.Read(id)
	require.NoError(t, err)
	return &device{t: t, key: key, id: id, flags: present | verified}
}

// options are what a page is asked, of both ceremonies.
type options struct {
	Challenge string `json:"challenge"`
	RPID      string `json:"rpId"`
	RP        struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"user"`
	AllowCredentials   []any  `json:"allowCredentials"`
	ExcludeCredentials []any  `json:"excludeCredentials"`
	UserVerification   string `json:"userVerification"`
	Selection          struct {
		ResidentKey      string `json:"residentKey"`
		UserVerification string `json:"userVerification"`
	} `json:"authenticatorSelection"`
}

func asked(t testing.TB, raw json.RawMessage) options {
	t.Helper()
	var o options
	require.NoError(t, json.Unmarshal(raw, &o))
	return o
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (d *device) clientData(kind, challenge, origin string) []byte {
	raw, err := json.Marshal(map[string]any{"type": or(d.kind, kind), "challenge": challenge, "origin": or(d.origin, origin), "crossOrigin": false})
	require.NoError(d.t, err)
	return raw
}

func (d *device) authData(party string, flags byte, more []byte) []byte {
	hash := sha256.Sum256([]byte(or(d.party, party)))
	out := append(hash[:], d.flags|flags)
	return append(binary.BigEndian.AppendUint32(out, d.count), more...)
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// make answers navigator.credentials.create.
func (d *device) make(o options, origin string) []byte {
	d.t.Helper()
	point, err := d.key.PublicKey.Bytes()
	require.NoError(d.t, err)
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	require.NoError(d.t, err)
	d.handle, err = base64.RawURLEncoding.DecodeString(o.User.ID)
	require.NoError(d.t, err)
	about := binary.BigEndian.AppendUint16(make([]byte, 16), uint16(len(d.id)))
	about = append(append(about, d.id...), cose...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": d.authData(o.RP.ID, attested, about)})
	require.NoError(d.t, err)
	return d.answer(map[string]any{"clientDataJSON": b64(d.clientData("webauthn.create", o.Challenge, origin)), "attestationObject": b64(object), "transports": []string{"internal"}})
}

// sign answers navigator.credentials.get.
func (d *device) sign(o options, origin string) []byte {
	d.t.Helper()
	client, auth := d.clientData("webauthn.get", o.Challenge, origin), d.authData(o.RPID, 0, nil)
	hash := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte{}, auth...), hash[:]...))
	sig, err := ecdsa.SignASN1(rand.Reader, d.key, signed[:])
	require.NoError(d.t, err)
	return d.answer(map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(auth), "signature": b64(sig), "userHandle": b64(d.handle)})
}

func (d *device) answer(response map[string]any) []byte {
	raw, err := json.Marshal(map[string]any{"id": b64(d.id), "rawId": b64(d.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	require.NoError(d.t, err)
	return raw
}

package id

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// keyFile is the content of a key file, as JSON. On disk it is either this
// JSON as it is, or the same inside an armored age file (age-encryption.org/v1)
// with one scrypt recipient, which `age --decrypt` opens too. Seeds are the
// 32-byte secrets of RFC 8032, b64u.
type keyFile struct {
	Logline   string            `json:"logline"`             // always "keys"
	Version   int               `json:"v"`                   // always 1
	Identity  string            `json:"identity"`            // the LogLine ID, for whoever looks inside
	Primary   string            `json:"primary,omitempty"`   // seed of the primary key
	Device    string            `json:"device,omitempty"`    // in its place: seed of a device's own key
	Next      string            `json:"next,omitempty"`      // seed of the key that the last event commits to; ghosts have none, and whoever keeps it elsewhere
	Delegated []string          `json:"delegated,omitempty"` // seeds of own keys delegated now
	Former    []string          `json:"former,omitempty"`    // a node's: seeds of its earlier primaries, for timelines that lack a rotation
	Secret    string            `json:"secret,omitempty"`    // the importer's secret, 32 bytes b64u; ghosts have none
	Events    []json.RawMessage `json:"events"`              // sealed key events, in order
}

const (
	maxKeyFileBytes = 8 << 20
	// workFactor is scrypt's log2(N) for new files: about a second and 256 MiB.
	workFactor = 18
	// maxWorkFactor bounds what opening a file may cost: about 1 GiB.
	maxWorkFactor = 20
)

// SaveKeys writes a new key file for the owner alone (0600), all or nothing,
// synced. With passphrase "" it is not encrypted: only for who asked for that.
// An existing file is never touched (key_file_exists); see ReplaceKeys.
func SaveKeys(path string, k *Keys, passphrase string) error {
	return saveKeys(path, k, passphrase, workFactor)
}

func saveKeys(path string, k *Keys, passphrase string, work int) error {
	data, err := sealKeyFile(k, passphrase, work)
	if err != nil {
		return err
	}
	return writeSecret(path, data, false)
}

// ReplaceKeys writes a later state of the keys over the file they came from,
// all or nothing. It opens the file with the same passphrase first and refuses
// (key_file_other) unless it holds the same identity at an earlier or the same
// state, so that no other key is ever lost.
func ReplaceKeys(path string, k *Keys, passphrase string) error {
	return replaceKeys(path, k, passphrase, workFactor)
}

func replaceKeys(path string, k *Keys, passphrase string, work int) error {
	old, err := LoadKeys(path, func() (string, error) { return passphrase, nil })
	if err != nil {
		return err
	}
	if !k.continues(old.Events()) {
		return fault.Newf(fault.Conflict, "key_file_other", "the key file %s holds another identity (%s) or a later state of it; write to another file", path, old.ID())
	}
	data, err := sealKeyFile(k, passphrase, work)
	if err != nil {
		return err
	}
	return writeSecret(path, data, true)
}

// LoadKeys reads a key file and checks that its seeds belong to its events.
// passphrase is asked for encrypted files only. Codes: key_file_missing,
// key_file_unreadable, key_file_malformed, passphrase_required,
// passphrase_wrong; what passphrase returns is passed on.
func LoadKeys(path string, passphrase func() (string, error)) (*Keys, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.Newf(fault.NotFound, "key_file_missing", "there is no key file %s", path).Because(err)
	}
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "key_file_unreadable", "the key file %s cannot be opened; check its owner and permissions", path).Because(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFileBytes+1))
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "key_file_unreadable", "the key file %s cannot be read", path).Because(err)
	}
	if len(data) > maxKeyFileBytes {
		return nil, malformed(path, "is too large to be one", nil)
	}
	if data, err = decryptKeyFile(path, data, passphrase); err != nil {
		return nil, err
	}
	k, err := parseKeyFile(data)
	if err != nil {
		return nil, malformed(path, "does not hold what a key file should", err)
	}
	return k, nil
}

func malformed(path, what string, err error) error {
	return fault.Newf(fault.Invalid, "key_file_malformed", "%s %s; restore it from a backup", path, what).Because(err)
}

func sealKeyFile(k *Keys, passphrase string, work int) ([]byte, error) {
	plain, err := formatKeyFile(k)
	if err != nil || passphrase == "" {
		return plain, err
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("encrypt key file: %w", err)
	}
	recipient.SetWorkFactor(work)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, recipient)
	if err != nil {
		return nil, fmt.Errorf("encrypt key file: %w", err)
	}
	_, err = w.Write(plain)
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return nil, fmt.Errorf("encrypt key file: %w", err)
	}
	return out.Bytes(), nil
}

func decryptKeyFile(path string, data []byte, passphrase func() (string, error)) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte(armor.Header)) {
		return data, nil
	}
	if passphrase == nil {
		return nil, fault.Newf(fault.Invalid, "passphrase_required", "the key file %s is encrypted; give its passphrase", path)
	}
	phrase, err := passphrase()
	if err != nil {
		return nil, err
	}
	if phrase == "" {
		return nil, fault.Newf(fault.Invalid, "passphrase_required", "the key file %s is encrypted; give its passphrase", path)
	}
	identity, err := age.NewScryptIdentity(phrase)
	if err != nil {
		return nil, fmt.Errorf("decrypt key file: %w", err)
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(data)), identity)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, fault.Newf(fault.Unauthenticated, "passphrase_wrong", "the passphrase does not open the key file %s", path)
	}
	if err != nil {
		return nil, malformed(path, "is damaged", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxKeyFileBytes))
	if err != nil {
		return nil, malformed(path, "is damaged", err)
	}
	return plain, nil
}

func formatKeyFile(k *Keys) ([]byte, error) {
	f := keyFile{Logline: "keys", Version: 1, Identity: k.ID()}
	if k.primary != nil {
		f.Primary = span.B64(k.primary.seed())
	} else {
		f.Device = span.B64(k.device.seed())
	}
	if k.next != nil {
		f.Next = span.B64(k.next.seed())
	}
	for _, d := range k.delegated {
		f.Delegated = append(f.Delegated, span.B64(d.seed()))
	}
	for _, d := range k.former {
		f.Former = append(f.Former, span.B64(d.seed()))
	}
	if k.secret != nil {
		f.Secret = span.B64(k.secret[:])
	}
	for _, e := range k.events {
		f.Events = append(f.Events, e.Raw)
	}
	out, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("format key file: %w", err)
	}
	return append(out, '\n'), nil
}

// parseKeyFile reads a decrypted key file and folds its events anew.
func parseKeyFile(src []byte) (*Keys, error) {
	var f keyFile
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	if f.Logline != "keys" || f.Version != 1 {
		return nil, fmt.Errorf("not a key file of version 1 (logline %q, v %d)", f.Logline, f.Version)
	}
	k := &Keys{}
	for i, raw := range f.Events {
		if err := k.restore(raw); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	if k.chain == nil || k.chain.ID() != f.Identity {
		return nil, errors.New("the events are not those of the identity")
	}
	return k, k.restoreSecrets(f)
}

// restore takes one of the events in the file.
func (k *Keys) restore(raw []byte) error {
	e, err := ParseEvent(raw)
	if err != nil {
		return err
	}
	if k.chain == nil {
		k.chain, err = Begin(e, StdVerifier())
	} else {
		// The claimer's events are not in this file. That the claimer was who
		// it said was checked when the claim was made; here its signature is.
		claimer := &Chain{chainState{ID: e.By, Status: StatusActive, Primary: e.Counter.Key}}
		_, err = k.chain.Apply(e, StdVerifier(), claimer)
	}
	if err == nil {
		k.events = append(k.events, e)
	}
	return err
}

func (k *Keys) restoreSecrets(f keyFile) (err error) {
	key := func(seed, what string) *SecretKey {
		raw, e := span.ParseB64(seed, 32)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("the %s seed: %w", what, e))
			return nil
		}
		return NewSecretKey([32]byte(raw))
	}
	if f.Device != "" {
		if f.Primary+f.Next != "" || len(f.Delegated)+len(f.Former) > 0 {
			return errors.New("a device's key stands beside keys that no device has")
		}
		k.device = key(f.Device, "device")
	} else {
		k.primary = key(f.Primary, "primary")
	}
	if f.Next != "" {
		k.next = key(f.Next, "next")
	}
	for _, seed := range f.Delegated {
		k.delegated = append(k.delegated, key(seed, "delegated"))
	}
	for _, seed := range f.Former {
		k.former = append(k.former, key(seed, "former"))
	}
	if f.Secret != "" {
		raw, e := span.ParseB64(f.Secret, 32)
		if e != nil {
			return errors.Join(err, fmt.Errorf("the secret: %w", e))
		}
		k.secret = (*[32]byte)(raw)
	}
	if err != nil {
		return err
	}
	if k.device == nil && k.primary.Public() != k.chain.Primary() {
		return errors.New("the primary seed is not that of the identity's current key")
	}
	if k.next != nil && commitment(k.next.Public()) != k.chain.s.Next {
		return errors.New("the next seed is not the one that the events commit to")
	}
	for _, d := range k.former {
		if !slices.Contains(k.chain.s.Former, d.Public()) {
			return errors.New("a former seed is of no key that was the identity's")
		}
	}
	for _, d := range k.delegated {
		if d := k.chain.delegation(d.Public()); d == nil || d.Ended {
			return errors.New("a delegated seed is of no key that is delegated now")
		}
	}
	return nil
}

package id

import (
	"bytes"
	"encoding/base64"
	"io"
	"regexp"
	"strconv"
	"testing"

	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

var scryptStanza = regexp.MustCompile(`(?m)^-> scrypt \S+ (\d+)$`)

// FuzzKeyFileEnvelope: an encrypted key file opens to what was put in, or not at
// all; no other bytes open with the same passphrase.
func FuzzKeyFileEnvelope(f *testing.F) {
	plain, err := formatKeyFile(newKeys(f, SubjectPerson, 1))
	require.NoError(f, err)
	sealed, err := sealKeyFile(newKeys(f, SubjectPerson, 1), "correct horse", 1) // cheap
	require.NoError(f, err)
	raw, err := io.ReadAll(armor.NewReader(bytes.NewReader(sealed)))
	require.NoError(f, err)
	f.Add(raw, true)
	f.Add(raw[:len(raw)-1], true)
	f.Add(append(bytes.Clone(raw), 0), true)
	f.Add(bytes.Replace(raw, []byte(" 1\n"), []byte(" 2\n"), 1), true)
	f.Add(bytes.Replace(raw, []byte("scrypt"), []byte("X25519"), 1), true)
	f.Add([]byte("age-encryption.org/v1\n--- \n"), true)
	f.Add(sealed, false)
	f.Add(sealed[:len(sealed)/2], false)
	f.Fuzz(func(t *testing.T, src []byte, bare bool) {
		if bare {
			var out bytes.Buffer
			w := armor.NewWriter(&out)
			_, err := w.Write(src)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			src = out.Bytes()
		}
		if !bytes.HasPrefix(src, []byte(armor.Header)) || costly(src) {
			return
		}
		for _, phrase := range []string{"correct horse", "wrong", ""} {
			got, err := decryptKeyFile("x.key", src, func() (string, error) { return phrase, nil })
			if err != nil {
				require.Contains(t, []string{"key_file_malformed", "passphrase_wrong", "passphrase_required"}, fault.CodeOf(err))
				continue
			}
			require.Equal(t, "correct horse", phrase)
			require.Equal(t, plain, got)
		}
	})
}

// costly keeps work factors away that take a second each.
func costly(armored []byte) bool {
	raw, err := io.ReadAll(armor.NewReader(bytes.NewReader(armored)))
	if err != nil { // read what can be read of it
		body := regexp.MustCompile(`-----[^-]*-----|\s`).ReplaceAll(armored, nil)
		raw, _ = base64.StdEncoding.DecodeString(string(body[:len(body)/4*4]))
	}
	for _, m := range scryptStanza.FindAllSubmatch(raw, -1) {
		if n, err := strconv.Atoi(string(m[1])); err == nil && n > 8 {
			return true
		}
	}
	return false
}

package attack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/span"
)

// TestAStolenKeyEndsAtAPosition: a thief has the owner's key file, from which the next
// key was taken out, and signs. The owner recovers by the sheet: from the position of
// that rotation on the thief is refused, with every key that it made for itself, and an
// operator who puts the thief's spans behind it all the same is found out offline.
func TestAStolenKeyEndsAtAPosition(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := newNode(t, kind)
			s.tenant = s.firstTenant()
			s.stolenKey(t)
		})
	}
}

func (s *scene) stolenKey(t *testing.T) {
	sheet, err := s.owner.NextSeed()
	require.NoError(t, err)
	require.NoError(t, s.owner.ForgetNext())
	thief := s.owner // of the file
	events := "/v1/identities/" + strings.TrimPrefix(thief.ID(), span.IdentityScheme) + "/events"

	s.record(thief, `{"by":"thief"}`)
	door, backDoor, err := thief.Delegate("door", nil, "", time.Now(), rand.Reader)
	require.NoError(t, err)
	s.post("", events, door.Raw).want(t, http.StatusCreated)
	_, err = thief.Rotate(time.Now(), rand.Reader)
	require.Error(t, err)
	ofItsOwn, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	seed, err := ofItsOwn.NextSeed()
	require.NoError(t, err)
	_, _, err = id.Recover(thief.Events(), seed, time.Now(), rand.Reader)
	require.Error(t, err, "a key of the thief's own is not the next one")

	before := s.token(thief)
	home := t.TempDir()
	owner := s.recover(t, home, sheet)
	require.Equal(t, thief.ID(), owner.ID())
	again := s.record(owner, `{"by":"owner"}`)

	late := s.seal(thief, `{"by":"thief, again"}`)
	s.append(late).problem(t, http.StatusForbidden, "key_rotated")
	s.append(s.sealWith(backDoor, thief.ID(), `{"by":"thief, again"}`)).problem(t, http.StatusForbidden, "key_rotated")
	s.get(before, s.at("")).want(t, http.StatusUnauthorized)
	another, _, err := thief.Delegate("another", nil, "", time.Now(), rand.Reader)
	require.NoError(t, err)
	require.GreaterOrEqual(t, s.post("", events, another.Raw).status, 400)

	var suspect struct {
		Ended   string
		Tenants []struct {
			EndedAt *uint64 `json:"ended_at"`
			After   int
			Entries []struct {
				Seq uint64
				Key string
			}
		}
	}
	require.NoError(t, json.Unmarshal(printed(t, home, "identity", "suspect", "--json"), &suspect))
	require.Equal(t, id.KindRotation, suspect.Ended)
	require.Len(t, suspect.Tenants, 1)
	require.NotNil(t, suspect.Tenants[0].EndedAt)
	require.Zero(t, suspect.Tenants[0].After)
	var thiefs int
	for _, e := range suspect.Tenants[0].Entries {
		require.Less(t, e.Seq, *suspect.Tenants[0].EndedAt)
		if e.Key == thief.Signer().Public() {
			thiefs++
		}
	}
	require.Equal(t, 1, thiefs)

	bundle := s.get(s.token(owner), s.at("/bundle")).want(t, http.StatusOK).body
	said, err := verify(t, bundle)
	require.NoError(t, err, said)
	require.Contains(t, said, "OK: consistent")
	forged, line := inPlaceOf(t, bundle, again, late)
	said, err = verify(t, forged)
	require.Error(t, err)
	require.Contains(t, said, line, "the line is named")
	require.Contains(t, said, "key_rotated")
}

// recover has the program take the identity back by its sheet, on a computer whose
// configuration is empty, and gives the keys that it made there.
func (s *scene) recover(t *testing.T, home string, seed [32]byte) *id.Keys {
	t.Helper()
	sheet, err := recovery.New(s.owner.ID(), seed, s.URL, time.Now())
	require.NoError(t, err)
	typed := filepath.Join(home, "typed.txt")
	require.NoError(t, os.WriteFile(typed, []byte(strings.ToLower(sheet.Text())), 0o600))
	printed(t, home, "identity", "recover", "--sheet", typed, "--no-passphrase", "--text", filepath.Join(home, "new.txt"))
	owner, err := id.LoadKeys(filepath.Join(home, "keys", "default.key"), nil)
	require.NoError(t, err)
	return owner
}

// printed is what the program prints, with its configuration in home.
func printed(t *testing.T, home string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "LOGLINE_CONFIG_DIR="+home)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, "%s", said.String())
	return out
}

// sealWith is seal with a key delegated by the author.
func (s *scene) sealWith(key id.Signer, author, payload string) []byte {
	s.t.Helper()
	spanID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(s.t, err)
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	sp, err := id.SealSpan(key, span.Header{
		ID: spanID, Tenant: s.tenant.Id, Author: author, Type: "test.happened", Time: span.FormatTime(time.Now()),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, []byte(payload), salt)
	require.NoError(s.t, err)
	return sp.Canonical()
}

// verify is what the program says of a bundle, with no node.
func verify(t *testing.T, bundle []byte) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.ndjson")
	require.NoError(t, os.WriteFile(path, bundle, 0o600))
	out, err := exec.CommandContext(context.Background(), binary, "verify", path).CombinedOutput()
	return string(out), err
}

// inPlaceOf puts a span where another stands in a bundle, and names its line.
func inPlaceOf(t *testing.T, bundle []byte, spanID string, other []byte) (forged []byte, line string) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSuffix(bundle, []byte("\n")), []byte("\n"))
	for i, text := range lines {
		if i == 0 || !bytes.Contains(text, []byte(`"id":"`+spanID+`"`)) {
			continue
		}
		var entry map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(text, &entry))
		entry["span"] = other
		raw, err := json.Marshal(entry)
		require.NoError(t, err)
		lines[i], err = span.Canonicalize(raw)
		require.NoError(t, err)
		line = fmt.Sprintf("line %d", i+1)
	}
	require.NotEmpty(t, line)
	return append(bytes.Join(lines, []byte("\n")), '\n'), line
}

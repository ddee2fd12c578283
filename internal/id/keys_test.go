package id

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"filippo.io/age/armor"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// quick is a scrypt work factor for tests.
const quick = 2

func phrase(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestNewKeys(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{SubjectPerson, SubjectOrganization, SubjectService, SubjectAgent, SubjectNode} {
		k := newKeys(t, subject, 1)
		require.Equal(t, subject, k.Subject())
		require.Len(t, k.Secret(), 32)
		require.Empty(t, k.chain.Custody())
		require.Empty(t, k.chain.Expires())
		require.Equal(t, k.ID(), newKeys(t, subject, 1).ID(), "the same randomness gives the same identity")
		require.NotEqual(t, k.ID(), newKeys(t, subject, 2).ID())
	}
	for _, subject := range []string{SubjectGhost, "", "robot"} {
		_, err := NewKeys(subject, testTime, source(1))
		requireCode(t, "subject_unknown", err)
	}
	_, err := NewKeys(SubjectPerson, testTime, bytes.NewReader(make([]byte, 95)))
	requireCode(t, "randomness_unavailable", err)
}

func TestGhostKeys(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte{7}, 32)
	g, err := GhostKeys(secret, "0190", `git "origin"`, "ana@example.org")
	require.NoError(t, err)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("logline.ghost.v1\n" + `["0190","git \"origin\"","ana@example.org"]`))
	require.Equal(t, span.B64(ed25519.NewKeyFromSeed(mac.Sum(nil)).Public().(ed25519.PublicKey)), g.Signer().Public())

	var inception map[string]any
	require.NoError(t, json.Unmarshal(g.Events()[0], &inception))
	delete(inception, "signature")
	require.Equal(t, map[string]any{"v": 1.0, "kind": "inception", "seq": 0.0, "subject": "ghost", "key": g.Signer().Public(),
		"next": nil, "time": "1970-01-01T00:00:00.000Z", "expires": "9999-12-31T23:59:59.999Z"}, inception)
	require.NotContains(t, string(g.Events()[0]), "ana")

	again, err := GhostKeys(secret, "0190", `git "origin"`, "ana@example.org")
	require.NoError(t, err)
	require.Equal(t, g.Events(), again.Events())
	ids := map[string]bool{g.ID(): true}
	for _, other := range [][3]string{{"0191", `git "origin"`, "ana@example.org"}, {"0190", "git", "ana@example.org"}, {"0190", `git "origin"`, "bo@example.org"}, {"", "", ""}} {
		o, err := GhostKeys(secret, other[0], other[1], other[2])
		require.NoError(t, err)
		require.False(t, ids[o.ID()])
		ids[o.ID()] = true
	}
	_, err = GhostKeys(secret[:31], "a", "b", "c")
	requireCode(t, "ghost_secret", err)
	_, err = g.Rotate(testTime, source(1))
	requireCode(t, "rotation_of_ghost", err)
	_, err = g.Revoke("gone", testTime)
	require.NoError(t, err)
}

func TestKeysRefuseWhatOthersWould(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	before := k.Events()
	_, _, err := k.Delegate(strings.Repeat("x", 65), nil, "", testTime, source(2))
	requireCode(t, "text_too_long", err)
	_, _, err = k.Delegate("phone", []string{"logline.**"}, "", testTime, source(2))
	requireCode(t, "types_reserved_pattern", err)
	_, _, err = k.Delegate("phone", nil, "tomorrow", testTime, source(2))
	requireCode(t, "member_malformed", err)
	_, err = k.Undelegate(newKey(5).Public(), testTime)
	requireCode(t, "delegation_unknown", err)
	_, err = k.ClaimBy(newKeys(t, SubjectPerson, 2), testTime)
	requireCode(t, "claim_not_ghost", err)
	require.Equal(t, before, k.Events())
	require.Empty(t, k.delegated)
}

func TestSealSpan(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	salt := bytes.Repeat([]byte{3}, 16)
	payload := []byte(`{"amount":"1"}`)
	id := span.NewID(testTime, [10]byte{1})
	sealed, err := SealSpan(k.Signer(), span.Header{ID: id, Tenant: span.NewID(testTime, [10]byte{2}), Author: k.ID(), Type: "payment.requested",
		Time: testStamp, Status: span.StatusExecuted, Visibility: span.VisibilityOrganization}, payload, salt)
	require.NoError(t, err)
	require.Equal(t, span.PayloadHash(salt, payload).String(), sealed.PayloadHash)
	parsed, err := span.Parse(sealed.Canonical(), span.Limits{})
	require.NoError(t, err)
	pub, err := span.ParseB64(parsed.Signature.Key, 32)
	require.NoError(t, err)
	sig, err := span.ParseB64(parsed.Signature.Value, 64)
	require.NoError(t, err)
	require.True(t, StdVerifier().Verify(pub, parsed.Message(), sig))
	_, err = SealSpan(k.Signer(), sealed.Header, payload, salt[:15])
	requireCode(t, "salt_malformed", err)
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	_, old, err := k.Delegate("old", nil, "", testTime, source(2))
	require.NoError(t, err)
	_, phone, err := k.Delegate("phone", nil, "", testTime, source(3))
	require.NoError(t, err)
	_, err = k.Undelegate(old.Public(), testTime)
	require.NoError(t, err)
	claimed := newGhost(t, "a")
	_, err = claimed.ClaimBy(k, testTime)
	require.NoError(t, err)
	revoked := newKeys(t, SubjectService, 4)
	_, err = revoked.Revoke("", testTime)
	require.NoError(t, err)
	for name, k := range map[string]*Keys{"person": k, "claimed ghost": claimed, "revoked": revoked} {
		for _, pass := range []string{"", "correct horse"} {
			t.Run(name+" "+pass, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), "me.key")
				require.NoError(t, saveKeys(path, k, pass, quick))
				info, err := os.Stat(path)
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
				back, err := LoadKeys(path, phrase(pass))
				require.NoError(t, err)
				require.Equal(t, k, back)
				require.Equal(t, k.Secret(), back.Secret())
				content, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, pass == "", bytes.Contains(content, []byte(span.B64(k.primary.seed()))))
				require.Equal(t, pass == "", bytes.Contains(content, []byte(k.ID())))
				files, err := os.ReadDir(filepath.Dir(path))
				require.NoError(t, err)
				require.Len(t, files, 1, "no temporary file stays")
			})
		}
	}
	require.NotNil(t, k.Delegated(phone.Public()))
	require.Nil(t, k.Delegated(old.Public()))
}

// TestKeyFileAsUsed pays the full scrypt cost once, through the exported names.
func TestKeyFileAsUsed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "me.key")
	k := newKeys(t, SubjectPerson, 1)
	require.NoError(t, SaveKeys(path, k, "correct horse"))
	back, err := LoadKeys(path, phrase("correct horse"))
	require.NoError(t, err)
	require.Equal(t, k, back)
}

func TestKeyFileNeverOverwritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "me.key")
	k, other := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 2)
	require.NoError(t, saveKeys(path, k, "a", quick))
	requireCode(t, "key_file_exists", saveKeys(path, other, "a", quick))
	requireCode(t, "key_file_exists", saveKeys(path, k, "a", quick))
	requireCode(t, "key_file_other", replaceKeys(path, other, "a", quick))
	requireCode(t, "passphrase_wrong", replaceKeys(path, k, "b", quick))
	earlier, err := LoadKeys(path, phrase("a"))
	require.NoError(t, err)
	_, err = k.Rotate(testTime, source(3))
	require.NoError(t, err)
	require.NoError(t, replaceKeys(path, k, "a", quick))
	requireCode(t, "key_file_other", replaceKeys(path, earlier, "a", quick))
	back, err := LoadKeys(path, phrase("a"))
	require.NoError(t, err)
	require.Equal(t, k, back)
	requireCode(t, "key_file_missing", replaceKeys(path+"2", k, "a", quick))
	requireCode(t, "key_file_unwritable", saveKeys(filepath.Join(path, "x"), k, "", quick))
}

func TestKeyFileRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "me.key")
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range byte(8) {
		k := newKeys(t, SubjectPerson, i)
		wg.Go(func() {
			if err := SaveKeys(path, k, ""); err == nil {
				won.Add(1)
			} else if fault.CodeOf(err) != "key_file_exists" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int32(1), won.Load())
	_, err := LoadKeys(path, nil)
	require.NoError(t, err)
}

// TestLoadKeysBoundsWork opens a file that demands more scrypt work than
// allowed: it must be refused before the work is done.
func TestLoadKeysBoundsWork(t *testing.T) {
	t.Parallel()
	sealed, err := sealKeyFile(newKeys(t, SubjectPerson, 1), "right", quick)
	require.NoError(t, err)
	inner, err := io.ReadAll(armor.NewReader(bytes.NewReader(sealed)))
	require.NoError(t, err)
	head, rest, ok := bytes.Cut(inner, []byte(" 2\n"))
	require.True(t, ok)
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	_, err = w.Write(slices.Concat(head, []byte(" 21\n"), rest))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	path := filepath.Join(t.TempDir(), "me.key")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	_, err = LoadKeys(path, phrase("right"))
	requireCode(t, "key_file_malformed", err)
	require.ErrorContains(t, err, "work factor too large")
}

func TestLoadKeysRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := newKeys(t, SubjectPerson, 1)
	_, _, err := k.Delegate("phone", nil, "", testTime, source(2))
	require.NoError(t, err)
	plain, err := formatKeyFile(k)
	require.NoError(t, err)
	sealed, err := sealKeyFile(k, "right", quick)
	require.NoError(t, err)
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	_, err = LoadKeys(filepath.Join(dir, "none"), nil)
	requireCode(t, "key_file_missing", err)
	_, err = LoadKeys(dir, nil)
	requireCode(t, "key_file_unreadable", err)
	path := write("sealed", sealed)
	_, err = LoadKeys(path, nil)
	requireCode(t, "passphrase_required", err)
	_, err = LoadKeys(path, phrase(""))
	requireCode(t, "passphrase_required", err)
	_, err = LoadKeys(path, phrase("wrong"))
	requireCode(t, "passphrase_wrong", err)
	_, err = LoadKeys(path, func() (string, error) { return "", os.ErrClosed })
	require.ErrorIs(t, err, os.ErrClosed)

	_, err = LoadKeys(write("cut", sealed[:len(sealed)/2]), phrase("right"))
	requireCode(t, "key_file_malformed", err)
	_, err = LoadKeys(write("empty", nil), nil)
	requireCode(t, "key_file_malformed", err)
	_, err = LoadKeys(write("huge", make([]byte, maxKeyFileBytes+1)), nil)
	requireCode(t, "key_file_malformed", err)

	stranger := span.B64(newKey(99).seed())
	for name, change := range map[string]func(object){
		"other format":      func(o object) { o["logline"] = "bundle" },
		"other version":     func(o object) { o["v"] = 2 },
		"unknown member":    func(o object) { o["x"] = 1 },
		"no events":         func(o object) { o["events"] = []any{} },
		"other identity":    func(o object) { o["identity"] = newKeys(t, SubjectPerson, 2).ID() },
		"foreign primary":   func(o object) { o["primary"] = stranger },
		"short primary":     func(o object) { o["primary"] = "AA" },
		"foreign next":      func(o object) { o["next"] = stranger },
		"foreign delegated": func(o object) { o["delegated"] = []any{stranger} },
		"short delegated":   func(o object) { o["delegated"] = []any{""} },
		"short secret":      func(o object) { o["secret"] = "AA" },
		"events reversed": func(o object) {
			e := o["events"].([]any)
			e[0], e[1] = e[1], e[0]
		},
		"event altered": func(o object) { o["events"].([]any)[0].(object)["time"] = ghostTime },
	} {
		_, err := LoadKeys(write(name, edit(t, plain, change)), nil)
		require.Equal(t, "key_file_malformed", fault.CodeOf(err), name)
		require.ErrorContains(t, err, name, "the message names the file")
	}
	_, err = LoadKeys(write("trailing", append(plain, '1')), nil)
	requireCode(t, "key_file_malformed", err)
}

func FuzzParseKeyFile(f *testing.F) {
	k := newKeys(f, SubjectPerson, 1)
	plain, err := formatKeyFile(k)
	require.NoError(f, err)
	f.Add(plain)
	_, _, err = k.Delegate("phone", nil, "", testTime, source(2))
	require.NoError(f, err)
	plain, err = formatKeyFile(k)
	require.NoError(f, err)
	f.Add(plain)
	f.Fuzz(func(t *testing.T, src []byte) {
		k, err := parseKeyFile(src)
		if err != nil {
			return
		}
		out, err := formatKeyFile(k)
		require.NoError(t, err)
		back, err := parseKeyFile(out)
		require.NoError(t, err)
		require.Equal(t, k, back)
	})
}

func TestOpenNode(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "data")
	n, created, err := OpenNode(dir, testTime, source(1))
	require.NoError(t, err)
	require.True(t, created)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	info, err = os.Stat(filepath.Join(dir, NodeKeyFile))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	again, created, err := OpenNode(dir, testTime, bytes.NewReader(nil))
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, n.Events(), again.Events())
	require.Equal(t, n.LogKey(), again.LogKey())

	c, err := fold(StdVerifier(), n.Events())
	require.NoError(t, err)
	require.Equal(t, n.ID(), c.ID())
	require.Equal(t, n.ID(), n.NodeID())
	require.Equal(t, SubjectNode, c.Subject())
	require.Empty(t, c.Custody())
	require.Equal(t, c.Primary(), n.Signer().Public())
	g, ok := c.Key(span.B64(n.LogKey()))
	require.True(t, ok)
	require.Equal(t, []string{"logline.log"}, g.Types)
	require.Empty(t, g.Custody)
	require.True(t, ed25519.Verify(n.LogKey(), []byte("note"), n.SignLog([]byte("note"))))
}

func TestOpenNodeRefusesOtherKeys(t *testing.T) {
	t.Parallel()
	node := newKeys(t, SubjectNode, 1)
	for name, k := range map[string]*Keys{"person": newKeys(t, SubjectPerson, 1), "node without a log key": node} {
		dir := t.TempDir()
		require.NoError(t, SaveKeys(filepath.Join(dir, NodeKeyFile), k, ""))
		_, _, err := OpenNode(dir, testTime, source(1))
		require.Equal(t, "key_file_malformed", fault.CodeOf(err), name)
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, NodeKeyFile), []byte("{}"), 0o600))
	_, _, err := OpenNode(dir, testTime, source(1))
	requireCode(t, "key_file_malformed", err)
	_, _, err = OpenNode(filepath.Join(dir, NodeKeyFile, "x"), testTime, source(1))
	require.Error(t, err)
	_, _, err = OpenNode(filepath.Join(dir, "new"), testTime, bytes.NewReader(nil))
	requireCode(t, "randomness_unavailable", err)
}

func TestNodeRotates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, _, err := OpenNode(dir, testTime, source(1))
	require.NoError(t, err)
	identity, first, logKey, events := n.ID(), n.Signer(), n.LogKey(), n.Events()
	require.Equal(t, first, n.SignerFor(first.Public()))
	for i := range 2 {
		before := n.Signer()
		require.NoError(t, n.Rotate(t.Context(), testTime, source(byte(2+i))))
		require.NotEqual(t, before.Public(), n.Signer().Public())
		require.Equal(t, before.Sign([]byte("m")), n.SignerFor(before.Public()).Sign([]byte("m")))
		require.Equal(t, identity, n.ID())
		require.Equal(t, logKey, n.LogKey())
		require.Len(t, n.Events(), 2+2*(i+1))
		require.Equal(t, events, n.Events()[:len(events)])
		events = n.Events()

		again, _, err := OpenNode(dir, testTime, bytes.NewReader(nil))
		require.NoError(t, err)
		require.Equal(t, events, again.Events())
		require.Equal(t, n.Signer().Public(), again.Signer().Public())
		require.Equal(t, logKey, again.LogKey())
		require.NotNil(t, again.SignerFor(first.Public()))
		require.Nil(t, again.SignerFor(span.B64(make([]byte, 32))))
		info, err := os.Stat(filepath.Join(dir, NodeKeyFile))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	// Anybody can follow the chain, and the log key is delegated at its end.
	parsed, err := parseEvents(events)
	require.NoError(t, err)
	chain, err := foldEvents(parsed, StdVerifier())
	require.NoError(t, err)
	require.NoError(t, chain.MaySign(span.B64(logKey), TypeLog, span.FormatTime(testTime)))
	require.Equal(t, n.Signer().Public(), chain.Primary())
}

func TestNodeRotationThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, _, err := OpenNode(dir, testTime, source(1))
	require.NoError(t, err)
	before, events := n.Signer().Public(), n.Events()

	require.Error(t, n.Rotate(t.Context(), testTime, bytes.NewReader(nil)))
	require.Equal(t, before, n.Signer().Public())
	path := filepath.Join(dir, NodeKeyFile)
	require.NoError(t, os.Rename(path, path+".away"))
	require.Error(t, n.Rotate(t.Context(), testTime, source(2)))
	require.Equal(t, events, n.Events())
	require.NoError(t, os.Rename(path+".away", path))

	// A rotation that reached the file and nobody else, as after a crash or a
	// failed sync: it is taken up, and no second one made.
	other, _, err := OpenNode(dir, testTime, bytes.NewReader(nil))
	require.NoError(t, err)
	require.NoError(t, other.Rotate(t.Context(), testTime, source(3)))
	require.NoError(t, n.Rotate(t.Context(), testTime, bytes.NewReader(nil)))
	require.Equal(t, other.Events(), n.Events())
	require.Equal(t, other.Signer().Public(), n.Signer().Public())

	// Keys of somebody else, or older ones, in its place change nothing.
	elsewhere := t.TempDir()
	_, _, err = OpenNode(elsewhere, testTime, source(9))
	require.NoError(t, err)
	foreign, err := os.ReadFile(filepath.Join(elsewhere, NodeKeyFile))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, foreign, 0o600))
	require.Error(t, n.Rotate(t.Context(), testTime, source(4)))
	require.Equal(t, other.Events(), n.Events())
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, foreign, again)
	young, _, err := OpenNode(t.TempDir(), testTime, source(5))
	require.NoError(t, err)
	young.home = keyFileAt(path)
	require.Error(t, young.Rotate(t.Context(), testTime, source(6)))
	again, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, foreign, again)
}

func TestOpenNodeRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var made atomic.Int32
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			n, created, err := OpenNode(dir, testTime, source(byte(i)))
			if err != nil {
				t.Error(err)
				return
			}
			if created {
				made.Add(1)
			}
			ids[i] = n.ID()
		})
	}
	wg.Wait()
	require.Equal(t, int32(1), made.Load())
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
}

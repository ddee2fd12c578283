package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// command runs a command as the session's user, and gives its code and output.
func (s *session) command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, stdio{out: &stdout, err: &stderr}, s.env.Getenv)
	return code, stdout.String(), stderr.String()
}

// TestProofOfACosignedEntry has a witness cosign at a real node, and follows the
// cosignature into every file and onto every screen.
func TestProofOfACosignedEntry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secret, public, err := note.GenerateKey(rand.Reader, "north.example/witness")
	require.NoError(t, err)
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	require.NoError(t, err)
	signer, err := cosignature.NewSignerForCosignatureV1(secret)
	require.NoError(t, err)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	policyFile := write("witnesses.policy", "witness North "+vkey+"\nquorum North\n")
	s := startSession(t, func(c *app.Config) { c.WitnessPolicy = policyFile })
	tenant, err := s.client.Tenant(t.Context(), s.profile.Tenant)
	require.NoError(t, err)
	page := struct {
		Items []struct{ Span struct{ ID string } }
	}{}
	code, out, errs := s.command(t, "list", "--json", "--limit", "1", "--type", "logline.member")
	require.Zero(t, code, errs)
	require.NoError(t, json.Unmarshal([]byte(out), &page))
	id := page.Items[0].Span.ID

	code, _, errs = s.command(t, "proof", id, "--cosigned", "-o", filepath.Join(dir, "none"))
	require.Equal(t, exitFailed, code)
	require.Contains(t, errs, "not_cosigned")
	require.NoFileExists(t, filepath.Join(dir, "none"))

	raw, err := s.client.Checkpoint(t.Context(), tenant.Id)
	require.NoError(t, err)
	verifier, err := note.NewVerifier(tenant.LogKey)
	require.NoError(t, err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	require.NoError(t, err)
	signed, err := note.Sign(opened, signer)
	require.NoError(t, err)
	_, news, err := s.client.Cosign(t.Context(), tenant.Id, signed)
	require.NoError(t, err)
	require.True(t, news)

	code, out, errs = s.command(t, "show", id, "--receipt")
	require.Zero(t, code, errs)
	require.Contains(t, out, "north.example/witness (not checked: no policy)")
	file := filepath.Join(dir, "entry.tlog-proof")
	code, out, errs = s.command(t, "proof", id, "--cosigned", "--policy", policyFile, "-o", file)
	require.Zero(t, code, errs)
	require.Regexp(t, `cosigned +North at 20`, out)
	code, out, _ = s.command(t, "proof", id, "-o", "-")
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(out, "c2sp.org/tlog-proof@v1\nextra "))

	verify := func(env func(string) string, args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append([]string{"verify"}, args...), stdio{out: &stdout, err: &stderr}, env)
		return code, stdout.String() + stderr.String()
	}
	nobody := func(string) string { return "" } // no profile
	empty := func(name string) string {
		if name == "LOGLINE_CONFIG_DIR" {
			return filepath.Join(dir, "empty")
		}
		return nobody(name)
	}
	strangers := write("strangers.policy", "witness South "+otherWitness(t)+"\nquorum South\n")
	withLog := write("log.policy", "log "+tenant.LogKey+"\nwitness North "+vkey+"\nquorum North\n")
	otherLog := write("other.policy", "log "+otherLogKey(t)+"\nquorum none\n")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"the log's key":     {[]string{"--log-key", tenant.LogKey}, exitOK, "OK: entry "},
		"witnesses alone":   {[]string{"--policy", policyFile}, exitOK, "the log's own signature was not checked; cosigned by 1 witness, quorum North met"},
		"log and witnesses": {[]string{"--policy", withLog}, exitOK, "signed by its log; cosigned by 1 witness"},
		"other witnesses":   {[]string{"--policy", strangers, "--log-key", tenant.LogKey}, exitFailed, "there is no cosignature by South (cosignatures_missing)"},
		"another log":       {[]string{"--policy", otherLog}, exitFailed, "(log_not_in_policy)"},
		"another key":       {[]string{"--log-key", otherLogKey(t)}, exitFailed, "(checkpoint_signature_invalid)"},
		"the wrong node":    {[]string{"--log-key", tenant.LogKey, "--node", s.keys.ID()}, exitFailed, "(node_not_pinned)"},
		"nobody to believe": {nil, exitUsage, "--log-key"},
		"a bundle's flag":   {[]string{"--log-key", tenant.LogKey, "--save-state", "x"}, exitUsage, ""},
	} {
		code, out := verify(empty, append([]string{file}, c.args...)...)
		require.Equal(t, c.code, code, "%s: %s", name, out)
		require.Contains(t, out, c.says, name)
	}
	code, out = verify(s.env.Getenv, file) // the profile knows the log's key
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "signed by its log")

	// Whatever is altered shows.
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	proof, err := tree.ParseProofFile(text)
	require.NoError(t, err)
	for name, change := range map[string]func(*tree.ProofFile){
		"index":   func(p *tree.ProofFile) { p.Index++ },
		"line":    func(p *tree.ProofFile) { p.Extra = bytes.Replace(p.Extra, []byte(`"allow"`), []byte(`"pending"`), 1) },
		"hash":    func(p *tree.ProofFile) { p.Hashes[0][0] ^= 1 },
		"no line": func(p *tree.ProofFile) { p.Extra = nil },
		"more":    func(p *tree.ProofFile) { p.Hashes = append(p.Hashes, p.Hashes[0]) },
	} {
		altered := *proof
		altered.Hashes = append(altered.Hashes[:0:0], proof.Hashes...)
		change(&altered)
		code, out := verify(empty, write("altered", string(altered.Marshal())), "--log-key", tenant.LogKey)
		require.Equal(t, exitFailed, code, "%s: %s", name, out)
		require.Contains(t, out, "BAD: not proved", name)
	}
	code, out = verify(empty, write("cut", string(text[:len(text)/2])), "--log-key", tenant.LogKey)
	require.NotEqual(t, exitOK, code)
	require.Contains(t, out, "proof_file_invalid")
}

func otherWitness(t *testing.T) string {
	_, public, err := note.GenerateKey(rand.Reader, "south.example/witness")
	require.NoError(t, err)
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	require.NoError(t, err)
	return vkey
}

func otherLogKey(t *testing.T) string {
	origin, err := tree.ParseOrigin("logline/v1/0190d6a2-1111-8222-9333-444455556666/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/0")
	require.NoError(t, err)
	key, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	vkey, err := tree.VerifierKey(origin, key)
	require.NoError(t, err)
	return vkey
}

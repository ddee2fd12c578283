package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// TestVerifyByPolicy exports a real node's timeline, has witnesses cosign the
// checkpoint in the file, and verifies it by policy files.
func TestVerifyByPolicy(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "all.ndjson")
	exportTo(t, s, path)
	exported, err := os.ReadFile(path)
	require.NoError(t, err)
	first, entries, _ := bytes.Cut(exported, []byte("\n"))
	var header map[string]any
	require.NoError(t, json.Unmarshal(first, &header))
	logKey := header["log_key"].(string)
	signed := header["checkpoint"].(string)

	write := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
		return path
	}
	cosigned := func(name string, by ...note.Signer) string {
		log, err := note.NewVerifier(logKey)
		require.NoError(t, err)
		n, err := note.Open([]byte(signed), note.VerifierList(log))
		require.NoError(t, err)
		checkpoint, err := note.Sign(n, by...)
		require.NoError(t, err)
		header["checkpoint"] = string(checkpoint)
		line, err := json.Marshal(header)
		require.NoError(t, err)
		return write(name, string(line), strings.TrimSuffix(string(entries), "\n"))
	}
	var lines []string
	var signers []note.Signer
	for _, name := range []string{"North", "South", "West"} {
		secret, public, err := note.GenerateKey(rand.Reader, strings.ToLower(name)+".example/witness")
		require.NoError(t, err)
		vkey, err := cosignature.VKeyToCosignatureV1(public)
		require.NoError(t, err)
		signer, err := cosignature.NewSignerForCosignatureV1(secret)
		require.NoError(t, err)
		lines, signers = append(lines, "witness "+name+" "+vkey), append(signers, signer)
	}
	secret, _, err := note.GenerateKey(rand.Reader, "nobody.example")
	require.NoError(t, err)
	stranger, err := note.NewSigner(secret) // of another type, and in no policy
	require.NoError(t, err)

	quorum := write("quorum.policy", append(lines, "group Two 2 North South West", "quorum Two")...)
	logToo := write("log.policy", append(lines, "log "+logKey, "group Two 2 North South West", "quorum Two")...)
	enough := cosigned("enough.ndjson", signers[2], stranger, signers[0])
	tooFew := cosigned("too-few.ndjson", signers[1], stranger)

	verify := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"verify"}, args...), stdio{out: &out, err: &errs}, s.env.Getenv)
		require.Empty(t, errs.String())
		return code, out.String()
	}
	code, out := verify(enough, "--policy", quorum)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "OK: consistent; vouched for by the policy's witnesses (node "+s.profile.Node+"); cosigned by 2 witnesses, quorum Two met\n")
	require.Regexp(t, `cosigned +North at 20\S+Z, West at 20\S+Z\n`, out)
	require.Contains(t, out, "keys that the policy does not name")

	code, out = verify(enough, "--policy", logToo)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "OK: consistent; origin authenticated")

	code, out = verify(tooFew, "--policy", quorum)
	require.Equal(t, exitFailed, code, out)
	require.Regexp(t, `line 1: the policy's quorum has not cosigned the checkpoint of \d+ entries: group Two has 1 of the 2 it needs \(without North, West\) \(cosignatures_missing\)\n`, out)
	require.Contains(t, out, "BAD: consistent, but not what you asked to believe")

	code, out = verify(path, "--policy", quorum)
	require.Equal(t, exitFailed, code, out)
	require.Contains(t, out, "by no witness of the policy")

	code, out = verify(enough)
	require.Equal(t, exitOK, code, out)
	require.Contains(t, out, "note: 3 cosignatures were not checked")

	code, out = verify(enough, "--policy", quorum, "--json")
	require.Equal(t, exitOK, code, out)
	var report struct {
		Cosigned struct {
			Quorum string
			Met    bool `json:"quorum_met"`
			By     []struct{ Witness, Key, Time string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, "Two", report.Cosigned.Quorum)
	require.True(t, report.Cosigned.Met)
	require.Len(t, report.Cosigned.By, 2)
	require.Equal(t, "west.example/witness", report.Cosigned.By[1].Key)
}

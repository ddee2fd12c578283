package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoLieAboutTheHistoryIsBelieved verifies a timeline through a liar: each
// lie is named, and what was remembered before stays good.
func TestNoLieAboutTheHistoryIsBelieved(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	var telling atomic.Pointer[lie]
	liar := httptest.NewServer(liarFor(t, s.profile.URL, &telling))
	t.Cleanup(liar.Close)
	command := func(args ...string) (code int, out, complaint string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), append(args, "--profile", demoName, "--url", liar.URL), stdio{strings.NewReader(""), &stdout, &stderr}, s.env.Getenv)
		return code, stdout.String(), stderr.String()
	}
	say := []string{"append", "--type", "note.written", "--payload", `{"text":"hello"}`, "--title", "A note"}
	for range 3 {
		code, _, complaint := command(say...)
		require.Zero(t, code, complaint)
	}
	code, out, complaint := command("verify")
	require.Zero(t, code, out+complaint)
	code, _, complaint = command(say...)
	require.Zero(t, code, complaint)

	const flipped = `${1}AAAA`
	for name, l := range map[string]lie{
		"another payload":               {path: "/bundle", from: `"hello"`, to: `"hullo"`, want: "payload_hash_mismatch"},
		"another title":                 {path: "/bundle", from: `A note`, to: `A vote`, want: "signature_invalid"},
		"another time":                  {path: "/bundle", from: `("recorded_at":")2`, to: `${1}3`, want: "BAD"},
		"another root in the bundle":    {path: "/bundle", from: `(\\n\d+\\n)....`, to: flipped, want: "BAD"},
		"another size in the bundle":    {path: "/bundle", from: `"to":`, to: `"to":1`, want: "answer_other_range"},
		"another part of the history":   {path: "/bundle", from: `"from":\d+`, to: `"from":1`, want: "answer_other_range"},
		"another root in the note":      {path: "/checkpoint", from: `(\n\d+\n)....`, to: flipped, want: "checkpoint_signature_invalid"},
		"a shorter note":                {path: "/checkpoint", from: `(\n)\d+\n`, to: "${1}1\n", want: "checkpoint_signature_invalid"},
		"a longer note":                 {path: "/checkpoint", from: `(\n\d+)\n`, to: "${1}0\n", want: "checkpoint_signature_invalid"},
		"no note":                       {path: "/checkpoint", from: `^.*`, to: "hello", want: "checkpoint_invalid"},
		"another tenant's note":         {path: "/checkpoint", from: `(logline/v1/)(.)(.{7})`, to: "${1}${3}${2}", want: "origin_mismatch"},
		"another proof":                 {path: "/proofs/consistency", from: `("hashes":\[")....`, to: flipped, want: "history_forked"},
		"no proof":                      {path: "/proofs/consistency", from: `"hashes":\[.*\]`, to: `"hashes":[]`, want: "proof_withheld"},
		"something that is not a proof": {path: "/proofs/consistency", from: `("hashes":\[")....`, to: "${1}!", want: "answer_unreadable"},
	} {
		telling.Store(&l)
		code, out, complaint := command("verify")
		telling.Store(nil)
		require.NotZero(t, code, "%s: %s%s", name, out, complaint)
		require.Contains(t, out+complaint, l.want, name)
		require.NotContains(t, out, "OK:", name)
	}
	code, out, complaint = command("verify")
	require.Zero(t, code, complaint)
	require.Contains(t, out, "today's history extends them")
}

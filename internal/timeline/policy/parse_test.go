package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"

	"github.com/danvoulez/logline/internal/fault"
)

func TestParse(t *testing.T) {
	t.Parallel()
	log := newTestLog(t, "log")
	p := mustParse(t,
		"# who watches",
		"",
		"log "+log.vkey(t)+" https://log.example/",
		" \twitness  X1\t"+newCosigner("x.example/1").vkey()+"  ",
		"witness X2 "+newCosigner("x.example/2").vkey()+" https://x.example/2",
		"  # names are octets:",
		"witness \xff\xc3\xa9 "+newCosigner("y.example").vkey(),
		"group X 2 X1 X2",
		"group both all X \xff\xc3\xa9",
		"quorum both",
		"witness late "+newCosigner("late.example").vkey(),
		"group any any late",
	)
	assert.Equal(t, "both", p.Quorum())
	assert.True(t, p.NamesLogs())

	p = mustParse(t, "quorum none")
	assert.Equal(t, None, p.Quorum())
	assert.False(t, p.NamesLogs())
}

func TestParseSaysWhatAndWhere(t *testing.T) {
	t.Parallel()
	log := newTestLog(t, "log")
	w, w2 := newCosigner("w.example"), newCosigner("w2.example")
	_, mldsa, err := cosignature.GenerateMLDSAKey("w.example")
	require.NoError(t, err)
	one := "witness W " + w.vkey()
	two := one + "\nwitness W2 " + w2.vkey()
	renamed := cosigner{name: "other.example", secret: w.secret}
	small := fmt.Sprintf("%s+%s", "w.example", "00000000+BAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	for _, c := range []struct{ src, code, want string }{
		{"", "policy_invalid", "no quorum line"},
		{one + "\n", "policy_invalid", "no quorum line"},
		{one + "\nquorum W", "policy_invalid", "line 2 of the policy: the line has no newline"},
		{"quorum none\r\n", "policy_invalid", "line 1 of the policy: byte 12 is control character 0x0d"},
		{"# \x7f\nquorum none\n", "policy_invalid", "line 1 of the policy: byte 3"},
		{"\nquorum none\nquorum none\n", "policy_invalid", "line 3 of the policy: there is a quorum line already"},
		{"quorum\n", "policy_invalid", "does not read quorum"},
		{"quorum none # why\n", "policy_invalid", "does not read quorum"},
		{"quorum W\n" + one + "\n", "policy_invalid", `line 1 of the policy: no line before this one defines "W"`},
		{"Quorum none\n", "policy_invalid", `"Quorum" is none of`},
		{"\u00a0quorum none\n", "policy_invalid", "is none of"},
		{one + " url more\nquorum W\n", "policy_invalid", "does not read witness"},
		{"witness W\nquorum W\n", "policy_invalid", "does not read witness"},
		{one + "\n" + one + "\nquorum W\n", "policy_invalid", "line 2 of the policy: another witness has this public key"},
		{one + "\nwitness V " + renamed.vkey() + "\nquorum W\n", "policy_invalid", "another witness has this public key"},
		{one + "\nwitness W " + w2.vkey() + "\nquorum W\n", "policy_invalid", `the name "W" is taken`},
		{"witness none " + w.vkey() + "\nquorum none\n", "policy_invalid", `the name "none" is taken`},
		{"log " + log.vkey(t) + "\nlog " + log.vkey(t) + "\nquorum none\n", "policy_invalid", "another log has this public key"},
		{"log\nquorum none\n", "policy_invalid", "does not read log"},
		{two + "\ngroup G 2 W\nquorum G\n", "policy_invalid", `line 3 of the policy: "2" is neither any, all nor a number from 1 to 1`},
		{two + "\ngroup G 0 W\nquorum G\n", "policy_invalid", `"0" is neither`},
		{two + "\ngroup G 01 W\nquorum G\n", "policy_invalid", `"01" is neither`},
		{two + "\ngroup G +1 W\nquorum G\n", "policy_invalid", `"+1" is neither`},
		{two + "\ngroup G ANY W\nquorum G\n", "policy_invalid", `"ANY" is neither`},
		{two + "\ngroup G all\nquorum G\n", "policy_invalid", "does not read group"},
		{two + "\ngroup G all G\nquorum G\n", "policy_invalid", `defines "G"`},
		{two + "\ngroup G all none\nquorum G\n", "policy_invalid", "can only be the quorum"},
		{two + "\ngroup G 1 W W\nquorum G\n", "policy_invalid", `"W" is a group's member already`},
		{two + "\ngroup G any W\ngroup H any W\nquorum G\n", "policy_invalid", "line 4 of the policy"},
		{two + "\ngroup W any W2\nquorum W\n", "policy_invalid", `the name "W" is taken`},
		{"witness W w.example\nquorum W\n", "policy_invalid", "does not read <name>+<key id>+<base64>"},
		{"witness W +00000000+AAAA\nquorum W\n", "policy_invalid", "name is empty"},
		{"witness W a\u00a0b+00000000+AAAA\nquorum W\n", "policy_invalid", "has a space in it"},
		{"witness W w.example+00000000+BA=\nquorum W\n", "policy_invalid", "not base64"},
		{"witness W w.example+00000000+BAAA\nquorum W\n", "policy_invalid", "not a usable Ed25519 public key"},
		{"witness W " + small + "\nquorum W\n", "policy_invalid", "not a usable Ed25519 public key"},
		{"witness W " + strings.Replace(w.vkey(), "w.example+", "v.example+", 1) + "\nquorum W\n", "policy_invalid", "does not fit the key; it should be"},
		{"witness W " + w.vkeyOf(0x01) + "\nquorum W\n", "policy_key_unsupported", "a witness's has type 0x04"},
		{"witness W " + mldsa + "\nquorum W\n", "policy_key_unsupported", "line 1 of the policy: the key has signature type 0x06 (ML-DSA-44), which is not supported yet"},
		{"witness W " + w.vkeyOf(0x02) + "\nquorum W\n", "policy_key_unsupported", "0x02, which is not supported"},
		{"log " + w.vkey() + "\nquorum none\n", "policy_key_unsupported", "a log's has type 0x01"},
		{strings.Repeat("\n", MaxLines) + "quorum none\n", "policy_invalid", "more than 1000 lines"},
		{strings.Repeat("#", MaxSize) + "\n", "policy_invalid", "larger than"},
	} {
		_, err := Parse([]byte(c.src))
		require.ErrorContains(t, err, c.want, "%.200q", c.src)
		assert.Equal(t, c.code, fault.CodeOf(err), "%.200q", c.src)
		assert.Equal(t, fault.Invalid, fault.KindOf(err))
	}
}

// The specification recommends that much at the least.
func TestParseTakesPoliciesOfRecommendedSize(t *testing.T) {
	t.Parallel()
	var lines []string
	for i := range 32 {
		log := cosigner{name: fmt.Sprintf("log%d.example", i), secret: newCosigner(fmt.Sprint("l", i)).secret}
		lines = append(lines,
			"log "+log.vkeyOf(0x01)+" https://"+strings.Repeat("a", 200),
			fmt.Sprintf("witness w%d %s https://%s", i, newCosigner(fmt.Sprintf("w%d.example", i)).vkey(), strings.Repeat("b", 200)),
			fmt.Sprintf("group g%d any w%d", i, i))
	}
	mustParse(t, append(lines, "quorum g31")...)
}

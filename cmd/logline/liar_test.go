package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// lie is one way in which a node, or somebody between, may answer falsely.
type lie struct {
	path    string // the end of the paths it is told at
	from    string // regular expression
	to      string
	command []string
	want    string // in the complaint
}

// TestNoLieIsBelieved puts a liar between the command line and an honest node:
// every command that says something was checked must notice.
func TestNoLieIsBelieved(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	m := newMouthpiece(t, s)
	command := m.command
	const spanID = "01890a5d-ac96-774b-bcce-b302099a8057"
	note := []string{"append", "--type", "note.written", "--payload", `{"text":"hello"}`, "--title", "A note"}
	code, _, complaint := command(append(note, "--id", spanID)...)
	require.Zero(t, code, complaint)

	show, why, receipt := []string{"show", spanID}, []string{"why", spanID}, []string{"show", spanID, "--receipt"}
	proof := []string{"show", spanID, "--proof", filepath.Join(t.TempDir(), "p")}
	const flipped = `${1}AAAA`
	m.refuses(map[string]lie{
		"another time in the receipt":   {"/spans", `("recorded_at":")2`, `${1}3`, note, "not the leaf"},
		"another title in the receipt":  {"/spans", `A note`, `A vote`, note, "another header"},
		"another leaf":                  {"/spans", `("leaf_hash":")....`, flipped, note, "not the leaf"},
		"another root":                  {"/spans", `(\\n\d+\\n)....`, flipped, note, "not signed by the tenant's log key"},
		"another size":                  {"/spans", `("size":)`, `${1}1`, note, "different sizes"},
		"another proof":                 {"/spans", `("hashes":\[")....`, flipped, note, "does not lead to the signed root"},
		"another span's receipt":        {"/receipt", spanID, strings.Replace(spanID, "8057", "8058", 1), receipt, "it is about span"},
		"an altered receipt, later":     {"/receipt", `("recorded_at":")2`, `${1}3`, receipt, "not the leaf"},
		"an altered proof file":         {"/receipt", `(index \d+\n)....`, flipped, proof, ""},
		"an altered proof file's root":  {"/receipt", `(\n\d+\n)....`, flipped, proof, ""},
		"another payload":               {spanID, `hello`, `hullo`, show, "not the one that was signed"},
		"another payload in a list":     {"/spans", `hello`, `hullo`, []string{"list"}, "not the one that was signed"},
		"another payload explained":     {"/why", `hello`, `hullo`, why, "not the one that was signed"},
		"another title explained":       {"/why", `^([^!]*?)A note`, `${1}A vote`, why, "another header"},
		"another entry than asked for":  {spanID, spanID, strings.Replace(spanID, "8057", "8058", 1), show, "the one asked for"},
		"another decision shown":        {spanID, `^([^!]*?)"outcome":"allow"`, `${1}"outcome":"pending"`, show, "not those of its leaf"},
		"another root explained":        {"/why", `(\\n\d+\\n)....`, flipped, why, "not signed by the tenant's log key"},
		"another identity's key events": {"/identities/" + strings.TrimPrefix(s.keys.ID(), "logline-id://"), `"subject":"person"`, `"subject":"agent"`, []string{"identity", "show"}, ""},
	})
	for _, honest := range [][]string{show, why, receipt, proof, {"list"}, {"identity", "show"}} {
		code, _, complaint := command(honest...)
		require.Zero(t, code, "%v: %s", honest, complaint)
	}
}

// decisionLie is told about a decision or its contract to who asks why.
type decisionLie struct {
	reason
	lie
}

func decisionLies(why []string) []decisionLie {
	tell := func(told, code, path, from, to string) decisionLie {
		return decisionLie{reason{told: told, code: code}, lie{path, from, to, why, "(" + code + ")"}}
	}
	return []decisionLie{
		tell("another rule that decided", "entry_not_leaf", "/why", `^([^!]*?)"limits/large"`, `${1}"limits/tiny"`),
		tell("another tag", "entry_not_leaf", "/why", `^([^!]*?)"tags":\["large"`, `${1}"tags":["tiny"`),
		tell("another outcome", "entry_not_leaf", "/why", `^([^!]*?)"outcome":"allow"`, `${1}"outcome":"pending"`),
		tell("another time of the decision", "entry_not_leaf", "/why", `^([^!]*?"recorded_at":")2`, `${1}3`),
		tell("another reason beside the decision", "detail_hash_mismatch", "/why", `because it is large`, `because it is tiny`),
		tell("no reason, where there is one", "detail_missing", "/why", `"detail":\{[^}]*\},`, ``),
		tell("another version of the contract", "contract_other", "/why", `"version":"1.0.0"`, `"version":"1.0.1"`),
		tell("another text of the contract", "contract_source", "/contracts/limits", `data.n > 1`, `data.n > 9`),
		tell("another wording in the contract", "contract_source", "/contracts/limits", `because it is large`, `because`),
		tell("another role of the author", "rights_other", "/why", `"roles":\["owner"\]`, `"roles":["admin"]`),
		tell("a role of the author that was never granted", "rights_other", "/why", `"roles":\["owner"\]`, `"roles":["auditor","owner"]`),
		tell("another place of the grant", "entry_not_leaf", "/spans", `^([^!]*"recorded_at":")2`, `${1}3`),
		tell("another grant than was signed", "payload_hash_mismatch", "/spans", `"roles":\["owner"\]`, `"roles":["admin"]`),
		tell("entries out of their order", "answer_out_of_order", "/spans", `"seq":3,`, `"seq":0,`),
	}
}

// A node may also lie about what was decided, and about the contract that did.
func TestNoLieAboutADecisionIsBelieved(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	m := newMouthpiece(t, s)
	file := filepath.Join(t.TempDir(), "limits.lll")
	require.NoError(t, os.WriteFile(file, []byte(`contract limits version "1.0.0" {
  rule large { on: "note.written"  when: data.n > 1  then { tag "large"  note "because it is large" } }
  rule tiny { on: "note.written"  when: data.n < 1  then { tag "tiny" } }
}
`), 0o600))
	const spanID = "01890a5d-ac96-774b-bcce-b302099a8057"
	for _, args := range [][]string{
		{"rules", "activate", file},
		{"append", "--type", "note.written", "--payload", `{"n":5}`, "--id", spanID},
	} {
		code, _, complaint := m.command(args...)
		require.Zero(t, code, complaint)
	}
	why := []string{"why", spanID}
	lies := map[string]lie{}
	for _, l := range decisionLies(why) {
		lies[l.told] = l.lie
	}
	m.refuses(lies)
	code, out, complaint := m.command(why...)
	require.Zero(t, code, complaint)
	require.Contains(t, out, "large: its condition holds\n    limits@1.0.0, line 2: rule large")
	// What the node says of the reasons is not even looked at.
	m.telling.Store(&lie{path: "/why", from: `its condition holds`, to: `it is a Tuesday`})
	_, again, _ := m.command(why...)
	require.Equal(t, out, again)
}

// mouthpiece is between the command line and an honest node, and lies.
type mouthpiece struct {
	t       *testing.T
	s       *session
	url     string
	telling atomic.Pointer[lie]
}

func newMouthpiece(t *testing.T, s *session) *mouthpiece {
	m := &mouthpiece{t: t, s: s}
	liar := httptest.NewServer(liarFor(t, s.profile.URL, &m.telling))
	t.Cleanup(liar.Close)
	m.url = liar.URL
	return m
}

func (m *mouthpiece) command(args ...string) (code int, out, complaint string) {
	var stdout, stderr bytes.Buffer
	code = run(m.t.Context(), append(args, "--profile", demoName, "--url", m.url), stdio{strings.NewReader(""), &stdout, &stderr}, m.s.env.Getenv)
	return code, stdout.String(), stderr.String()
}

// refuses asks that every lie is noticed, and nothing of it printed.
func (m *mouthpiece) refuses(lies map[string]lie) {
	for name, l := range lies {
		for _, asJSON := range []bool{false, true} {
			if asJSON && (l.command[0] == "list" || l.command[0] == "identity") {
				continue // what the node said, as it said it
			}
			args := append([]string{}, l.command...)
			if asJSON {
				args = append(args, "--json")
			}
			m.telling.Store(&l)
			code, out, complaint := m.command(args...)
			m.telling.Store(nil)
			require.Equal(m.t, exitFailed, code, "%s: %s%s", name, out, complaint)
			require.Empty(m.t, out, name)
			require.Contains(m.t, complaint, l.want, name)
		}
	}
}

// liarFor passes everything on to the node and back, but for the lie being told.
func liarFor(t *testing.T, node string, telling *atomic.Pointer[lie]) http.Handler {
	target, err := url.Parse(node)
	require.NoError(t, err)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			l := telling.Load()
			if l == nil || !strings.HasSuffix(resp.Request.URL.Path, l.path) {
				return nil
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			told := regexp.MustCompile(l.from).ReplaceAll(body, []byte(l.to))
			if bytes.Equal(body, told) {
				t.Errorf("there is no %q to lie about in %s", l.from, body)
			}
			resp.Body = io.NopCloser(bytes.NewReader(told))
			resp.ContentLength = int64(len(told))
			resp.Header.Set("Content-Length", strconv.Itoa(len(told)))
			return nil
		},
	}
}

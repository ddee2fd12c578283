package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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
	var telling atomic.Pointer[lie]
	liar := httptest.NewServer(liarFor(t, s.profile.URL, &telling))
	t.Cleanup(liar.Close)
	command := func(args ...string) (code int, out, complaint string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), append(args, "--profile", demoName, "--url", liar.URL), stdio{strings.NewReader(""), &stdout, &stderr}, s.env.Getenv)
		return code, stdout.String(), stderr.String()
	}
	const spanID = "01890a5d-ac96-774b-bcce-b302099a8057"
	note := []string{"append", "--type", "note.written", "--payload", `{"text":"hello"}`, "--title", "A note"}
	code, _, complaint := command(append(note, "--id", spanID)...)
	require.Zero(t, code, complaint)

	show, why, receipt := []string{"show", spanID}, []string{"why", spanID}, []string{"show", spanID, "--receipt"}
	proof := []string{"show", spanID, "--proof", filepath.Join(t.TempDir(), "p")}
	const flipped = `${1}AAAA`
	for name, l := range map[string]lie{
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
		"another root explained":        {"/why", `(\\n\d+\\n)....`, flipped, why, "not signed by the tenant's log key"},
		"another identity's key events": {"/identities/" + strings.TrimPrefix(s.keys.ID(), "logline-id://"), `"subject":"person"`, `"subject":"agent"`, []string{"identity", "show"}, ""},
	} {
		for _, asJSON := range []bool{false, true} {
			if asJSON && (l.command[0] == "list" || l.command[0] == "identity") {
				continue // what the node said, as it said it
			}
			args := l.command
			if asJSON {
				args = append(append([]string{}, args...), "--json")
			}
			telling.Store(&l)
			code, out, complaint := command(args...)
			telling.Store(nil)
			require.Equal(t, exitFailed, code, "%s: %s%s", name, out, complaint)
			require.Empty(t, out, name)
			require.Contains(t, complaint, l.want, name)
		}
	}
	for _, honest := range [][]string{show, why, receipt, proof, {"list"}, {"identity", "show"}} {
		code, _, complaint := command(honest...)
		require.Zero(t, code, "%v: %s", honest, complaint)
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

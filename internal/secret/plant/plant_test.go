package plant

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seed has bytes that every encoding writes in its own way.
var seed = []byte("\x00\xfb\xff\x81plant\n\"seed\x7f\xe2\x82\xac+/-_ 01234567")

// TestASearchFindsWhatLeaks: the search is known to find a planted secret however a
// program may have written it, and to find nothing where there is none.
func TestASearchFindsWhatLeaks(t *testing.T) {
	t.Parallel()
	require.Len(t, seed, 32)
	var p Plants
	p.Bytes("seed", seed)
	p.Text("password", "correct horse & battery")
	logged := func(v any) string {
		var out bytes.Buffer
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		return out.String()
	}
	inJSON, err := json.Marshal(map[string]any{"key": seed})
	require.NoError(t, err)
	leaks := map[string]string{
		"raw": "a" + string(seed) + "b", "%v": fmt.Sprintf("x%vx", seed), "%#v": fmt.Sprintf("%#v", seed), "%x": fmt.Sprintf("%x", seed), "%X": fmt.Sprintf("%X", seed),
		"% x": fmt.Sprintf("% x", seed), "%q": fmt.Sprintf("%q", seed), "%+v in a struct": fmt.Sprintf("%+v", struct{ k []byte }{seed}),
		"hex": hex.EncodeToString(seed), "base64": base64.StdEncoding.EncodeToString(seed), "base64url": base64.RawURLEncoding.EncodeToString(seed),
		"JSON": string(inJSON), "slog": logged(seed), "URL": "https://h/?k=" + url.QueryEscape(string(seed)),
		"a word of a stack": fmt.Sprintf("main.f({0x1, %#x})", uint64(0x6e616c7081fffb00)), "password": "dial: correct horse & battery refused", "password in slog": logged("correct horse & battery"),
		"password in a query": "?p=" + url.QueryEscape("correct horse & battery"),
	}
	for shift := range 3 {
		leaks[fmt.Sprint("base64 inside ", shift)] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("z", shift) + string(seed) + "tail"))
	}
	for how, text := range leaks {
		require.NotEmpty(t, p.Search([]byte(text)), how)
		for _, line := range p.Search([]byte(text)) {
			require.NotContains(t, line, "horse")
		}
	}
	for _, text := range []string{"", "nothing of the kind", logged([]byte("another seed, of the same length")), fmt.Sprint([]byte("another seed of thirty-two bytes"))} {
		require.Empty(t, p.Search([]byte(text)))
	}
	require.Empty(t, p.Without("seed").Search(seed))
	require.NotEmpty(t, p.Without("password").Search(seed))
	require.Panics(t, func() { p.Text("short", "1234567") })
}

// shaped is an example of every shape; none is a secret of anybody's.
var shaped = map[string]string{
	"an API key":              "key llk_" + strings.Repeat("a2b7c", 15),
	"a session's token":       "lls_" + strings.Repeat("a2b7c", 15),
	"an invitation":           "lli_" + strings.Repeat("Ab-_0", 8) + "xyz",
	"a mailed code":           "llc_" + strings.Repeat("a1b2", 4),
	"a bootstrap token":       "llb_" + strings.Repeat("Ab-_0", 8) + "xyz",
	"an onboarding token":     "llo_" + strings.Repeat("Ab-_0", 8) + "xyz",
	"a webhook's secret":      "whsec_" + strings.Repeat("Ab+/", 11),
	"a signed token (JWT)":    "token eyJ" + strings.Repeat("a", 20) + ".eyJ" + strings.Repeat("b", 20) + "." + strings.Repeat("c", 86),
	"an Authorization header": `{"Authorization":"Bearer ` + strings.Repeat("t", 20) + `"}`,
	"a password in a URL":     "cannot connect to postgres://u:" + "hunter2" + "@h:5432/d",
	"a private key in PEM":    "-----BEGIN EC PRIVATE" + " KEY-----",
	"a seed in a key file":    `"primary": "` + strings.Repeat("A", 43) + `"`,
	"a recovery sheet":        "key: " + strings.Repeat("0AZ9 ", 6),
	"a share of a key":        `"share": 2, "value": "` + strings.Repeat("A", 43) + `"`,
	"an age identity":         "AGE-SECRET-" + "KEY-1" + strings.Repeat("Q", 30),
}

func TestWhatLooksLikeASecret(t *testing.T) {
	t.Parallel()
	require.Len(t, shaped, len(shapes))
	for name, text := range shaped {
		found := Looks([]byte("before " + text + " after"))
		require.NotEmpty(t, found, name)
		require.True(t, strings.HasPrefix(found[0], name), "%s: %v", name, found)
	}
	require.Empty(t, Looks([]byte("postgres://u:xxxxx@h/d redis://u@h https://h:8080/a llk_short whsec_… llb_ eyJhbGciOi")))
}

// TestSearchOfATestRun: the script that make test ends with finds in a run's output
// what Looks finds.
func TestSearchOfATestRun(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash to run scripts/leaks.sh with")
	}
	search := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "output")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		out, err := exec.Command("bash", "../../../scripts/leaks.sh", path).CombinedOutput()
		return string(out), err
	}
	out, err := search("ok  \tgithub.com/danvoulez/logline/internal/id\t1.2s\npostgres://u:xxxxx@h/d\n")
	require.NoError(t, err, out)
	for name, text := range shaped {
		out, err := search("ok\nbefore " + text + " after\nok\n")
		require.Error(t, err, name)
		require.Contains(t, out, "line 2", name)
		require.NotContains(t, out, text, name)
	}
}

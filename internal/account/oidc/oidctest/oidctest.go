// Package oidctest runs a real provider of OpenID Connect (oidc-provider) for one
// test, and walks through its forms as a browser does. It is for tests alone.
package oidctest

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Variable names the folder in which Node.js finds oidc-provider; scripts/oidc.sh
// sets it.
const Variable = "LOGLINE_TEST_OIDC"

//go:embed provider.mjs
var program string

// Client is one that the provider knows.
type Client struct {
	ID        string   `json:"id"`
	Secret    string   `json:"secret"`
	Redirects []string `json:"redirects"`
	Method    string   `json:"method"` // of showing the secret; "" is client_secret_basic
}

// Options are what the provider does.
type Options struct {
	Clients []Client `json:"clients"`
	InToken bool     `json:"inToken"` // claims are in ID tokens, not at the userinfo endpoint alone
}

// Start runs a provider on 127.0.0.1 until the test ends, and gives its issuer.
// Without oidc-provider the test is skipped.
func Start(t testing.TB, o Options) (issuer string) {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skip("needs a provider of OpenID Connect: run make test, which installs oidc-provider, or set " + Variable + " to a folder in which Node.js finds it")
	}
	for i := range o.Clients {
		if o.Clients[i].Method == "" {
			o.Clients[i].Method = "client_secret_basic"
		}
	}
	want, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.Command("node", "--input-type=module", "-e", program)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "OIDC_WANT="+string(want))
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close() // it ends with its input
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the provider said: %s", said.Bytes())
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://127.0.0.1:") {
			return lines.Text()
		}
	}
	_ = cmd.Wait()
	require.FailNow(t, "the provider did not start", "%s", said.Bytes())
	return ""
}

// Browser keeps cookies, and fills in forms.
type Browser struct {
	t    testing.TB
	http *http.Client
}

// NewBrowser is one that never was anywhere.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t, &http.Client{
		Jar: jar, Transport: transport, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
	aborts     = regexp.MustCompile(`href="([^"]+/abort)"`)
)

// SignIn goes where a node sends a browser, signs in at the provider as login where
// it asks, agrees, and gives where the provider sends the browser back to, an
// address that begins with back.
func (b *Browser) SignIn(location, back, login string) *url.URL {
	b.t.Helper()
	return b.walk(location, back, func(page string) (string, url.Values) {
		fields := url.Values{}
		for _, field := range hidden.FindAllStringSubmatch(page, -1) {
			fields.Set(field[1], html.UnescapeString(field[2]))
		}
		if strings.Contains(page, `name="login"`) {
			fields.Set("login", login)
			fields.Set("password", "any")
		}
		found := formAction.FindStringSubmatch(page)
		require.NotNil(b.t, found, "no form: %s", page)
		return html.UnescapeString(found[1]), fields
	})
}

// Abort is SignIn for whoever changes their mind.
func (b *Browser) Abort(location, back string) *url.URL {
	b.t.Helper()
	return b.walk(location, back, func(page string) (string, url.Values) {
		found := aborts.FindStringSubmatch(page)
		require.NotNil(b.t, found, "no way to abort: %s", page)
		return html.UnescapeString(found[1]), nil
	})
}

// walk follows redirections, and answers pages with a form: where it goes, and what
// is in it, nil for a link.
func (b *Browser) walk(location, back string, answer func(page string) (string, url.Values)) *url.URL {
	b.t.Helper()
	at, err := url.Parse(location)
	require.NoError(b.t, err)
	var fields url.Values
	for range 20 {
		if strings.HasPrefix(at.String(), back) {
			return at
		}
		res, page := b.ask(at, fields)
		fields = nil
		next := res.Header.Get("Location")
		if next == "" {
			require.Equal(b.t, http.StatusOK, res.StatusCode, "%s", page)
			next, fields = answer(page)
		}
		at, err = at.Parse(next)
		require.NoError(b.t, err)
	}
	require.FailNow(b.t, "the provider does not come to an end", "at %s", at)
	return nil
}

func (b *Browser) ask(at *url.URL, fields url.Values) (*http.Response, string) {
	b.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if fields != nil {
		method, body = http.MethodPost, strings.NewReader(fields.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, at.String(), body)
	require.NoError(b.t, err)
	if fields != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.http.Do(req)
	require.NoError(b.t, err)
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	require.NoError(b.t, err)
	return res, string(page)
}

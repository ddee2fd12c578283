package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/app"
)

// cutter is between a client and a node, and breaks the connection at one request:
// before the node hears of it, or after it has answered.
type cutter struct {
	node http.Handler

	mu    sync.Mutex // guards the rest
	left  int        // requests until it happens; below 0: it does not
	after bool
	hit   bool
}

func (c *cutter) arm(n int, after bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.after, c.hit = n, after, false
}

func (c *cutter) happened() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hit
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	now := c.left == 0
	c.left--
	c.hit = c.hit || now
	after := c.after
	c.mu.Unlock()
	if now && after {
		c.node.ServeHTTP(httptest.NewRecorder(), r)
	}
	if now {
		panic(http.ErrAbortHandler)
	}
	c.node.ServeHTTP(w, r)
}

// TestOnboardGoesOn cuts the connection at each request of a whole onboarding, and
// runs the same command again: all end alike, with nothing made twice.
func TestOnboardGoesOn(t *testing.T) {
	t.Parallel()
	s := startSession(t, func(c *app.Config) { c.Tenants = app.Open })
	at, err := url.Parse(s.profile.URL)
	require.NoError(t, err)
	cut := &cutter{node: httputil.NewSingleHostReverseProxy(at), left: -1}
	server := httptest.NewServer(cut)
	t.Cleanup(server.Close)

	whole := ""
	for _, after := range []bool{false, true} {
		failed := 0
		for n := 0; ; n++ {
			if testing.Short() && n%4 != 0 {
				continue
			}
			dir := t.TempDir()
			env := map[string]string{"LOGLINE_CONFIG_DIR": dir, "LOGLINE_URL": server.URL}
			command := func(args ...string) (int, string, string) {
				var stdout, stderr bytes.Buffer
				code := run(t.Context(), args, stdio{strings.NewReader(""), &stdout, &stderr}, func(name string) string { return env[name] })
				return code, stdout.String(), stderr.String()
			}
			slug := fmt.Sprintf("cut-%v-%d", after, n)
			onboard := []string{"onboard", slug, "--no-passphrase", "--template", "audit-trail", "--retention", "30d", "--recovery-sheet", filepath.Join(dir, "sheet.txt"), "--yes",
				"--invite-to", "auditor", "--invite-to", "auditor", "--invite-to", "admin:bo@example.com"}
			cut.arm(n, after)
			code, out, complaint := command(onboard...)
			hit := cut.happened()
			cut.arm(-1, false)
			if code != exitOK {
				failed++
				require.NotContains(t, out+complaint, "lli_", "links are shown at the end, once")
				code, out, complaint = command(onboard...)
			}
			require.Equal(t, exitOK, code, "cut at request %d, after its effect %v: %s", n, after, complaint)
			require.Contains(t, out, "Verified here")
			_, listed, _ := command("list", "--all", "--format", "csv")
			require.Equal(t, 1, strings.Count(listed, "note.written"), listed)
			require.Equal(t, 1, strings.Count(listed, "template.applied"), listed)
			require.Equal(t, 3, strings.Count(listed, "invitation.created"), listed)
			_, invitations, _ := command("invite", "list", "--json")
			require.Equal(t, 3, strings.Count(invitations, `"state":"open"`), invitations)
			links := regexp.MustCompile(`http\S+#invite=lli_\S+`).FindAllString(out, -1)
			require.Len(t, links, 3, out)
			if n == 0 { // they work
				code, out, complaint = command("invite", "accept", links[2], "--no-passphrase", "--profile", "bo", "--key-file", filepath.Join(dir, "bo.key"))
				require.Equal(t, exitOK, code, complaint)
				require.Contains(t, out, "You are admin of ")
			}
			if whole == "" {
				whole = listed
			}
			require.Equal(t, strings.Count(whole, "\n"), strings.Count(listed, "\n"), "%s\n%s", whole, listed)
			require.NoFileExists(t, filepath.Join(dir, "onboarding", "default.json"))
			if !hit {
				break
			}
		}
		require.Positive(t, failed)
	}
}

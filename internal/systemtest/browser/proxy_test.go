package browser

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/program"
)

// between stands between the browser and a node: it loses answers, or tells
// something else than the node does.
type between struct {
	URL string

	mu    sync.Mutex // guards the rest
	lose  bool       // every other answer, the first included, to what is no GET
	turns map[string]int
	lies  func(path, answer string) string
	bends func(path, body string) string // what is sent
}

// put puts a proxy before a node.
func put(t *testing.T, node string) *between {
	t.Helper()
	to, err := url.Parse(node)
	require.NoError(t, err)
	p := &between{turns: map[string]int{}}
	forward := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host; p.bend(r.Out) },
		ModifyResponse: p.answer,
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0), // of the answers that are lost
	}
	server := httptest.NewServer(forward)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// bend changes what the browser sends.
func (p *between) bend(r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bends == nil || r.Body == nil {
		return
	}
	body, _ := io.ReadAll(r.Body) // what is cut short is no JSON to the node
	body = []byte(p.bends(r.URL.Path, string(body)))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

var errLost = errors.New("the answer is lost")

// answer changes what a node answered, or loses it.
func (p *between) answer(r *http.Response) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lose && r.Request.Method != http.MethodGet {
		at := r.Request.Method + r.Request.URL.Path
		if p.turns[at]++; p.turns[at]%2 == 1 {
			// After the first byte, or browsers would ask again by themselves.
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), iotest.ErrReader(errLost)))
			return nil
		}
	}
	if p.lies == nil || r.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	body = []byte(p.lies(r.Request.URL.Path, string(body)))
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

func (p *between) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// Each answer is lost once, and the page is loaded anew at each step: what was done
// is done once, and the journey goes on where it was.
func TestOnboardingOverABadConnection(t *testing.T) {
	t.Parallel()
	s := node(t)
	p := put(t, s.URL)
	p.set(func() { p.lose = true })
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	again := func(heading string) { // until the answers have come
		g.t.Helper()
		g.wait("the step "+heading, func() (bool, error) {
			if found, err := g.named("heading", heading); err != nil || len(found) == 1 {
				return len(found) == 1, err
			}
			if !strings.Contains(g.text(), "could not be reached") {
				return false, nil
			}
			button := "Continue"
			if found, err := g.named("button", "Sign and record"); err == nil && len(found) == 1 {
				button = "Sign and record"
			}
			g.press("button", button)
			return false, nil
		})
		g.heading(heading)
	}
	reload := func(heading string) { g.visit(p.URL + "/onboard"); g.heading(heading) }

	g.visit(p.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.heading("Your organisation")
	reload("Your organisation")
	g.organise()
	g.heading("Your key, and a way back")
	reload("Your key, and a way back")
	g.keepSheet()
	g.shows("could not be reached")
	reload("Your key, and a way back")
	g.press("button", "Continue")
	again("Begin with a template")
	reload("Begin with a template")
	g.press("button", "Continue")
	again("Invite somebody")
	reload("Invite somebody")
	g.press("button", "Continue")
	again("Your first record")
	reload("Your first record")
	g.record("Ana opened the books of Acme.")
	again("See for yourself")
	reload("See for yourself")
	g.wait("the verdict", func() (bool, error) {
		text := g.text()
		if strings.Contains(text, "could not be reached") {
			g.press("button", "Check again")
		}
		return strings.Contains(text, "Verified"), nil
	})
	require.NotContains(t, g.text(), "Not verified")
	notes := strings.Count(eval[string](g.tab, bundleOf), `"type":"note.recorded"`)
	require.Equal(t, 1, notes, "a record that was sent twice is there once")
}

// bundleOf is the timeline as the page's own identity reads it.
const bundleOf = `(async () => {
	const { load } = await import("/onboard/page/keep.js");
	const { signerOf } = await import("/onboard/lib/crypto.js");
	const { signToken } = await import("/onboard/lib/tokens.js");
	const { me, node, tenant } = await load("journey");
	const token = await signToken(signerOf(me.key, me.privateKey), me.id, node.id);
	return (await fetch("/v1/tenants/" + tenant.id + "/bundle", { headers: { Authorization: "Bearer " + token } })).text();
})()`

// A server that lies about the record, the proof, the checkpoint, the timeline or
// itself is found out in the browser.
func TestALyingServerIsFoundOut(t *testing.T) {
	t.Parallel()
	s, other := node(t), node(t)
	p := put(t, s.URL)
	g := proven(t, s, p)
	stranger := get(t, other.URL+"/v1/node")

	const signed, whole, key = "It is what you signed", "Every entry so far holds", "The server's key signed it"
	for _, lie := range []struct {
		what, path, check, says string
		tell                    func(string) string
	}{
		{"another record", "/receipt", signed, refusedAs, instead(`"note.recorded"`, `"note.revoked"`)},
		{"another time", "/receipt", "The entry has the fingerprint that the receipt says", "the receipt says", later},
		{"another place", "/receipt", "It is in the timeline", "The proof is of leaf", instead(`"inclusion":{"index":`, `"inclusion":{"index":1`)},
		{"another proof", "/receipt", "It is in the timeline", "leads to root", flipped(regexp.MustCompile(`"hashes":\["`), 5)},
		{"a checkpoint that nobody signed", "/receipt", key, "does not verify", flipped(signature, 40)},
		{"an altered payload", "/bundle", whole, "one of the three was altered", instead(`"text":"Ana`, `"text":"Eve`)},
		{"an entry that was moved in time", "/bundle", whole, "do not lead to the root", later},
		{"an entry less", "/bundle", whole, "The bundle holds", func(text string) string { return text[:strings.LastIndex(strings.TrimSuffix(text, "\n"), "\n")+1] }},
		{"a timeline that nobody signed", "/bundle", whole, "does not verify", flipped(signature, 40)},
		{"another node", "/v1/node", key, "another node than the one you met", func(string) string { return stranger }},
	} {
		t.Log(lie.what)
		g.isLiedTo(p, lie.path, lie.tell, lie.check, lie.says)
	}

	// A history that is not the one which this browser has seen before, signed as it
	// may be.
	eval[chromedp.Void](g.tab, `import("/onboard/page/keep.js").then(async ({ load, keep }) => {
		const state = await load("journey");
		const lines = state.noted.split("\n");
		lines[2] = (lines[2][0] === "A" ? "B" : "A") + lines[2].slice(1);
		await keep("journey", { ...state, noted: lines.join("\n") });
	})`)
	g.visit(p.URL + "/onboard")
	g.shows("Not verified")
	require.Contains(t, g.text(), "are not those that this browser saw before")
}

// proven is somebody who has come to the proof, through a proxy that is honest so far.
func proven(t *testing.T, s *program.Server, p *between) *guest {
	t.Helper()
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(p.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.keepSheet()
	g.heading("Begin with a template")
	g.press("radio", "Nothing yet")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	return g
}

// isLiedTo has the page check again while the answers at some path are lies, which
// it says, and once more while they are not.
func (g *guest) isLiedTo(p *between, path string, tell func(string) string, check, says string) {
	g.t.Helper()
	var told atomic.Bool
	p.set(func() {
		p.lies = func(at, answer string) string {
			if !strings.HasSuffix(at, path) {
				return answer
			}
			lied := tell(answer)
			told.Store(lied != answer)
			return lied
		}
	})
	g.press("button", "Check again")
	g.shows("Not verified")
	require.True(g.t, told.Load(), "the lie at %s that %q changes nothing", path, says)
	text := g.text()
	require.Contains(g.t, text, "This check failed: "+check)
	require.Contains(g.t, strings.ToLower(text), strings.ToLower(says))
	require.NotContains(g.t, text, "Checked in this browser")
	if says == refusedAs {
		g.picture("onboarding-refused")
	}
	p.set(func() { p.lies = nil })
	g.press("button", "Check again")
	g.shows("Checked in this browser")
}

// refusedAs is the lie that is shown in docs/onboarding.md.
const refusedAs = "not the span that you signed"

// A timeline that is too long for a phone is checked by its checkpoint, and by the
// one that the browser kept.
func TestALongTimelineIsCheckedByItsCheckpoint(t *testing.T) {
	t.Parallel()
	s := node(t)
	p := put(t, s.URL)
	g := proven(t, s, p)
	require.Equal(t, 3100, eval[int](g.tab, `(async () => {
		const { load } = await import("/onboard/page/keep.js");
		const { signerOf } = await import("/onboard/lib/crypto.js");
		const { sealSpan } = await import("/onboard/lib/spans.js");
		const { me, tenant } = await load("journey");
		const said = { tenant: tenant.id, author: me.id, type: "note.recorded", visibility: "organization", payload: {} };
		const spans = await Promise.all(Array.from({ length: 3100 }, () => sealSpan(signerOf(me.key, me.privateKey), said)));
		const answer = await fetch("/v1/tenants/" + tenant.id + "/spans", { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body: spans.map((s) => JSON.stringify(s) + "\n").join("") });
		return (await answer.text()).trim().split("\n").filter((line) => JSON.parse(line).status === 201).length;
	})()`))
	g.press("button", "Check again")
	g.shows("is for the command line to check")
	g.shows("are the beginning of these")

	const key, rewritten = "The server's key signed it", "Nothing was rewritten since you came"
	g.isLiedTo(p, "/receipt", flipped(signature, 40), key, "does not verify")
	g.isLiedTo(p, "/v1/node", func(string) string { return get(t, node(t).URL+"/v1/node") }, key, "another node than the one you met")
	g.isLiedTo(p, "/proofs/consistency", flipped(regexp.MustCompile(`"hashes":\["`), 5), rewritten, "leads to another root")
}

// signature is where the signature of a checkpoint begins, in JSON.
var signature = regexp.MustCompile(`— logline/v1/\S+ `)

func instead(of, with string) func(string) string {
	return func(text string) string { return strings.Replace(text, of, with, 1) }
}

// flipped changes the n-th character behind what matches.
func flipped(behind *regexp.Regexp, n int) func(string) string {
	return func(text string) string {
		found := behind.FindStringIndex(text)
		if found == nil {
			return text
		}
		out := []byte(text)
		if at := found[1] + n; out[at] == 'A' {
			out[at] = 'B'
		} else {
			out[at] = 'A'
		}
		return string(out)
	}
}

// later has the last entry of an answer recorded some milliseconds later.
func later(text string) string {
	const name = `"recorded_at":"2026-11-26T00:00:00.000`
	at := strings.LastIndex(text, name[:15]) + len(name) - 3
	return text[:at] + "999" + text[at+3:]
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

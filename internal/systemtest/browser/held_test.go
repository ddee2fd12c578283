package browser

import (
	"crypto/rand"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// keeper is a node that keeps people's keys.
func keeper(t *testing.T) *program.Server {
	t.Helper()
	master, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	return nodeWith(t, []string{"LOGLINE_MASTER_KEY=" + master})
}

// The server keeps the key, behind a password: what it signs is checked in the
// browser all the same.
func TestTheServerKeepsTheKeyOfWhoeverChoosesSo(t *testing.T) {
	t.Parallel()
	s := keeper(t)
	p := put(t, s.URL)
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(p.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	g.press("radio", "The server, behind a password")
	g.press("button", "Continue")
	g.complains("textbox", "Password", "Choose a password")
	g.fill("Password", "short")
	g.press("button", "Continue")
	g.complains("textbox", "Password", "at least")
	g.fill("Password", "correct horse battery staple")
	p.set(func() { p.lose = true })
	g.press("button", "Continue")
	g.shows("could not be reached")
	p.set(func() { p.lose = false })
	g.press("button", "Continue")
	g.heading("Begin with a template")
	require.Equal(t, true, eval[bool](g.tab, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then((s) => s.held && s.me.privateKey === undefined)`))
	require.Empty(t, eval[string](g.tab, `document.cookie`), "scripts do not see the session")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Make an invitation")
	g.find("textbox", "Invitation link 1")
	g.press("button", "Continue")
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	g.shows("It is what you wrote")

	// The account page invites, and takes it back, by the server's signature.
	g.account(p.URL, bySession)
	g.press("button", "Make an invitation")
	g.find("textbox", "Invitation link")
	g.press("button", g.label("Withdraw the invitation of member"))
	g.press("button", "Yes, withdraw it")
	g.shows("1 more were accepted, withdrawn, or have ended.") // the one made before is open
	g.proves("")

	// Something else than was written is signed by the server's own key, and so holds
	// in itself.
	g.visit(p.URL + "/onboard")
	g.shows("Checked in this browser")
	p.set(func() { p.bends = func(_, body string) string { return instead("Ana opened", "Eve opened")(body) } })
	eval[chromedp.Void](g.tab, `import("/onboard/page/keep.js").then(async ({ load, keep }) => keep("journey", { ...(await load("journey")), step: "first" }))`)
	g.visit(p.URL + "/onboard")
	g.record("Ana opened the books of Acme, once more.")
	g.heading("See for yourself")
	g.shows("Not verified")
	require.Contains(t, g.text(), "This check failed: It is what you wrote")
	require.Contains(t, g.text(), "does not hold what you wrote")
}

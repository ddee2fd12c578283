package browser

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// An auditor is invited by a link: reads and verifies, and adds nothing. The link
// works once.
func TestAnAuditorJoinsByALink(t *testing.T) {
	t.Parallel()
	s := node(t)
	ana := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	ana.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	ana.who()
	ana.organise()
	ana.keepSheet()
	ana.heading("Begin with a template")
	ana.press("button", "Continue")
	ana.heading("Invite somebody")
	ana.press("radio", "Auditor")
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link 1")
	ana.picture("onboarding-5-people")
	link := eval[string](ana.tab, `document.getElementById("field-link-1").value`)
	require.True(t, strings.HasPrefix(link, s.URL+"/onboard#invite=lli_"), link)
	ana.press("button", "Continue")
	ana.record("Ana opened the books of Acme.")
	ana.heading("See for yourself")
	ana.shows("Checked in this browser")

	bea := &guest{tab: open(t), name: "Bea"}
	bea.visit(link)
	bea.heading("Who are you?")
	bea.shows("You were invited to Acme as auditor")
	bea.who()
	bea.keepSheet()
	bea.heading("See for yourself")
	bea.shows("Checked in this browser")
	bea.shows("You are auditor in it")
	bea.picture("onboarding-9-auditor")
	require.NotContains(t, eval[string](bea.tab, `localStorage.length + location.href`), "lli_", "the invitation does not stay in the address")
	require.Contains(t, eval[string](bea.tab, append1), "append_forbidden", "an auditor adds nothing")

	// Opened again by the same person it is what it was; for anybody else it is used.
	bea.visit(link)
	bea.heading("See for yourself")
	eve := &guest{tab: open(t), name: "Eve"}
	eve.visit(link)
	eve.heading("This invitation cannot be used")
}

// Who has an identity in this browser joins with it, and keeps its key.
func TestJoinsWithTheIdentityOfThisBrowser(t *testing.T) {
	t.Parallel()
	s := node(t, "--tenants", "open")
	found := func(g *guest, token string) {
		g.t.Helper()
		g.visit(s.URL + "/onboard" + token)
		g.who()
		g.organise()
		g.keepSheet()
		g.heading("Begin with a template")
		g.press("radio", "Nothing yet")
		g.press("button", "Continue")
		g.heading("Invite somebody")
	}
	ana := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	found(ana, "#token="+setupToken(t, s))
	ana.press("radio", "Member")
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link 1")
	link := eval[string](ana.tab, `document.getElementById("field-link-1").value`)

	bea := &guest{tab: open(t), name: "Bea", organisation: "Bea and Sons"}
	found(bea, "")
	who := eval[string](bea.tab, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then((s) => s.me.id)`)
	bea.visit(link)
	bea.heading("Your key, and a way back")
	bea.shows("You join Acme as member, with the key in this browser")
	bea.press("button", "Continue")
	bea.record("Bea counted the stock of Acme.")
	bea.heading("See for yourself")
	bea.shows("Checked in this browser")
	bea.shows(who)

	// Of several organisations the account shows the one that is asked for.
	bea.account(s.URL, byKey)
	bea.shows("You are member")
	bea.press("button", "Show acme")
	bea.loaded()
	bea.shows("Bea counted the stock of Acme.")
	require.NotContains(t, bea.text(), "Make an invitation", "a member invites nobody")
	bea.press("button", "Show bea-and-sons")
	bea.loaded()
	bea.find("button", "Make an invitation")
}

// A node that registers nobody but whom it has a reason to lets in its first owner by
// the setup token, and by an invitation somebody whose key it keeps.
func TestOnboardingWhereRegistrationIsByInvitation(t *testing.T) {
	t.Parallel()
	s := node(t, "--registration", "invite")
	ana := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	ana.visit(s.URL + "/onboard")
	ana.who()
	ana.organise()
	ana.keepSheet()
	ana.complains("textbox", "Setup token", "invited")
	ana.fill("Setup token", setupToken(t, s))
	ana.press("button", "Continue")
	ana.heading("Your key, and a way back")
	ana.press("button", "Continue")
	ana.heading("Begin with a template")
	ana.press("radio", "Nothing yet")
	ana.press("button", "Continue")
	ana.heading("Invite somebody")
	ana.press("radio", "Member")
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link 1")
	link := eval[string](ana.tab, `document.getElementById("field-link-1").value`)

	bea := &guest{tab: open(t), name: "Bea"}
	bea.visit(link)
	bea.who()
	bea.heading("Your key, and a way back")
	bea.press("radio", "The server, behind a password")
	bea.fill("Password", "correct horse battery staple")
	bea.press("button", "Continue")
	bea.record("Bea counted the stock of Acme.")
	bea.heading("See for yourself")
	bea.shows("Checked in this browser")
	bea.shows("It is what you wrote")
}

package browser

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
)

// here is a node by the name for which browsers have passkeys.
func here(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

// loaded waits until each part of the account page has come.
func (b *tab) loaded() {
	b.t.Helper()
	b.wait("all parts of the page", func() (bool, error) {
		return eval[bool](b, `document.querySelector("section") !== null && document.querySelector("[aria-busy]") === null`), nil
	})
}

// account opens the account page, which has something of its own for who comes so.
func (b *tab) account(url, by string) {
	b.t.Helper()
	b.visit(url + "/account")
	b.heading("Your account")
	b.shows(by)
	b.loaded()
}

// label is the whole name of the first thing whose name begins so.
func (b *tab) label(begins string) string {
	b.t.Helper()
	var label string
	b.wait("something called "+begins, func() (bool, error) {
		label = eval[string](b, fmt.Sprintf(`document.querySelector('[aria-label^="%s"]')?.getAttribute("aria-label") ?? ""`, begins))
		return label != "", nil
	})
	return label
}

const (
	byKey     = "You come by the key in this browser."
	bySession = "You are signed in."
)

// Somebody who was onboarded sees all of what they have, changes it, and signs in by
// a passkey too.
func TestTheAccountOfWhoeverHasAKey(t *testing.T) {
	t.Parallel()
	s := node(t)
	home := here(s.URL)
	g := &guest{tab: open(t), name: "Ana Silva", organisation: "Acme"}
	g.authenticator()
	g.visit(home + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.keepSheet()
	g.heading("Begin with a template")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	g.press("link", "Go to your account")
	g.heading("Your account")
	g.shows(byKey)
	g.loaded()
	g.picture("account-1-profile")
	for _, words := range []string{"in this browser, where nobody can read it", "logline identity recover --sheet", "You are owner", "Ana Silva @ana.silva (you)", "No invitation is open.", "no limit", "enforced", "note.recorded", "Ana opened the books of Acme."} {
		g.shows(words)
	}
	g.press("DisclosureTriangle", "Read agent.guard")
	g.shows("contract agent.guard")
	g.accessible()
	g.dark(true)
	g.accessible()
	g.dark(false)

	g.fill("Handle", "Ana!")
	g.press("button", "Save")
	g.complains("textbox", "Handle", "Use small letters")
	g.fill("Your name", "Ana Lima")
	g.fill("Handle", "ana")
	g.press("button", "Save")
	g.shows("Your profile was saved.")
	g.account(home, byKey)
	g.shows("Ana Lima @ana (you)")

	g.invites(home)
	g.proves("account-3-proof")
	g.signsInByPasskey(home)

	g.press("button", "Make an invitation")
	g.find("textbox", "Invitation link")
	g.account(home, byKey)
	g.press("button", g.label("Withdraw invitation "))
	g.press("button", "Yes, withdraw it")
	g.shows("The key was withdrawn.")
	require.NotContains(t, g.text(), "may sign logline.member")
	g.press("button", "Erase name and handle")
	g.press("button", "Yes, erase them")
	g.shows("Name and handle were erased.")
	require.Empty(t, eval[string](g.tab, `document.getElementById("field-name").value + document.getElementById("field-handle").value`))
	for _, refused := range []string{"exception:", "Security Policy", "Trusted"} {
		require.NotContains(t, g.errors.String(), refused)
	}
}

// invites makes an invitation and withdraws it.
func (g *guest) invites(home string) {
	g.t.Helper()
	g.press("button", "Make an invitation")
	g.find("textbox", "Invitation link")
	link := eval[string](g.tab, `document.getElementById("field-link").value`)
	require.True(g.t, strings.HasPrefix(link, home+"/onboard#invite=lli_"), link)
	g.seen("account-2-invitation", "Invitations")
	bea := open(g.t)
	bea.visit(link)
	bea.shows("You were invited to Acme as member")

	g.account(home, byKey)
	g.shows("may sign logline.member")
	require.NotContains(g.t, g.text(), "lli_")
	g.press("button", g.label("Withdraw the invitation of member"))
	g.press("button", "Yes, withdraw it")
	g.shows("No invitation is open.")
	g.account(home, byKey)
	g.shows("1 more were accepted, withdrawn, or have ended")
	g.shows("invitation.revoked")
	require.NotContains(g.t, g.text(), "may sign logline.member", "the invitation's key is withdrawn too")
	late := open(g.t)
	late.visit(link)
	late.heading("This invitation cannot be used")
}

// seen is a picture of a part of the page.
func (b *tab) seen(name, heading string) {
	b.t.Helper()
	eval[chromedp.Void](b, fmt.Sprintf(`[...document.querySelectorAll("h2, h3")].find((h) => h.textContent === %q).scrollIntoView()`, heading))
	b.snap(name)
}

// proves checks the proof of the last record.
func (g *guest) proves(picture string) {
	g.t.Helper()
	check := g.label("Check the proof of number")
	g.press("button", check)
	g.shows("Checked in this browser: number " + strings.TrimPrefix(check, "Check the proof of number "))
	for _, words := range []string{"It is what this page shows", "It is in the timeline", "Every entry so far holds", "You are owner in it", "The server's key signed it", "are still the same"} {
		require.Contains(g.t, g.text(), words)
	}
	g.seen(picture, "Last records")
}

func (g *guest) signsInByPasskey(home string) {
	g.t.Helper()
	g.press("button", "Open a login")
	g.press("button", "Add a passkey")
	g.complains("textbox", "What do you call the new passkey?", "Give it a name")
	g.fill("What do you call the new passkey?", "This phone")
	g.press("button", "Add a passkey")
	g.shows("For localhost")
	g.press("button", "Rename This phone")
	g.fill("New name for This phone", "My phone")
	g.press("button", "Save the name of This phone")
	g.find("button", "Remove My phone")
	g.seen("account-4-passkeys", "Passkeys")

	g.press("button", "Sign in as somebody else, or in another way")
	g.heading("Sign in")
	g.accessible()
	g.picture("account-5-sign-in")
	g.press("button", "Sign in with a passkey")
	g.heading("Your account")
	g.shows(bySession)
	g.loaded()
	g.shows("by passkey, since")
	require.NotContains(g.t, g.text(), "Invitations", "a session of an identity with its own keys invites nobody")
	g.press("button", "Remove My phone")
	g.press("button", "Yes, remove it")
	g.shows("You have none yet")

	g.press("button", "Sign out here")
	g.heading("Sign in")
	g.press("button", "Use the key in this browser")
	g.heading("Your account")
	g.shows(byKey)
	g.account(home, byKey)
}

// What the server holds the keys of is signed in to by a password and a second
// factor, sees where, ends it there, and goes.
func TestTheAccountOfWhoeverSignsIn(t *testing.T) {
	t.Parallel()
	s := keeper(t)
	const password = "correct horse battery staple"
	b := open(t)
	b.visit(s.URL + "/account")
	b.heading("Sign in")
	require.Contains(t, b.asks("api", `m.json("POST", "accounts", { body: { custody: true, handle: "ana", name: "Ana", password: "`+password+`", cookie: true } })`), `"handle":"ana"`)
	b.account(s.URL, bySession)
	b.shows("by this server, which signs for you")
	b.shows("None yet.")
	code := b.secondFactor()

	other := open(t)
	other.visit(s.URL + "/account")
	other.heading("Sign in")
	other.press("button", "Sign in")
	other.complains("textbox", "Handle, address or LogLine ID", "Write your handle")
	other.fill("Handle, address or LogLine ID", "ana")
	other.fill("Password", "wrong horse battery staple")
	other.press("button", "Sign in")
	other.complains("textbox", "Password", "password")
	other.fill("Password", password)
	other.press("button", "Sign in")
	other.find("textbox", "Code")
	other.visit(s.URL + "/account")
	other.fill("Code", "000000")
	other.press("button", "Go on")
	other.complains("textbox", "Code", "wrong")
	other.fill("Code", code)
	other.press("button", "Go on")
	other.heading("Your account")
	other.shows("by password, since")

	b.account(s.URL, bySession)
	b.picture("account-6-signed-in")
	b.press("button", b.label("Sign out number"))
	b.shows("That session has ended.")
	other.visit(s.URL + "/account")
	other.heading("Sign in")

	b.press("button", "Erase my account")
	b.press("button", "Leave it")
	b.press("button", "Erase my account")
	b.press("button", "Yes, erase my account")
	b.heading("Sign in")
	b.fill("Handle, address or LogLine ID", "ana")
	b.fill("Password", password)
	b.press("button", "Sign in")
	b.complains("textbox", "Password", "password")
}

// secondFactor has the account need one from now on, and gives a recovery code.
func (b *tab) secondFactor() string {
	b.t.Helper()
	var offer struct{ Secret string }
	require.NoError(b.t, json.Unmarshal([]byte(b.asks("api", `m.json("POST", "account/totp")`)), &offer))
	code, err := totp.GenerateCode(offer.Secret, time.Now())
	require.NoError(b.t, err)
	var confirmed struct{ Codes []string }
	require.NoError(b.t, json.Unmarshal([]byte(b.asks("api", fmt.Sprintf(`m.json("POST", "account/totp/confirm", { body: { code: "%s" } })`, code))), &confirmed))
	require.NotEmpty(b.t, confirmed.Codes)
	return confirmed.Codes[0]
}

// What the page shows of a record, and a proof that is a lie, are found out there too;
// one part that does not come leaves the others.
func TestALyingServerIsFoundOutOnTheAccountPage(t *testing.T) {
	t.Parallel()
	s := node(t)
	p := put(t, s.URL)
	g := proven(t, s, p)
	g.account(p.URL, byKey)
	g.proves("")
	check := g.label("Check the proof of number")
	refuses := func(title, says string) {
		g.t.Helper()
		g.press("button", check)
		g.shows("This check failed: " + title)
		require.Contains(t, g.text(), says)
		require.NotContains(t, g.text(), "Checked in this browser")
	}
	lie := func(path string, tell func(string) string) {
		p.set(func() {
			p.lies = func(at, answer string) string {
				if !strings.HasSuffix(at, path) {
					return answer
				}
				return tell(answer)
			}
		})
	}
	lie("/receipt", instead(`"note.recorded"`, `"note.revoked"`))
	refuses("It is what this page shows", "another one than this page shows")
	lie("/bundle", instead(`"text":"Ana`, `"text":"Eve`))
	refuses("Every entry so far holds", "one of the three was altered")
	lie("/receipt", flipped(signature, 40))
	refuses("The server's key signed it", "does not verify")
	for _, told := range []func(string) string{instead(`"text":"Ana`, `"text":"Eve`), instead(`"type":"note.recorded"`, `"type":"note.revoked"`), instead(`"recorded_at":"20`, `"recorded_at":"19`)} {
		lie("/spans", told)
		g.account(p.URL, byKey)
		refuses("It is what this page shows", "this page shows")
	}
	g.seen("account-7-refused", "Last records")

	lie("/usage", func(string) string { return "no JSON" })
	g.account(p.URL, byKey)
	g.find("button", "Try again: Usage")
	g.shows("Ana opened the books of Acme.")
	p.set(func() { p.lies = nil })
	g.press("button", "Try again: Usage")
	g.shows("no limit")

	stranger := get(t, node(t).URL+"/v1/node")
	lie("/v1/node", func(string) string { return stranger })
	g.visit(p.URL + "/account")
	g.heading("This is another server than before")
}

package browser

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
)

// founder is somebody with an organisation, who has come to the proof.
func founder(t *testing.T, url, token string) *guest {
	t.Helper()
	g := &guest{tab: open(t), name: "Ana Silva", organisation: "Acme"}
	g.visit(url + "/onboard#token=" + token)
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

// door opens a door on the account page, which is shown, and gives its link.
func (g *guest) door(uses int) string {
	g.t.Helper()
	g.fill("How many may come", fmt.Sprint(uses))
	g.press("button", "Open a door")
	g.shows(fmt.Sprintf("0 of %d came", uses))
	g.find("textbox", "Link of the door")
	return eval[string](g.tab, `document.getElementById("field-door-link").value`)
}

// comes visits by a door's link and puts something on record.
func (g *guest) comes(link, text string) {
	g.t.Helper()
	g.visit(link)
	g.heading("Come in as a visitor")
	g.press("button", "Visit Acme")
	g.notes(text)
}

func (g *guest) notes(text string) {
	g.t.Helper()
	g.heading("Your record")
	g.fill("What do you want to put on record?", text)
	g.press("button", "Sign and record")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
}

// A visitor comes by a door's link in a phone, puts something on record, proves it, and
// becomes somebody whose record it is.
func TestAVisitorComesByADoorAndStays(t *testing.T) {
	t.Parallel()
	s := node(t)
	ana := founder(t, s.URL, setupToken(t, s))
	ana.account(s.URL, byKey)
	ana.fill("How many may come", "0")
	ana.press("button", "Open a door")
	ana.complains("textbox", "How many may come", "from 1 to 1000")
	link := ana.door(2)
	require.True(t, strings.HasPrefix(link, s.URL+"/onboard#invite=lli_"), link)
	ana.accessible()
	ana.seen("ghost-1-door", "Doors for visitors")

	g := &guest{tab: open(t), name: "Bo"}
	everybody := func() {
		g.t.Helper()
		g.accessible()
		g.dark(true)
		g.accessible()
		g.dark(false)
	}
	g.visit(link)
	g.heading("Come in as a visitor")
	for _, words := range []string{"Ana Silva @ana.silva opened a door of Acme for visitors.", "Acme (acme)", "Your visit ends", "Nothing else"} {
		g.shows(words)
	}
	require.NotContains(t, eval[string](g.tab, `location.href`), "lli_")
	g.picture("ghost-2-visitor")
	everybody()
	g.press("button", "Visit Acme")
	g.heading("Your record")
	everybody()
	g.notes("Bo found a wallet at the door.")
	for _, words := range []string{"It is what you signed", "The server's key signed it", "are the beginning of these", "not for guests to read"} {
		g.shows(words)
	}
	g.picture("ghost-3-proof")
	everybody()
	g.press("button", "Go on")

	g.heading("Stay, or leave it at that")
	everybody()
	g.press("button", "Become a member of LogLine")
	g.complains("textbox", "Your name", "Write your name")
	g.fill("Your name", g.name)
	g.press("button", "Become a member of LogLine")
	g.complains("checkbox", "I have printed or saved my recovery sheet", "Print or save")
	g.picture("ghost-4-stay")
	g.press("button", "Save as a file")
	g.press("checkbox", "I have printed or saved my recovery sheet")
	g.press("button", "Become a member of LogLine")
	g.heading("What you did here is yours")
	g.shows("this browser checked both signatures")
	g.shows("You hold no role in Acme")
	g.picture("ghost-5-yours")
	everybody()
	require.Empty(t, g.errors.String())

	// Invited by name, they find among their records what they did as a visitor.
	ana.account(s.URL, byKey)
	ana.shows("1 of 2 came")
	ana.shows("Visitor ")
	ana.shows(", now ")
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link")
	g.visit(eval[string](ana.tab, `document.getElementById("field-link").value`))
	g.heading("Your key, and a way back")
	g.shows("You join Acme as member, with the key in this browser")
	g.press("button", "Continue")
	g.record("Bo gave the wallet back.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	g.account(s.URL, byKey)
	yours := eval[string](g.tab, `[...document.querySelectorAll("section")].filter((e) => e.querySelector("h3")?.textContent === "Your records").at(-1).innerText`)
	require.Contains(t, yours, "Bo gave the wallet back.")
	require.Contains(t, yours, "Bo found a wallet at the door.")
	require.Equal(t, 1, strings.Count(yours, "as a visitor"))
	g.seen("ghost-7-records", "Your records")
}

// patch changes what the browser keeps of the visit that it shows.
func (g *guest) patch(change string) {
	g.t.Helper()
	eval[chromedp.Void](g.tab, `import("/onboard/page/keep.js").then(async ({ load, keep }) => {
		const record = await load("current");
		const v = await load(record);
		`+change+`;
		await keep(record, v);
	})`)
}

// A door lets in as many as it says, whatever answers are lost; who comes late is told,
// and so is whoever comes back when the visit has ended.
func TestVisitorsOverABadConnection(t *testing.T) {
	t.Parallel()
	s := node(t)
	ana := founder(t, s.URL, setupToken(t, s))
	ana.account(s.URL, byKey)
	link := ana.door(2)
	p := put(t, s.URL)
	g := &guest{tab: open(t), name: "Bo"}
	late := &guest{tab: open(t), name: "Cy"}
	late.visit(link)
	late.heading("Come in as a visitor")

	p.set(func() { p.lose = true })
	again := func(button, heading string) {
		g.t.Helper()
		g.press("button", button)
		g.wait("the step "+heading, func() (bool, error) {
			if found, err := g.named("heading", heading); err != nil || len(found) == 1 {
				return len(found) == 1, err
			}
			if strings.Contains(g.text(), "could not be reached") {
				g.press("button", button)
			}
			return false, nil
		})
	}
	reload := func(heading string) { g.visit(p.URL + "/onboard"); g.heading(heading) }
	g.visit(strings.Replace(link, s.URL, p.URL, 1))
	g.press("button", "Try again") // looking was lost
	g.heading("Come in as a visitor")
	reload("Come in as a visitor")
	g.press("button", "Visit Acme")
	g.shows("could not be reached")
	reload("Come in as a visitor")
	again("Visit Acme", "Your record")
	reload("Your record")
	g.fill("What do you want to put on record?", "Bo found a wallet.")
	again("Sign and record", "See for yourself")
	reload("See for yourself")
	g.shows("Checked in this browser")
	g.press("button", "Go on")
	g.heading("Stay, or leave it at that")
	reload("Stay, or leave it at that")
	p.set(func() { p.lose = false })
	g.visit(strings.Replace(link, s.URL, p.URL, 1))
	g.heading("Stay, or leave it at that")
	ana.account(s.URL, byKey)
	ana.shows("1 of 2 came")

	// Somebody whose only key here is a ghost's.
	g.visit(p.URL + "/account")
	g.heading("Your visits")
	g.loaded()
	for _, words := range []string{"You come as", "Bo found a wallet.", "Ends"} {
		g.shows(words)
	}
	g.accessible()
	g.picture("ghost-6-account")
	g.press("button", g.label("Check the proof of number"))
	g.shows("Verified")
	g.press("button", "Put something on record")
	g.notes("Bo gave it to the porter.")
	g.visit(p.URL + "/account")
	g.heading("Your visits")
	g.press("button", "Become a member of LogLine")
	g.heading("Stay, or leave it at that")

	// The other use goes to somebody whose ghost ends soon, by the server's word.
	soon := &guest{tab: open(t), name: "Dan"}
	soon.visit(link)
	soon.heading("Come in as a visitor")
	soon.patch(`v.invitation.expires = new Date(Date.now() + 8000).toISOString()`)
	soon.visit(s.URL + "/onboard")
	soon.heading("Come in as a visitor")
	soon.press("button", "Visit Acme")
	soon.heading("Your record")
	soon.patch(`v.me.expires = new Date(Date.now() + 3600000).toISOString()`)
	soon.visit(s.URL + "/onboard")
	soon.heading("Your record")
	soon.wait("the end of the ghost", func() (bool, error) {
		return eval[bool](soon.tab, `import("/onboard/page/keep.js").then(async ({ load }) => (await load(await load("current"))).invitation.expires < new Date().toISOString())`), nil
	})
	soon.fill("What do you want to put on record?", "Dan comes late.")
	soon.press("button", "Sign and record")
	soon.heading("Your visit has ended")
	soon.accessible()
	soon.visit(s.URL + "/account")
	soon.heading("Your visits")
	soon.shows("This visit has ended")
	soon.visit(s.URL + "/onboard")
	soon.heading("Your visit has ended")
	soon.press("button", "Forget this visit")
	soon.heading("Who are you?")

	// The door is full: who has looked before is told, and who looks now.
	late.press("button", "Visit Acme")
	late.shows("This door lets nobody in any more: it is full, was withdrawn, or has ended.")
	require.NotContains(t, late.text(), "null")
	nobody := open(t)
	nobody.visit(link)
	nobody.heading("This invitation cannot be used")
	nobody.shows("once it is full")
	ana.account(s.URL, byKey)
	ana.shows("2 of 2 came, it is full")

	// A door that is withdrawn.
	link = ana.door(5)
	late.visit(link)
	late.heading("Come in as a visitor")
	ana.press("button", ana.label("Withdraw the door"))
	ana.press("button", "Yes, withdraw it")
	ana.shows("1 more were withdrawn or have ended.")
	late.press("button", "Visit Acme")
	late.shows("it is full, was withdrawn, or has ended")
}

// Whose key the server holds opens doors too. Where nobody registers who just comes, a
// visitor claims the ghost by a key elsewhere, with the command.
func TestAVisitorIsClaimedByAKeyElsewhere(t *testing.T) {
	t.Parallel()
	master, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	s := nodeWith(t, []string{"LOGLINE_MASTER_KEY=" + master}, "--registration", "invite")
	ana := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	ana.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	ana.who()
	ana.organise()
	ana.heading("Your key, and a way back")
	ana.press("radio", "The server, behind a password")
	ana.fill("Password", "correct horse battery staple")
	ana.press("button", "Continue")
	ana.heading("Begin with a template")
	ana.press("radio", "Nothing yet")
	ana.press("button", "Continue")
	ana.heading("Invite somebody")
	ana.account(s.URL, bySession)
	link := ana.door(3)
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link")
	invitation := eval[string](ana.tab, `document.getElementById("field-link").value`)

	g := &guest{tab: open(t), name: "Bo"}
	g.comes(link, "Bo found a wallet.")
	g.press("button", "Go on")
	g.heading("Stay, or leave it at that")
	g.shows("This server registers whoever is invited.")
	eval[chromedp.Void](g.tab, `document.querySelector("details").setAttribute("open", "")`)
	g.fill("Its LogLine ID", "bo")
	g.press("button", "Sign, and save as a file")
	g.complains("textbox", "Its LogLine ID", "the whole LogLine ID")
	g.press("button", "Look whether it is claimed")
	g.shows("Nobody has claimed it yet.")

	dir := t.TempDir()
	logline := func(args ...string) string {
		t.Helper()
		path, err := binary()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "LOGLINE_CONFIG_DIR="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	logline("invite", "accept", invitation, "--no-passphrase", "--handle", "bo")
	var bo struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(logline("identity", "show", "--json")), &bo))
	offer := filepath.Join(dir, "logline-claim.json")
	require.NoError(t, os.WriteFile(offer, []byte(eval[string](g.tab, `Promise.all([import("/onboard/page/keep.js"), import("/onboard/page/ghost.js")]).then(async ([{ load }, { offerTo }]) => {
		const visit = await load(await load("current"));
		return JSON.stringify({ ghost: visit.me.id, claim: await offerTo(visit, "`+bo.ID+`") });
	})`)), 0o600))
	require.Contains(t, logline("identity", "claim", "--offer", offer), "is now part of "+bo.ID)
	g.press("button", "Look whether it is claimed")
	g.heading("What you did here is yours")
	g.shows(bo.ID)
	require.Contains(t, logline("list", "--author", "@bo", "--claimed"), "note.recorded")
	g.visit(s.URL + "/account")
	g.heading("Your visits")
	g.shows("It is part of")
}

// A visitor becomes somebody only where no other identity of this browser is lost, and
// the account says that a claim stands only where the server shows it.
func TestAVisitorLosesNoIdentity(t *testing.T) {
	t.Parallel()
	s := node(t)
	ana := founder(t, s.URL, setupToken(t, s))
	ana.account(s.URL, byKey)
	p := put(t, s.URL)
	g := &guest{tab: open(t), name: "Bo"}
	g.comes(strings.Replace(ana.door(2), s.URL, p.URL, 1), "Bo found a wallet.")
	g.press("button", "Go on")
	g.heading("Stay, or leave it at that")
	reload := func() { g.visit(p.URL + "/onboard"); g.heading("Stay, or leave it at that") }

	g.hasKey(`{ held: true, registered: true, me: { id: "logline-id://another" }, session: { id: "x", token: "y" } }`)
	reload()
	g.shows("The server keeps the key of your identity here")
	g.hasKey(`{ node: { id: "logline-id://elsewhere" } }`)
	reload()
	g.shows("the key of an identity at another server, logline-id://elsewhere")
	require.True(t, g.keepsKey())
	g.patch(`await (await import("/onboard/page/keep.js")).forget("journey")`)
	reload()
	g.fill("Your name", g.name)
	g.press("button", "Save as a file")
	g.press("checkbox", "I have printed or saved my recovery sheet")
	g.hasKey(`{}`)
	g.press("button", "Become a member of LogLine")
	g.shows("Another window made an identity in this browser meanwhile")
	require.True(t, g.keepsKey())
	g.patch(`await (await import("/onboard/page/keep.js")).forget("journey")`)

	events := "/v1/identities/" + eval[string](g.tab, `import("/onboard/page/keep.js").then(async ({ load }) => (await load(await load("current"))).me.id.split("//")[1])`) + "/events"
	before := get(t, s.URL+events)
	p.set(func() {
		p.lies = func(path, answer string) string {
			if path == events {
				return before
			}
			return answer
		}
	})
	g.press("button", "Become a member of LogLine")
	g.shows("The server did not keep the claim")
	g.account(p.URL, byKey)
	g.press("button", "Make the visit to acme part of my identity")
	g.shows("The server did not keep the claim")
	require.NotContains(t, eval[string](g.tab, `document.getElementById("said").textContent`), "is yours")
	p.set(func() { p.lies = nil })
	g.press("button", "Make the visit to acme part of my identity")
	g.shows("No visit is left to claim.")
	require.Empty(t, exceptions(g.tab))
}

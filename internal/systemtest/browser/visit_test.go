package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	everybody()
	g.picture("ghost-2-visitor")
	g.press("button", "Visit Acme")
	g.heading("Your record")
	everybody()
	g.notes("Bo found a wallet at the door.")
	for _, words := range []string{"It is what you signed", "The server's key signed it", "are the beginning of these", "not for guests to read"} {
		g.shows(words)
	}
	everybody()
	g.picture("ghost-3-proof")
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
	everybody()
	g.picture("ghost-5-yours")
	require.Empty(t, g.errors.String())
}

package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/secret/plant"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// paper is a sheet as it lies before whoever types it.
type paper struct{ identity, key, text string }

// sheetOn is the sheet that a page shows.
func (b *tab) sheetOn() paper {
	b.t.Helper()
	text := eval[string](b, `document.querySelector(".sheet").textContent`)
	return paperOf(b.t, text)
}

func paperOf(t *testing.T, text string) paper {
	t.Helper()
	s, err := recovery.Parse([]byte(text))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(text, "key: ")
	key, _, _ := strings.Cut(rest, "\nnode:")
	return paper{identity: s.Identity, key: strings.ReplaceAll(key, "\n     ", "\n"), text: text}
}

// types types into a field key by key, as a person does.
func (b *tab) types(name, text string) {
	b.t.Helper()
	field := b.find("textbox", name)
	b.call("focus", call(b, dom.Focus, dom.FocusParams{BackendNodeID: field}))
	b.key(strings.ReplaceAll(text, "\n", kb.Enter))
}

// recovers types a sheet at a node, and goes as far as the new one.
func (b *tab) recovers(url string, old paper) paper {
	b.t.Helper()
	b.visit(url + "/recover")
	b.heading("Recover your identity")
	b.fill("LogLine ID", old.identity)
	b.fill("Key", old.key)
	b.press("button", "Go on")
	b.heading("Keep your new sheet")
	return b.sheetOn()
}

// keepsNew keeps the new sheet, and sends the rotation.
func (b *tab) keepsNew() {
	b.t.Helper()
	b.press("button", "Save as a file")
	b.press("checkbox", "I have printed or saved my new sheet")
	b.press("button", "Recover my identity")
}

// refuses types a sheet that is refused in a sentence.
func (b *tab) refuses(url string, sheet paper, says string) {
	b.t.Helper()
	b.visit(url + "/recover")
	b.heading("Recover your identity")
	b.fill("LogLine ID", sheet.identity)
	b.fill("Key", sheet.key)
	b.press("button", "Go on")
	b.shows(says)
	require.Contains(b.t, b.text(), "Recover your identity")
}

// onboarded brings somebody in, up to the proof, and keeps their sheet.
func onboarded(t *testing.T, s *program.Server, url string) (*guest, paper) {
	t.Helper()
	g := &guest{tab: open(t), name: "Ana Silva", organisation: "Acme"}
	g.visit(url + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	sheet := g.sheetOn()
	g.keepSheet()
	g.heading("Begin with a template")
	g.press("radio", "Nothing yet")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	return g, sheet
}

// The whole story on a phone: onboarded, audited, lost, recovered on another phone from
// the sheet, and the thief is refused from that entry on.
func TestALostPhoneIsRecoveredOnAnotherPhone(t *testing.T) {
	t.Parallel()
	s := node(t)
	began := time.Now()
	ana := &guest{tab: open(t), name: "Ana Silva", organisation: "Acme"}
	ana.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	ana.who()
	ana.organise()
	ana.heading("Your key, and a way back")
	old := ana.sheetOn()
	ana.keepSheet()
	ana.heading("Begin with a template")
	ana.press("radio", "Nothing yet")
	ana.press("button", "Continue")
	ana.heading("Invite somebody")
	ana.press("radio", "Auditor")
	ana.press("button", "Make an invitation")
	ana.find("textbox", "Invitation link 1")
	link := eval[string](ana.tab, `document.getElementById("field-link-1").value`)
	ana.press("button", "Continue")
	ana.record("Ana opened the books of Acme.")
	ana.heading("See for yourself")
	ana.shows("Checked in this browser")
	took := time.Since(began)
	t.Logf("onboarded, with an auditor invited: %s", took)
	require.Less(t, took, 2*time.Minute)

	bea := &guest{tab: open(t), name: "Bea"}
	bea.visit(link)
	bea.who()
	bea.keepSheet()
	bea.heading("See for yourself")
	bea.shows("Checked in this browser")
	require.Contains(t, eval[string](bea.tab, append1), "append_forbidden", "an auditor adds nothing")

	// The thief of the phone signs as Ana.
	require.Empty(t, eval[string](ana.tab, append1))

	phone := open(t)
	phone.visit(s.URL + "/onboard")
	phone.heading("Who are you?")
	phone.press("link", "Recover your identity")
	phone.heading("Recover your identity")
	phone.picture("recovery-1-lost")
	phone.types("LogLine ID", strings.ReplaceAll(old.identity, "o", "0"))
	phone.types("Key", strings.ToLower(strings.ReplaceAll(old.key, "0", "o")))
	phone.shows("18 of 18 groups, each as it was printed.")
	eval[chromedp.Void](phone, `document.getElementById("field-key").scrollIntoView({ block: "center" })`)
	phone.snap("recovery-2-sheet")
	phone.press("button", "Go on")
	phone.heading("Keep your new sheet")
	fresh := phone.sheetOn()
	require.NotEqual(t, old.key, fresh.key)
	require.Equal(t, old.identity, fresh.identity)
	phone.picture("recovery-3-new-sheet")
	phone.press("button", "Recover my identity")
	phone.complains("checkbox", "I have printed or saved my new sheet", "Print or save the new sheet first")
	phone.keepsNew()
	phone.heading("Recovered")
	phone.shows("The old key ends with number")
	phone.picture("recovery-4-recovered")
	phone.shows("4 records are in question.") // the note, the invitation and the role that it gave, and the thief's
	phone.shows("Ana opened the books of Acme.")
	eval[chromedp.Void](phone, `document.querySelector("section").scrollIntoView()`)
	phone.snap("recovery-5-in-question")
	phone.forgot(s, old, fresh)

	// The thief's key is good no more, in what it signs and what it asks.
	require.Contains(t, eval[string](ana.tab, append1), "key_rotated")
	ana.visit(s.URL + "/account")
	ana.heading("Sign in")
	ana.shows("The key in this browser is good no more")
	ana.picture("recovery-6-stolen-key")
	ana.press("link", "Recover your identity")
	ana.heading("Recover your identity")

	// The phone has the identity with all that it had, and the auditor verifies on.
	phone.visit("about:blank")
	phone.visit(s.URL + "/recover#recovered")
	phone.heading("Recovered")
	phone.press("link", "Go to your account")
	phone.heading("Your account")
	phone.shows(byKey)
	phone.loaded()
	for _, words := range []string{"in this browser, where nobody can read it", "You are owner", "Ana Silva @ana.silva (you)"} {
		phone.shows(words)
	}
	phone.press("button", "Make an invitation")
	phone.find("textbox", "Invitation link")
	phone.visit(s.URL + "/onboard")
	phone.heading("Your organisation")
	bea.press("button", "Check again")
	bea.shows("Checked in this browser")

	// The old sheet works once.
	other := open(t)
	other.refuses(s.URL, old, "This sheet is spent: it was used on")
	other.picture("recovery-7-spent")
	phone.refuses(s.URL, old, "This sheet is spent: it was used on")
	require.Equal(t, fresh.identity, other.recovers(s.URL, fresh).identity, "the new one is good")
	for _, refused := range []string{"exception:", "Security Policy", "Trusted"} {
		require.NotContains(t, phone.errors.String()+ana.errors.String()+other.errors.String(), refused)
	}
}

// forgot says that neither sheet is anywhere but on paper.
func (b *tab) forgot(s *program.Server, sheets ...paper) {
	b.t.Helper()
	kept := eval[string](b, `(async () => {
		const { load } = await import("/onboard/page/keep.js");
		const { me } = await load("journey");
		if (me.privateKey.extractable) throw new Error("the key can be read");
		const database = await new Promise((resolve) => { indexedDB.open("logline-onboarding").onsuccess = (e) => resolve(e.target.result); });
		const all = await new Promise((resolve) => { database.transaction("kept").objectStore("kept").getAll().onsuccess = (e) => resolve(e.target.result); });
		return [JSON.stringify(all), JSON.stringify(localStorage), JSON.stringify(sessionStorage), JSON.stringify(history.state), document.cookie, location.href, document.documentElement.outerHTML,
			...[...document.querySelectorAll("input, textarea")].map((e) => e.value)].join("\n");
	})()`)
	require.Contains(b.t, kept, sheets[0].identity, "what is kept was read")
	for at, sheet := range sheets {
		parsed, err := recovery.Parse([]byte(sheet.text))
		require.NoError(b.t, err)
		seed := parsed.Seed()
		var p plant.Plants
		p.Bytes("seed", seed[:])
		for row := range strings.Lines(sheet.key) {
			p.Text("row", strings.TrimSpace(row))
		}
		for name, text := range map[string]string{"the browser": kept, "the server's log": string(s.Log.Bytes())} {
			require.Empty(b.t, p.Search([]byte(text)), "sheet %d in %s", at, name)
		}
	}
}

// Sheets that are not right are told of in words that help, and change nothing.
func TestSheetsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := node(t)
	_, sheet := onboarded(t, s, s.URL)
	stranger, err := recovery.New(sheet.identity[:13]+strings.Repeat(flip(sheet.identity[13:14]), 20)+sheet.identity[33:], [32]byte{1}, s.URL, time.Now())
	require.NoError(t, err)
	unknown, err := recovery.New(sheet.identity, [32]byte{2}, s.URL, time.Now())
	require.NoError(t, err)
	elsewhere := paperOf(t, stranger.Text())

	g := open(t)
	g.visit(s.URL + "/recover")
	g.heading("Recover your identity")
	for _, dark := range []bool{false, true} {
		g.dark(dark)
		g.accessible()
	}
	g.dark(false)
	g.press("button", "Go on")
	g.complains("textbox", "LogLine ID", "Write the LogLine ID")
	g.fill("LogLine ID", sheet.identity[:40])
	g.press("button", "Go on")
	g.complains("textbox", "Key", "Write the key")
	g.fill("Key", sheet.key)
	g.press("button", "Go on")
	g.complains("textbox", "LogLine ID", "52 of the characters")
	g.fill("LogLine ID", sheet.identity)

	wrong := []byte(sheet.key)
	wrong[37] = flip(string(wrong[37]))[0] // group 8: behind a row of 29 and its line end
	g.fill("Key", string(wrong))
	g.shows("Not as it was printed: group 8 (row 2, number 2).")
	g.press("button", "Go on")
	g.complains("textbox", "Key", "group 8 (row 2, number 2)")
	eval[chromedp.Void](g, `document.getElementById("field-key").scrollIntoView({ block: "center" })`)
	g.snap("recovery-error")
	g.fill("Key", sheet.key[:len(sheet.key)-1])
	g.press("button", "Go on")
	g.complains("textbox", "Key", "he key has 71 characters")
	g.fill("Key", "U"+sheet.key[1:])
	g.press("button", "Go on")
	g.complains("textbox", "Key", "group 1 (row 1, number 1)")
	g.fill("Key", elsewhere.key)
	g.press("button", "Go on")
	g.complains("textbox", "Key", "do not belong together")

	// A whole sheet that is pasted goes to its two fields.
	g.fill("LogLine ID", "")
	g.fill("Key", elsewhere.text)
	require.Equal(t, elsewhere.identity+"\n"+elsewhere.key, eval[string](g, `document.getElementById("field-identity").value + "\n" + document.getElementById("field-key").value`))
	g.press("button", "Go on")
	g.shows("This server does not know the identity")
	g.fill("Key", strings.Replace(elsewhere.text, "SHEET 1", "SHEET 2", 1))
	g.shows("use a newer version of this program")
	g.refuses(s.URL, paperOf(t, unknown.Text()), "This sheet does not fit the identity as this server knows it.")

	// Where the browser has another's key, that one stays.
	eve := &guest{tab: open(t), name: "Eve", organisation: "Eve"}
	eve.visit(s.URL + "/onboard")
	eve.who()
	eve.organise()
	eve.heading("Your key, and a way back")
	eve.keepSheet()
	eve.visit(s.URL + "/recover")
	eve.heading("Recover your identity")
	eve.fill("LogLine ID", sheet.identity)
	eve.fill("Key", sheet.key)
	eve.press("button", "Go on")
	eve.complains("textbox", "LogLine ID", "has the key of another identity")

	// A sheet of another server is one to be careful with.
	g.visit(s.URL + "/recover")
	g.heading("Recover your identity")
	g.fill("Key", strings.Replace(sheet.text, "node: "+s.URL, "node: https://log.example", 1))
	g.press("button", "Go on")
	g.heading("Keep your new sheet")
	g.shows("Your sheet names https://log.example, and this is " + s.URL)
	for _, dark := range []bool{false, true} {
		g.dark(dark)
		g.accessible()
	}
	g.dark(false)
	g.press("button", "Leave it")
	g.heading("Recover your identity")
	require.Equal(t, 1, strings.Count(get(t, s.URL+"/v1/identities/"+sheet.identity[13:]+"/events"), `"kind"`), "nothing of it changed anything")
	require.Empty(t, exceptions(g))
}

// flip is another character, of both alphabets.
func flip(c string) string {
	if strings.EqualFold(c, "b") {
		return "c"
	}
	return "b"
}

// exceptions are what scripts of a page threw, or its policy forbade.
func exceptions(b *tab) string {
	var found []string
	for line := range strings.Lines(b.errors.String()) {
		if strings.HasPrefix(line, "exception:") || strings.Contains(line, "Security Policy") || strings.Contains(line, "Trusted") {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// Cut off at any point it leaves a sheet that works: before the rotation is taken the
// old one, afterwards the new one, which was shown before.
func TestRecoveryIsCutOffAnywhere(t *testing.T) {
	t.Parallel()
	s := node(t)
	p := put(t, s.URL)
	_, old := onboarded(t, s, s.URL)
	rotations := func() int {
		return strings.Count(get(t, s.URL+"/v1/identities/"+old.identity[13:]+"/events"), `"kind":"rotation"`)
	}

	// Left while the new sheet is shown: it never counts, the old one does.
	g := open(t)
	never := g.recovers(p.URL, old)
	g.visit(p.URL + "/recover")
	g.heading("Recover your identity")
	require.Empty(t, eval[string](g, `document.getElementById("field-key").value`), "nothing that was typed comes back")
	require.Zero(t, rotations())
	g.refuses(p.URL, never, "was left before the end")

	// The request does not arrive: asked again on the same page, and after a reload.
	fresh := g.recovers(p.URL, old)
	p.set(func() { p.bends = func(_, body string) string { return body[:len(body)/2] } })
	g.keepsNew()
	g.shows("Not valid JSON")
	require.Zero(t, rotations())
	require.Equal(t, fresh, g.sheetOn(), "the new sheet is still shown")
	g.visit(p.URL + "/recover")
	g.heading("Your recovery is not finished")
	g.accessible()
	g.press("button", "Go on")
	g.shows("Not valid JSON")
	p.set(func() { p.bends = nil })

	// Somebody has made another identity in this browser meanwhile: its key stays.
	g.hasKey(`{}`)
	g.press("button", "Go on")
	g.shows("has the key of another identity by now, logline-id://another")
	require.Zero(t, rotations())
	require.True(t, g.keepsKey())
	eval[chromedp.Void](g, `import("/onboard/page/keep.js").then((m) => m.forget("journey"))`)

	// In another window meanwhile, with the old sheet, which is good as long as nothing
	// arrived. The window that was cut off hears of it.
	elsewhere := open(t)
	second := elsewhere.recovers(s.URL, old)
	elsewhere.keepsNew()
	elsewhere.heading("Recovered")
	g.press("button", "Go on")
	g.shows("was used in another window or program meanwhile")
	g.visit(p.URL + "/recover")
	g.heading("Recover your identity")
	g.refuses(p.URL, fresh, "This sheet does not fit")
	g.refuses(p.URL, old, "This sheet is spent")

	// The answer is lost: what was sent is sent again, and done once.
	third := g.recovers(p.URL, second)
	p.set(func() { p.lose = true })
	g.keepsNew()
	g.shows("The server could not be reached")
	require.Equal(t, 2, rotations())
	g.visit(p.URL + "/recover")
	g.heading("Your recovery is not finished")
	p.set(func() { p.lose = false })
	g.press("button", "Go on")
	g.heading("Recovered")
	require.Equal(t, 2, rotations())
	g.refuses(p.URL, second, "This sheet is spent")

	// The answer is lost, and the browser with it: the new sheet is in the person's hands.
	fourth := g.recovers(p.URL, third)
	p.set(func() { p.lose, p.turns = true, map[string]int{} })
	g.keepsNew()
	g.shows("The server could not be reached")
	p.set(func() { p.lose = false })
	last := open(t)
	last.refuses(p.URL, third, "This sheet is spent")
	last.recovers(p.URL, fourth)
	last.keepsNew()
	last.heading("Recovered")
	require.Equal(t, 4, rotations())

	// And the one that was cut off hears that its key is none any more.
	g.visit(p.URL + "/recover")
	g.heading("Your recovery is not finished")
	g.press("button", "Go on")
	g.shows("has been replaced since")
	for _, b := range []*tab{g, elsewhere, last} {
		require.Empty(t, exceptions(b))
	}
}

// hasKey has the browser keep the key of another identity, with more of its journey.
func (b *tab) hasKey(more string) {
	b.t.Helper()
	eval[chromedp.Void](b, `Promise.all([import("/onboard/page/keep.js"), import("/onboard/lib/crypto.js"), fetch("/v1/node").then((r) => r.json())]).then(async ([{ keep }, { newSigner }, { id }]) => {
		const { key, privateKey } = await newSigner();
		await keep("journey", { began: Date.now(), step: "key", node: { id }, me: { id: "logline-id://another", key, privateKey }, saved: true, ...`+more+` });
	})`)
}

// keepsKey says whether that key is still there.
func (b *tab) keepsKey() bool {
	b.t.Helper()
	return eval[bool](b, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then(({ me }) => me.id === "logline-id://another" && me.privateKey instanceof CryptoKey)`)
}

// A server that lies about the identity gets no rotation, and none is believed to
// stand that it does not show.
func TestRecoveryFromAServerThatLies(t *testing.T) {
	t.Parallel()
	s, other := node(t), node(t)
	p := put(t, s.URL)
	_, old := onboarded(t, s, s.URL)
	_, foreign := onboarded(t, other, other.URL)
	g := open(t)
	lies := func(tell func(path, answer string) string) {
		p.set(func() {
			p.lies = func(path, answer string) string {
				if strings.HasSuffix(path, "/events") {
					return tell(path, answer)
				}
				return answer
			}
		})
	}
	before := get(t, s.URL+"/v1/identities/"+old.identity[13:]+"/events")

	lies(func(_, answer string) string {
		return strings.Replace(answer, `"subject":"person"`, `"subject":"agent"`, 1)
	})
	g.refuses(p.URL, old, "The signature does not fit the event and the key")
	lies(func(string, string) string {
		return get(t, other.URL+"/v1/identities/"+foreign.identity[13:]+"/events")
	})
	g.refuses(p.URL, old, "the key events of somebody else")
	lies(func(string, string) string { return `{"id":"x","status":"active","events":[]}` })
	g.refuses(p.URL, old, "An identity begins with an inception")
	lies(func(string, string) string { return `{"id":` })
	g.refuses(p.URL, old, "none that this page understands")
	require.Equal(t, before, get(t, s.URL+"/v1/identities/"+old.identity[13:]+"/events"))

	// It takes the rotation, and shows the identity without it.
	p.set(func() { p.lies = nil })
	fresh := g.recovers(p.URL, old)
	lies(func(string, string) string { return before })
	g.keepsNew()
	g.shows("shows your identity without it")
	g.visit(p.URL + "/recover")
	g.heading("Your recovery is not finished")
	p.set(func() { p.lies = nil })
	g.press("button", "Go on")
	g.heading("Recovered")

	// It withholds the newest events: the sheet that counts seems to be none.
	lies(func(string, string) string { return before })
	g.refuses(p.URL, fresh, "Or the server withholds a part")

	// It shows a record by the old key behind its end.
	p.set(func() {
		p.lies = func(path, answer string) string {
			at := strings.Index(answer, `"type":"note.recorded"`)
			if !strings.HasSuffix(path, "/spans") || at < 0 {
				return answer
			}
			begins := strings.LastIndex(answer[:at], `"seq":`)
			digits := strings.IndexAny(answer[begins+6:], ",}")
			return answer[:begins+6] + "99" + answer[begins+6+digits:]
		}
	})
	g.visit(p.URL + "/recover#recovered")
	g.heading("Recovered")
	g.shows("This server breaks the rules")
	p.set(func() { p.lies = nil })
	g.press("button", "Show")
	g.wait("the alarm to end", func() (bool, error) { return !strings.Contains(g.text(), "breaks the rules"), nil })
	eval[chromedp.Void](g, `document.getElementById("field-since").value = ""`)
	g.press("button", "Show")
	g.shows("Choose a day.")
	require.Empty(t, exceptions(g))
}

// Who still has the phone, and thinks that somebody else has its key too, replaces it
// there; the page that brought them in knows of it.
func TestAStolenKeyIsReplacedWhereItIs(t *testing.T) {
	t.Parallel()
	s := node(t)
	g, sheet := onboarded(t, s, s.URL)
	stolen := eval[string](g.tab, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then((s) => s.me.key)`)
	g.press("link", "Go to your account")
	g.heading("Your account")
	g.loaded()
	g.press("link", "My key may be stolen")
	g.heading("Recover your identity")
	g.shows("Does somebody else have your key too?")
	require.Equal(t, sheet.identity, eval[string](g.tab, `document.getElementById("field-identity").value`))
	g.fill("Key", sheet.key)
	g.press("button", "Go on")
	g.heading("Keep your new sheet")
	g.keepsNew()
	g.heading("Recovered")
	g.shows(stolen)
	g.shows("One record is in question.")
	for _, dark := range []bool{false, true} {
		g.dark(dark)
		g.accessible()
	}
	g.dark(false)
	require.NotEqual(t, stolen, eval[string](g.tab, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then((s) => s.me.key)`))
	require.Empty(t, eval[string](g.tab, append1), "the new key signs")
	g.visit(s.URL + "/onboard")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	g.visit(s.URL + "/recover")
	g.heading("Recover your identity")
	g.press("link", "See what is in question")
	g.heading("Recovered")
	g.shows("One record is in question.")
	require.Empty(t, exceptions(g.tab))
}

// The sheet that replaces another is printed alone.
func TestTheNewSheetIsPrintedAlone(t *testing.T) {
	t.Parallel()
	s := node(t)
	_, old := onboarded(t, s, s.URL)
	g := open(t)
	fresh := g.recovers(s.URL, old)
	g.paper()
	printed := strings.Fields(g.text())
	for _, word := range strings.Fields(fresh.text) {
		require.Contains(t, printed, word)
	}
	for _, word := range []string{"Recover", "Keep", "Print", "Leave", "Nothing", "Ends", "Your", "New"} {
		require.NotContains(t, printed, word)
	}
}

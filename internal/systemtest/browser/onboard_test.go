package browser

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/secret/plant"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// node starts the program on an empty folder.
func node(t *testing.T, flags ...string) *program.Server {
	t.Helper()
	return nodeWith(t, nil, flags...)
}

// nodeWith is node with more in its environment.
func nodeWith(t *testing.T, env []string, flags ...string) *program.Server {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	s, err := program.New(path, t.TempDir(), flags...)
	require.NoError(t, err)
	s.Cmd.Env = append(s.Cmd.Env, env...)
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		s.Kill()
		require.Empty(t, plant.Looks(s.Log.Bytes()), "secrets in what a server printed")
	})
	return s
}

// setupToken is what the file of a new node says.
func setupToken(t *testing.T, s *program.Server) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(s.Dir, "bootstrap-token"))
	require.NoError(t, err)
	return strings.TrimSpace(string(token))
}

// guest fills in what the steps ask for; each leaves the next step's heading.
type guest struct {
	*tab
	name, organisation string
}

func (g *guest) who() {
	g.t.Helper()
	g.heading("Who are you?")
	g.fill("Your name", g.name)
	g.press("button", "Continue")
}

func (g *guest) organise() {
	g.t.Helper()
	g.heading("Your organisation")
	g.fill("Organisation", g.organisation)
	g.press("button", "Continue")
}

func (g *guest) keepSheet() {
	g.t.Helper()
	g.find("heading", "Your key, and a way back")
	g.press("button", "Save as a file")
	g.press("checkbox", "I have printed or saved my recovery sheet")
	g.press("button", "Continue")
}

func (g *guest) record(text string) {
	g.t.Helper()
	g.heading("Your first record")
	g.fill("What do you want to put on record?", text)
	g.press("button", "Sign and record")
}

// From an empty node to the verified first record, on a phone, in the light and in
// the dark.
func TestOnboardsWithinTwoMinutes(t *testing.T) {
	t.Parallel()
	s := node(t)
	g := &guest{tab: open(t), name: "Ana Silva", organisation: "Acme Óptica"}
	began := time.Now()
	g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	g.heading("Who are you?")
	require.Equal(t, s.URL+"/onboard", eval[string](g.tab, `location.href`), "the token does not stay in the address")

	// The keyboard is enough: the fields come in the order in which they stand.
	g.key(kb.Tab)
	g.call("type", call(g.tab, input.InsertText, input.InsertTextParams{Text: g.name}))
	g.key(kb.Tab)
	require.Equal(t, "ana.silva", eval[string](g.tab, `document.activeElement.value`))
	g.picture("onboarding-1-you")
	g.key(kb.Tab)
	g.key(kb.Enter)

	g.heading("Your organisation")
	g.fill("Organisation", g.organisation)
	g.picture("onboarding-2-organisation")
	g.press("button", "Continue")
	g.heading("Your key, and a way back")
	g.picture("onboarding-3-key")
	g.keepSheet()
	g.heading("Begin with a template")
	g.picture("onboarding-4-template")
	eval[chromedp.Void](g.tab, `document.querySelector("details").setAttribute("open", "")`)
	g.shows("contract ")
	require.NotContains(t, g.text(), "[object")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.heading("Your first record")
	g.fill("What do you want to put on record?", "Ana opened the books of Acme.")
	g.picture("onboarding-6-record")
	g.press("button", "Sign and record")
	g.heading("See for yourself")
	g.shows("Verified")
	took := time.Since(began)
	g.picture("onboarding-7-proof")
	g.dark(true)
	g.picture("onboarding-8-proof-dark")
	t.Logf("from an empty node to the verified first record: %s", took)
	require.Less(t, took, 2*time.Minute)
	require.Empty(t, g.errors.String())
	g.agrees(s)
}

// agrees has the command line check what the page has checked.
func (g *guest) agrees(s *program.Server) {
	g.t.Helper()
	dir := g.t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(g.t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	kept := eval[struct {
		Noted string
		Node  struct{ ID string }
	}](g.tab, `import("/onboard/page/keep.js").then((m) => m.load("journey")).then(({ noted, node }) => ({ noted, node }))`)
	path, err := binary()
	require.NoError(g.t, err)
	out, err := exec.CommandContext(g.t.Context(), path, "verify", "--node", kept.Node.ID, "--checkpoint", file("checkpoint.txt", kept.Noted),
		file("bundle.ndjson", eval[string](g.tab, bundleOf))).CombinedOutput()
	require.NoError(g.t, err, "%s", out)
}

// What is wrong is said beside the field, by words that a screen reader says too,
// and changes nothing.
func TestOnboardingTakesBadInput(t *testing.T) {
	t.Parallel()
	s := node(t)
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(s.URL + "/onboard")
	g.heading("Who are you?")
	g.press("button", "Continue")
	g.complains("textbox", "Your name", "Write your name")
	g.fill("Your name", g.name)
	g.fill("Handle", "Ana!")
	g.press("button", "Continue")
	g.complains("textbox", "Handle", "Use small letters")
	g.picture("onboarding-error")
	g.fill("Handle", "ana")
	g.press("button", "Continue")

	g.heading("Your organisation")
	g.press("button", "Continue")
	g.complains("textbox", "Organisation", "Write the organisation's name")
	g.fill("Organisation", g.organisation)
	g.fill("Short name", "Acme & Co")
	g.press("button", "Continue")
	g.complains("textbox", "Short name", "Use small letters")
	g.fill("Short name", "acme")
	g.fill("Setup token", "llb_this-is-not-the-token-of-this-node-at-all")
	g.press("button", "Continue")

	g.heading("Your key, and a way back")
	g.press("button", "Continue")
	g.complains("checkbox", "I have printed or saved my recovery sheet", "Print or save the sheet first")
	g.keepSheet()
	g.complains("textbox", "Setup token", "bootstrap token")
	g.fill("Setup token", setupToken(t, s))
	g.press("button", "Continue")
	g.heading("Your key, and a way back")
	g.shows("you have kept your recovery sheet")
	g.press("button", "Continue")
	g.heading("Begin with a template")
}

// Names that others have are told from names that nobody has.
func TestOnboardingWhereNamesAreTaken(t *testing.T) {
	t.Parallel()
	s := node(t, "--tenants", "open")
	first, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	r := program.Registration(first)
	r.Handle = "ana"
	api, err := client.New(s.URL)
	require.NoError(t, err)
	_, _, err = api.Register(t.Context(), r)
	require.NoError(t, err)
	_, err = s.FirstTenant(t.Context(), api, first, "acme", "Acme")
	require.NoError(t, err)

	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(s.URL + "/onboard")
	g.who()
	g.organise()
	g.keepSheet()
	g.complains("textbox", "Handle", "belongs to another identity")
	g.fill("Handle", "ana.two")
	g.press("button", "Continue")
	g.heading("Your organisation")
	g.press("button", "Continue")
	g.heading("Your key, and a way back")
	g.press("button", "Continue")
	g.complains("textbox", "Short name", "choose another slug")
	g.fill("Short name", "acme-two")
	g.press("button", "Continue")
	g.heading("Your key, and a way back")
	g.press("button", "Continue")
	g.heading("Begin with a template")
}

// What is printed is the sheet.
func TestTheSheetIsPrintedAlone(t *testing.T) {
	t.Parallel()
	s := node(t)
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(s.URL + "/onboard")
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	sheet := eval[string](g.tab, `document.querySelector(".sheet").textContent`)
	_, err := recovery.Parse([]byte(sheet))
	require.NoError(t, err)
	g.paper()
	printed := strings.Fields(g.text())
	for _, word := range strings.Fields(sheet) {
		require.Contains(t, printed, word)
	}
	for _, word := range []string{"Continue", "Print", "passport.", "Step", "Who", "Nobody", "Your"} {
		require.NotContains(t, printed, word)
	}
}

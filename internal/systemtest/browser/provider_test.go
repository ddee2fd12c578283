package browser

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/account/oidc/oidctest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// linked is a node that takes the word of a real provider, which is called Work, and
// lets its people at corp.example in.
func linked(t *testing.T) *program.Server {
	t.Helper()
	if os.Getenv("LOGLINE_TEST_CHROMIUM") == "" {
		t.Skip("LOGLINE_TEST_CHROMIUM is not set: make test finds or installs a Chromium (scripts/browser.sh)")
	}
	const word = "of the tests, of the tests"
	path, err := binary()
	require.NoError(t, err)
	s, err := program.New(path, t.TempDir(), "--registration", "open")
	require.NoError(t, err)
	issuer := oidctest.Start(t, oidctest.Options{Clients: []oidctest.Client{{ID: "logline", Secret: word, Redirects: []string{s.URL + "/v1/sessions/oidc/work/callback"}}}})
	master, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "work.secret"), []byte(word), 0o600))
	file := filepath.Join(dir, "providers.yaml")
	require.NoError(t, os.WriteFile(file, []byte("providers:\n  - name: work\n    label: Work\n    issuer: "+issuer+"\n    client_id: logline\n    client_secret_file: work.secret\n    domains: [corp.example]\n"), 0o600))
	s.Cmd.Env = append(s.Cmd.Env, "LOGLINE_MASTER_KEY="+master, "LOGLINE_PUBLIC_URL="+s.URL, "LOGLINE_OIDC_PROVIDERS="+file)
	require.NoError(t, s.Start())
	t.Cleanup(s.Kill)
	return s
}

// goesThere presses what leads to the provider, fills in its forms, or goes back from
// them where login is "", until it has led back.
func (b *tab) goesThere(role, name, home, login string) {
	b.t.Helper()
	eval[chromedp.Void](b, `void (globalThis.before = true)`)
	b.press(role, name)
	b.wait("the provider to lead back", func() (bool, error) {
		at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`globalThis.before ? "" : location.href`))
		if err != nil || at == "" || strings.HasPrefix(at, home) {
			return err == nil && at != "", err
		}
		_, err = chromedp.Run(b.ctx, chromedp.Evaluate[bool](`(() => {
			const form = document.querySelector("form"), login = "`+login+`";
			if (!form || document.readyState !== "complete" || form.dataset.sent) return false;
			form.dataset.sent = "1";
			if (login === "") return document.querySelector('a[href$="/abort"]').click() ?? true;
			const name = form.querySelector("[name=login]");
			if (name) { name.value = login; form.querySelector("[name=password]").value = "any"; }
			form.querySelector("[type=submit], button")?.click() ?? form.submit();
			return true;
		})()`))
		return false, err
	})
}

// A person comes by another provider's word, sees it in the account, removes it and
// links it again, has a second factor that is asked for after it, and is told in words
// why somebody else is not let in.
func TestComesByAnotherProvider(t *testing.T) {
	t.Parallel()
	s := linked(t)
	b := open(t)
	b.visit(s.URL + "/account")
	b.heading("Sign in")
	b.find("link", "Sign in with Work")
	b.accessible()
	b.picture("account-8-provider")
	b.goesThere("link", "Sign in with Work", s.URL, "ana@corp.example")
	b.heading("Your account")
	b.shows(bySession)
	b.loaded()
	b.shows("by another service, since")
	b.shows("ana@corp.example, since")
	require.Equal(t, s.URL+"/account", eval[string](b, `location.href`))
	b.accessible()
	b.dark(true)
	b.accessible()
	b.dark(false)

	// It is the only way in, until there is a password.
	b.press("button", "Remove Work, ana@corp.example")
	b.press("button", "Yes, remove it")
	b.find("button", "Lock me out, and remove it")
	b.shows("nobody could sign in to your account")
	b.fill("New password", "short")
	b.press("button", "Set a password")
	b.complains("textbox", "New password", "at least 15 characters")
	b.fill("New password", "correct horse battery staple")
	b.press("button", "Set a password")
	b.find("textbox", "Current password")
	b.press("button", "Leave it")
	b.press("button", "Remove Work, ana@corp.example")
	b.press("button", "Yes, remove it")
	b.shows("Once one is linked")
	b.goesThere("button", "Link Work", s.URL, "ana@corp.example")
	b.shows("That login is linked")
	b.loaded()
	b.find("button", "Remove Work, ana@corp.example")

	code := b.setsUpSecondFactor()
	b.press("button", "Sign out here")
	b.goesThere("link", "Sign in with Work", s.URL, "ana@corp.example")
	b.fill("Code", "000000")
	b.press("button", "Go on")
	b.complains("textbox", "Code", "wrong")
	b.fill("Code", code)
	b.press("button", "Go on")
	b.heading("Your account")
	b.shows("You have 9 recovery codes left")

	for login, says := range map[string]string{"nobody@home.example": "No account here is linked to that login", "": "The other provider signed nobody in"} {
		o := open(t)
		o.visit(s.URL + "/account")
		o.goesThere("link", "Sign in with Work", s.URL, login)
		o.heading("Sign in")
		o.shows(says)
		o.shows("Reference ")
		require.Equal(t, s.URL+"/account", eval[string](o, `location.href`))
		o.accessible()
	}
	// What an address says is looked up, and never shown.
	o := open(t)
	o.visit(s.URL + "/account#oidc=refused&reason=Call+0900&reference=Call+0900")
	o.heading("Sign in")
	o.shows("Signing in by the other provider did not work")
	require.NotContains(t, o.text(), "0900")
}

// setsUpSecondFactor does so on the page, and gives a recovery code.
func (b *tab) setsUpSecondFactor() string {
	b.t.Helper()
	b.press("button", "Set up a second factor")
	b.find("image", "QR code of the key, for an app to scan")
	b.accessible()
	b.seen("account-9-second-factor", "Second factor")
	secret := eval[string](b, `[...document.querySelectorAll("dt")].find((e) => e.textContent === "Key").nextSibling.textContent.replaceAll(" ", "")`)
	b.fill("Code of the app", "000000")
	b.press("button", "Turn it on")
	b.complains("textbox", "Code of the app", "wrong")
	now, err := totp.GenerateCode(secret, time.Now())
	require.NoError(b.t, err)
	b.fill("Code of the app", now[:3]+" "+now[3:])
	b.press("button", "Turn it on")
	b.shows("The second factor is on")
	codes := func() []string {
		return strings.Fields(eval[string](b, `[...document.querySelectorAll(".codes li")].map((e) => e.textContent).join(" ")`))
	}
	require.Len(b.t, codes(), 10)
	b.accessible()
	kept := codes()
	b.press("button", "I have kept them")
	b.shows("You have 10 recovery codes left")
	b.press("button", "Make new recovery codes")
	b.complains("textbox", "Code, or a recovery code", "Write a code")
	b.fill("Code, or a recovery code", kept[0])
	b.press("button", "Make new recovery codes")
	b.shows("The codes before these are good no more")
	fresh := codes()
	require.Len(b.t, fresh, 10)
	require.NotContains(b.t, fresh, kept[1])
	b.press("button", "I have kept them")
	b.shows("You have 10 recovery codes left")
	return fresh[0]
}

// Who has another provider's login has the server keep their key, behind that.
func TestOnboardsByAnotherProvider(t *testing.T) {
	t.Parallel()
	s := linked(t)
	g := &guest{tab: open(t), name: "Bea", organisation: "Acme"}
	g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	g.press("radio", "The server, behind a password")
	g.goesThere("link", "Sign in with Work", s.URL, "")
	g.heading("Your key, and a way back")
	g.shows("The other provider signed nobody in")
	g.accessible()
	g.press("radio", "The server, behind a password")
	g.goesThere("link", "Sign in with Work", s.URL, "bea@corp.example")
	g.shows("The server keeps your key, behind your login")
	require.Equal(t, s.URL+"/onboard", eval[string](g.tab, `location.href`))
	g.press("button", "Continue")
	g.heading("Begin with a template")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.record("Bea opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	g.account(s.URL, bySession)
	g.shows("Bea @bea (you)")

	// An address that anybody can write costs nobody a key, whoever is signed in.
	g.hasKey(`{ registered: true, who: { name: "Bea", handle: "bea" }, invitation: { token: "lli_x", name: "Acme", slug: "acme", role: "member" } }`)
	g.visit(s.URL + "/onboard#oidc=signed-in")
	g.heading("Your key, and a way back")
	g.shows("The key of an identity is in this browser already")
	require.True(t, g.keepsKey())
}

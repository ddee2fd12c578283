package browser

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// ages has what a server keeps be older than it is, while it runs.
func ages(t *testing.T, s *program.Server, statement string, args ...any) {
	t.Helper()
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(s.Dir, "logline.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
		done, err := tx.ExecContext(t.Context(), statement, args...)
		if err != nil {
			return err
		}
		changed, err := done.RowsAffected()
		require.Positive(t, changed)
		return err
	}))
}

// old has everybody have signed in long ago.
func old(t *testing.T, s *program.Server) {
	t.Helper()
	ages(t, s, `UPDATE account_sessions SET proved_at = $1`, time.Now().UTC().Add(-11*time.Minute).Format("2006-01-02T15:04:05.000Z"))
}

// Whoever signed in too long ago proves in place who they are, and what they asked for
// is done; their address, their API keys, their last passkey and their other sessions
// are theirs to change.
func TestProvesAgainInPlace(t *testing.T) {
	t.Parallel()
	s := keeper(t)
	home := here(s.URL)
	const password = "correct horse battery staple"
	b := open(t)
	b.visit(home + "/account")
	b.heading("Sign in")
	b.authenticator()
	require.Contains(t, b.asks("api", `m.json("POST", "accounts", { body: { custody: true, handle: "ana", name: "Ana", password: "`+password+`", cookie: true } })`), `"handle":"ana"`)
	require.Contains(t, b.asks("api", `m.json("POST", "accounts", { body: { custody: true, handle: "bo", password: "`+password+`" } })`), `"handle":"bo"`)
	b.account(home, bySession)

	b.fill("E-mail address", "ana")
	b.press("button", "Save the address")
	b.complains("textbox", "E-mail address", "address")
	old(t, s)
	b.fill("E-mail address", "ana@example.com")
	b.press("button", "Save the address")
	b.find("heading", "Prove again who you are")
	b.shows("more than ten minutes ago")
	b.accessible()
	b.press("button", "Sign in")
	b.complains("textbox", "Password", "Write your password")
	b.fill("Password", "wrong "+password)
	b.press("button", "Sign in")
	b.complains("textbox", "Password", "password")
	b.fill("Password", password)
	b.press("button", "Sign in")
	b.shows("You may sign in by it")
	require.Contains(t, b.asks("api", `m.json("GET", "account")`), `"email":"ana@example.com"`)
	require.Empty(t, eval[string](b, `[...document.querySelectorAll("h3")].map((h) => h.textContent).filter((t) => t.startsWith("Prove")).join()`))
	b.press("button", "Remove the address")
	b.press("button", "Yes, remove the address")
	b.find("button", "Save the address")
	b.shows("You need none.")
	require.NotContains(t, b.asks("api", `m.json("GET", "account")`), "ana@example.com")

	b.managesAPIKeys()
	b.leavesByTheLastPasskey(s)

	// Two more windows, of which none is left.
	for range 2 {
		require.Contains(t, b.asks("api", `m.json("POST", "sessions", { body: { name: "ana", password: "`+password+`" } })`), `lls_`)
	}
	b.account(home, bySession)
	b.press("button", "Sign out everywhere else")
	b.shows("sessions end at once.")
	b.press("button", "Yes, sign out there")
	b.wait("this session to be the only one", func() (bool, error) {
		return b.asks("api", `m.json("GET", "sessions").then(({ items }) => items.length)`) == "1", nil
	})
	b.loaded()
	require.NotContains(t, b.text(), "Sign out everywhere else")

	// Somebody else's login is none that proves who this is.
	require.Equal(t, `"gone"`, b.asks("api", `m.ask("DELETE", "sessions/current").then(() => "gone")`))
	b.fill("Your name", "Ana Lima")
	b.press("button", "Save")
	b.find("heading", "Prove again who you are")
	eval[any](b, `document.querySelector('[name^="who"]').value = "bo"`)
	b.fill("Password", password)
	b.press("button", "Sign in")
	b.shows("That is somebody else's login")
	eval[any](b, `document.querySelector('[name^="who"]').value = "ana"`)
	b.fill("Password", password)
	b.press("button", "Sign in")
	b.wait("the name to be saved", func() (bool, error) {
		return strings.Contains(b.asks("api", `m.json("GET", "account")`), `"name":"Ana Lima"`), nil
	})
}

// managesAPIKeys makes one and withdraws it.
func (b *tab) managesAPIKeys() {
	b.t.Helper()
	b.press("button", "Make an API key")
	b.complains("textbox", "What is the new key for?", "Say what it is for")
	b.fill("What is the new key for?", "Nightly import")
	b.press("checkbox", "Read what you may read")
	b.press("button", "Make an API key")
	b.complains("checkbox", "Read what you may read", "Choose something")
	b.press("checkbox", "Read what you may read")
	b.press("checkbox", "Have records signed, where this server keeps your key")
	b.fill("Types of records it may have signed", "note.* order.paid")
	b.press("button", "Make an API key")
	b.find("textbox", "API key for Nightly import")
	b.accessible()
	key := eval[string](b, `document.getElementById("field-api-key").value`)
	b.shows("append, read; types note.*, order.paid; in all your organisations; until")
	reads := `fetch("/v1/tenants", { credentials: "omit", headers: { Authorization: "Bearer ` + key + `" } }).then((r) => r.status)`
	require.Equal(b.t, 200, eval[int](b, reads))
	b.press("button", "Withdraw the API key Nightly import")
	b.press("button", "Yes, withdraw the key")
	b.shows("1 more were withdrawn, or have ended.")
	require.Equal(b.t, 401, eval[int](b, reads))
	require.NotContains(b.t, b.text(), "append, read; types")
}

// leavesByTheLastPasskey has a passkey be the last way in, which goes only once more
// was asked.
func (b *tab) leavesByTheLastPasskey(s *program.Server) {
	b.t.Helper()
	b.fill("What do you call the new passkey?", "This phone")
	b.press("button", "Add a passkey")
	b.find("button", "Remove This phone")
	ages(b.t, s, `UPDATE accounts SET password = NULL, password_at = NULL WHERE identity = (SELECT identity FROM account_passkeys)`)
	b.press("button", "Remove This phone")
	b.press("button", "Yes, remove it")
	b.find("button", "Lock me out, and remove it")
	b.accessible()
	require.Contains(b.t, b.asks("api", `m.json("GET", "account/passkeys")`), "This phone")

	// With a passkey alone it proves in place who it is.
	old(b.t, s)
	b.fill("New password", "correct horse battery staple")
	b.press("button", "Change the password")
	b.complains("textbox", "Current password", "Write your current password")
	b.account(here(s.URL), bySession)
	b.fill("New password", "correct horse battery staple")
	b.press("button", "Set a password")
	b.find("heading", "Prove again who you are")
	b.press("button", "Sign in with a passkey")
	b.find("textbox", "Current password")
	old(b.t, s)
	b.account(here(s.URL), bySession)
	b.press("button", "Show: API keys")
	b.find("heading", "Prove again who you are")
	b.press("button", "Sign in with a passkey")
	b.shows("1 more were withdrawn, or have ended.")
	ages(b.t, s, `UPDATE accounts SET password = NULL, password_at = NULL WHERE identity = (SELECT identity FROM account_passkeys)`)
	b.account(here(s.URL), bySession)
	b.press("button", "Remove This phone")
	b.press("button", "Yes, remove it")
	b.press("button", "Lock me out, and remove it")
	b.shows("You have none yet. A passkey")
	b.fill("New password", "correct horse battery staple")
	b.press("button", "Set a password")
	b.find("textbox", "Current password")
}

// A login that ended, or was long ago, is asked for on the step where it is needed, and
// the step goes on.
func TestOnboardingGoesOnAfterTheLoginEnded(t *testing.T) {
	t.Parallel()
	s := keeper(t)
	const password = "correct horse battery staple"
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	g.press("radio", "The server, behind a password")
	g.fill("Password", password)
	g.press("button", "Continue")
	g.heading("Begin with a template")
	old(t, s)
	g.press("button", "Continue")
	g.find("heading", "Sign in again")
	g.shows("and it goes on")
	g.accessible()
	g.fill("Password", password)
	g.press("button", "Sign in")
	g.heading("Invite somebody")
	require.Equal(t, `"gone"`, g.asks("api", `m.ask("DELETE", "sessions/current").then(() => "gone")`))
	g.press("button", "Make an invitation")
	g.find("heading", "Sign in again")
	g.fill("Password", password)
	g.press("button", "Sign in")
	g.find("textbox", "Invitation link 1")
	g.press("button", "Continue")
	g.heading("Your first record")
	require.Equal(t, `"gone"`, g.asks("api", `m.ask("DELETE", "sessions/current").then(() => "gone")`))
	g.record("Ana opened the books of Acme.")
	g.fill("Password", password)
	g.press("button", "Sign in")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
}

// Onboarding that rested for more than seven days goes on where it was: another session
// finds the identity and the organisation, for whoever has the key and whoever has a
// login.
func TestOnboardingGoesOnAfterItsSessionEnded(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{false, true} {
		s := keeper(t)
		g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
		weeks := func() { ages(t, s, `UPDATE onboarding_sessions SET expires_at = 1`) }
		g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
		g.who()
		g.heading("Your organisation")
		g.fill("Organisation", g.organisation)
		eval[any](g.tab, `document.getElementById("field-retention_days").value = "365"`)
		g.press("button", "Continue")
		if held {
			g.heading("Your key, and a way back")
			g.press("radio", "The server, behind a password")
			g.fill("Password", "correct horse battery staple")
			g.press("button", "Continue")
		} else {
			g.keepSheet()
		}
		g.heading("Begin with a template")
		weeks()
		g.press("button", "Continue")
		g.heading("Invite somebody")
		weeks()
		g.press("button", "Continue")
		g.heading("Your first record")
		weeks()
		g.record("Ana opened the books of Acme.")
		g.heading("See for yourself")
		g.shows("Checked in this browser")
		require.NotContains(t, g.text(), "Not verified")
		require.Contains(t, g.asks("keep", `m.load("journey").then(async ({ session }) => (await fetch("/v1/onboarding/sessions/" + session.id, { headers: { Authorization: "Bearer " + session.token } })).json())`), `"status":"done","step":"proof"`)
	}
}

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/app"
)

// wizard is onboarding at a terminal, and who sits there.
type wizard struct {
	t      *testing.T
	person *os.File
	seen   screen
	out    bytes.Buffer
	ended  chan int
}

// sit runs a command at a terminal.
func sit(ctx context.Context, t *testing.T, env map[string]string, args ...string) *wizard {
	t.Helper()
	person, program := terminal(t)
	w := &wizard{t: t, person: person, ended: make(chan int, 1)}
	go w.seen.read(person)
	go func() {
		w.ended <- run(ctx, args, stdio{program, &w.out, program}, func(name string) string { return env[name] })
	}()
	return w
}

// answer waits for a question and types the answer.
func (w *wizard) answer(question, answer string) {
	w.t.Helper()
	w.sees(question)
	_, err := io.WriteString(w.person, answer+"\n")
	require.NoError(w.t, err)
}

func (w *wizard) sees(text string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return strings.Contains(w.seen.text(), text) }, time.Minute, 2*time.Millisecond, "the terminal never shows %q; it shows %s", text, w.seen.text())
}

// TestWizard asks at a terminal for everything, is interrupted at a question, which
// leaves nothing behind, and then goes to the end with what stands in brackets.
func TestWizard(t *testing.T) {
	t.Parallel()
	s := startSession(t, func(c *app.Config) { c.Tenants = app.Open })
	dir := t.TempDir()
	env := map[string]string{"LOGLINE_CONFIG_DIR": filepath.Join(dir, "config"), "LOGLINE_URL": s.profile.URL, "LOGLINE_DATA_DIR": dir}

	ctx, interrupt := context.WithCancel(t.Context())
	w := sit(ctx, t, env, "onboard")
	w.answer("Your name in this node's directory", "Ana Lima")
	w.answer("Your @handle there [none]: ", "")
	interruptAt := "Link of an invitation, if you have one [none]: "
	w.sees(interruptAt)
	interrupt()
	require.Equal(t, exitFailed, <-w.ended)
	w.sees("run it again")
	require.NoDirExists(t, env["LOGLINE_CONFIG_DIR"], "nothing was made yet")

	w = sit(t.Context(), t, env, "onboard")
	w.answer("Your name in this node's directory; it can be erased [none]: ", "Ana Lima")
	w.answer("Your @handle there [none]: ", "@ana-of-the-wizard")
	w.answer("Link of an invitation, if you have one [none]: ", "https://logline.example/elsewhere")
	w.sees("this is no invitation")
	_, err := io.WriteString(w.person, "\n")
	require.NoError(t, err)
	w.answer("Name of your organisation or tenant [Main]: ", "Ação & Cia.")
	w.answer("Its short name, for addresses and commands [acao-cia]: ", "Not a slug")
	w.sees("lower-case letters")
	_, err = io.WriteString(w.person, "\n")
	require.NoError(t, err)
	w.answer("May anybody read what is marked public? yes or no [no]: ", "")
	w.answer("Erase payloads after so many days, such as 365d [none]: ", "90d")
	w.sees("audit-trail")
	w.answer("Template [none]: ", "audit-trail")
	w.answer("or a role of your own [none]: ", "No Role")
	w.sees("is not a role")
	_, err = io.WriteString(w.person, "auditor\n")
	require.NoError(t, err)
	w.answer("Address to mail the link to; the link is shown either way [none]: ", "bo at example")
	w.sees("this is no address")
	_, err = io.WriteString(w.person, "bo@example.com\n")
	require.NoError(t, err)
	w.answer("How long the link works, such as 48h [168h]: ", "48h")
	w.answer("Invite somebody else, as [none]: ", "")
	w.answer("[recovery-default.txt]: ", filepath.Join(dir, "sheet.txt"))
	w.answer("A note to append as your first span [hello]: ", "")
	w.answer("Passphrase for the new key", "correct horse")
	w.answer("The same again", "correct horse")
	require.Equal(t, exitOK, <-w.ended, w.seen.text())
	out := w.out.String()
	for _, text := range []string{`profile "default" is now the current one`, "acao-cia ", "audit-trail", "90d", "sheet", "Verified here"} {
		require.Contains(t, out, text)
	}
	require.Regexp(t, `auditor until [0-9TZ:.-]+, not mailed to bo@example.com: this node sends no mail`, out)
	require.Equal(t, 1, strings.Count(out, "#invite=lli_"), out)
	require.NotContains(t, w.seen.text(), "#invite=lli_", "the link stands in the output alone")
	require.NotContains(t, w.seen.text(), "correct horse", "a passphrase is not shown")
	require.FileExists(t, filepath.Join(dir, "sheet.txt"))
	info, err := s.client.Identity(t.Context(), "@ana-of-the-wizard")
	require.NoError(t, err)
	require.Equal(t, "Ana Lima", info.Name)
}

package browser

import (
	"crypto/rand"
	"io"
	"mime/quotedprintable"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail/mailtest"
)

// Whoever reads the address of their account shows it by the code that came there.
func TestShowsThatTheyReadTheirAddress(t *testing.T) {
	t.Parallel()
	box := mailtest.Start(t, mailtest.Options{Security: "off"})
	master, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	s := nodeWith(t, []string{"LOGLINE_MASTER_KEY=" + master, "LOGLINE_SMTP_HOST=127.0.0.1", "LOGLINE_SMTP_PORT=" + strconv.Itoa(box.Port), "LOGLINE_SMTP_TLS=off", "LOGLINE_SMTP_FROM=log@example.org"}, "--registration", "open")
	b := open(t)
	b.visit(s.URL + "/account")
	b.heading("Sign in")
	eval[any](b, `fetch("/v1/accounts", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ custody: true, cookie: true, handle: "ana", password: "correct horse battery staple" }) }).then((r) => r.status)`)
	b.account(s.URL, bySession)
	b.fill("E-mail address", "ana@example.org")
	b.press("button", "Save the address")
	b.shows("Your address was saved.")
	b.press("button", "Show that you read it")
	b.fill("Code in the mail", "llc_0000000000000000")
	b.press("button", "Show it")
	b.complains("textbox", "Code in the mail", "good for nothing here")
	b.accessible()
	b.wait("the mail", func() (bool, error) { return len(box.Messages(t)) > 0, nil })
	body, err := io.ReadAll(quotedprintable.NewReader(box.Messages(t)[0].Body))
	require.NoError(t, err)
	b.fill("Code in the mail", regexp.MustCompile(`llc_[0-9a-z]{16}`).FindString(string(body)))
	b.press("button", "Show it")
	b.shows("The address is yours: nobody else signs in by it.")
	b.shows("You showed that you read it")
}

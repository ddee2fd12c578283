package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/mail/mailtest"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/onboarding/mailcode"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
)

// By one invitation one identity registers, where registration takes one.
func TestRegistrationByInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration, d.Registration = false, httpapi.RegistrationInvite })
	var n client.Node
	w.get("/v1/node", "").decode(t, &n)
	require.EqualValues(t, "invite", n.Registration)
	i := w.invite(w.owner, span.RoleMember)
	admitted := func(keys *id.Keys, admission string) reply {
		r := registration(keys, "", "")
		r.Admission = admission
		return w.post("/v1/identities", "", r)
	}
	admitted(w.keys(), "llx_whatever").problem(t, http.StatusBadRequest, "admission_malformed")
	unknown, err := invite.NewToken(rand.Reader)
	require.NoError(t, err)
	admitted(w.keys(), unknown.Reveal()).problem(t, http.StatusNotFound, "invitation_invalid")
	one, two := w.keys(), w.keys()
	admitted(one, i.Reveal()).want(t, http.StatusCreated)
	admitted(one, i.Reveal()).want(t, http.StatusOK)
	admitted(two, i.Reveal()).problem(t, http.StatusNotFound, "invitation_invalid")
	w.accept(i.Token, two, false).problem(t, http.StatusNotFound, "invitation_invalid")
	w.accept(i.Token, one, true).want(t, http.StatusOK)
	admitted(w.keys(), i.Reveal()).problem(t, http.StatusNotFound, "invitation_invalid")

	closed := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	c := closed.invite(closed.owner, span.RoleMember)
	closed.accept(c.Token, closed.keys(), false).problem(t, http.StatusForbidden, "registration_closed")
	known := closed.identity()
	closed.accept(c.Token, known, true).want(t, http.StatusOK)
}

// Guessing is limited by address, before a token is looked up.
func TestTriesAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(quota.Rates{Address: ratelimit.Limit{Rate: 1000, Burst: 1000}})
	token, err := invite.NewToken(rand.Reader)
	require.NoError(t, err)
	body, err := json.Marshal(client.InvitationToken{Token: token.Reveal()})
	require.NoError(t, err)
	try := func(address string) reply {
		return w.from(address, w.request(http.MethodPost, "/v1/invitations/look", "", "application/json", bytes.NewReader(body)))
	}
	for range quota.Tries.Burst {
		try("192.0.2.7:1").problem(t, http.StatusNotFound, "invitation_invalid")
	}
	try("192.0.2.7:1").problem(t, http.StatusTooManyRequests, "rate_tries")
	try("192.0.2.8:1").problem(t, http.StatusNotFound, "invitation_invalid")
	w.clock.advance(time.Second)
	try("192.0.2.7:1").problem(t, http.StatusNotFound, "invitation_invalid")
}

// The link is mailed by a real server where one is configured; what came of it is
// told to the inviter, and neither link nor address is kept.
func TestInvitationByMail(t *testing.T) {
	t.Parallel()
	box := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: "u", Password: "p", Refuse: []string{"no@example.org"}})
	post := mail.New(mail.Config{Host: "127.0.0.1", Port: box.Port, User: "u", Password: "p", From: "log@example.org", Security: mail.STARTTLS, Timeout: time.Minute, TLS: &tls.Config{RootCAs: box.Roots}})
	w := newWorld(t)
	mailing := newProcess(t, w.node, w.db, w.store, func(d *id.Directory) engine.Directory { return d }, nil, func(d *httpapi.Deps) {
		d.PublicURL = "https://log.example"
		d.Invitations = invite.New(w.db, invitedTo{w.engine, w.log}, w.dir, nil, invite.Config{Mail: post, Page: d.PublicURL, Now: w.clock.now, Rand: rand.Reader})
	})
	mailing.owner, mailing.tenant = w.owner, w.tenant
	send := func(at *world, to string) (client.Invitation, invitation) {
		i := w.invitation(w.owner, span.RoleMember, time.Hour)
		i.Mail = &client.InvitationMail{To: to, Token: i.Reveal()}
		var made client.Invitation
		for range 2 { // the same again mails nothing again
			at.post(at.at("/invitations"), at.token(w.owner), i.NewInvitation).want(t, http.StatusCreated).decode(t, &made)
		}
		return made, i
	}
	made, i := send(mailing, "bo@example.org")
	require.NotEmpty(t, made.MailedAt)
	require.Empty(t, made.MailProblem)
	all := box.Messages(t)
	require.Len(t, all, 1)
	body, err := io.ReadAll(quotedprintable.NewReader(all[0].Body))
	require.NoError(t, err)
	require.Contains(t, string(body), "https://log.example/onboard#invite="+i.Reveal())
	require.Contains(t, all[0].Header.Get("Subject"), "A tenant")

	made, _ = send(mailing, "no@example.org")
	require.Contains(t, made.MailProblem, "does not take a message to this address (550)")
	made, _ = send(w, "bo@example.org")
	require.Contains(t, made.MailProblem, "this node sends no mail")
	require.Len(t, box.Messages(t), 1)
	for _, to := range []string{"", "bo", "bo@example.org\r\nBcc: eve@example.org"} {
		i := w.invitation(w.owner, span.RoleMember, time.Hour)
		i.Mail = &client.InvitationMail{To: to, Token: i.Reveal()}
		w.post(w.at("/invitations"), w.token(w.owner), i.NewInvitation).problem(t, http.StatusBadRequest, "mail_address")
	}
	rows, err := w.db.Read.QueryContext(t.Context(), `SELECT * FROM invitations`)
	require.NoError(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		require.NoError(t, rows.Scan(row...))
		for i := range row {
			text := fmt.Sprintf("%s", *row[i].(*any))
			require.NotContains(t, text, "example.org")
			require.NotContains(t, text, "lli_")
		}
	}
	require.NoError(t, rows.Err())
}

// By the address that one has: the answer to who asks for a code is always the same,
// and what comes by mail lets one identity register.
func TestRegistrationByDomain(t *testing.T) {
	t.Parallel()
	box := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: "u", Password: "p"})
	post := mail.New(mail.Config{Host: "127.0.0.1", Port: box.Port, User: "u", Password: "p", From: "log@example.org", Security: mail.STARTTLS, Timeout: time.Minute, TLS: &tls.Config{RootCAs: box.Roots}})
	w := newWorld(t)
	codes := mailcode.New(w.db, w.dir, post, mailcode.Config{Domains: []string{"example.org"}, Secret: []byte("x"), Now: w.clock.now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	by := newProcess(t, w.node, w.db, w.store, func(d *id.Directory) engine.Directory { return d }, nil, func(d *httpapi.Deps) {
		d.OpenRegistration, d.Registration, d.Codes = false, httpapi.RegistrationDomain, codes
	})
	by.owner, by.tenant = w.owner, w.tenant
	w.post("/v1/registrations/code", "", map[string]any{"email": "ana@example.org"}).problem(t, http.StatusForbidden, "codes_off")
	by.post("/v1/registrations/code", "", map[string]any{"email": "ana"}).problem(t, http.StatusBadRequest, "mail_address")
	for _, address := range []string{"eve@evil.example", "ana@example.org"} {
		r := by.post("/v1/registrations/code", "", map[string]any{"email": address}).want(t, http.StatusAccepted)
		require.JSONEq(t, `{"status":"accepted"}`, string(r.body))
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { codes.Run(ctx) })
	defer func() { stop(); running.Wait() }()
	require.Eventually(t, func() bool { return len(box.Messages(t)) > 0 }, time.Minute, 10*time.Millisecond)
	all := box.Messages(t)
	require.Len(t, all, 1)
	body, err := io.ReadAll(quotedprintable.NewReader(all[0].Body))
	require.NoError(t, err)
	code := regexp.MustCompile(`llc_[0-9a-z]{16}`).FindString(string(body))

	var n client.Node
	by.get("/v1/node", "").decode(t, &n)
	require.EqualValues(t, "domain", n.Registration)
	admitted := func(keys *id.Keys, admission string) reply {
		r := registration(keys, "", "")
		r.Admission = admission
		return by.post("/v1/identities", "", r)
	}
	ana := w.keys()
	admitted(ana, "").problem(t, http.StatusForbidden, "registration_closed")
	admitted(ana, "llx_nothing").problem(t, http.StatusBadRequest, "admission_malformed")
	admitted(ana, code[:10]+"0000000000").problem(t, http.StatusNotFound, "code_invalid")
	admitted(ana, code).want(t, http.StatusCreated)
	admitted(ana, code).want(t, http.StatusOK)
	admitted(w.keys(), code).problem(t, http.StatusNotFound, "code_invalid")
	i := w.invite(w.owner, span.RoleMember)
	by.accept(i.Token, w.keys(), false).want(t, http.StatusOK) // an invitation admits here too
}

// Who reads the address of their account proves it, and from then on nobody else signs
// in by it.
func TestAddressIsProven(t *testing.T) {
	t.Parallel()
	box := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: "u", Password: "p"})
	post := mail.New(mail.Config{Host: "127.0.0.1", Port: box.Port, User: "u", Password: "p", From: "log@example.org", Security: mail.STARTTLS, Timeout: time.Minute, TLS: &tls.Config{RootCAs: box.Roots}})
	w := newWorld(t)
	codes := mailcode.New(w.db, w.dir, post, mailcode.Config{Secret: []byte("x"), Now: w.clock.now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	by := newProcess(t, w.node, w.db, w.store, func(d *id.Directory) engine.Directory { return d }, nil, func(d *httpapi.Deps) { d.Codes = codes })
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { codes.Run(ctx) })
	defer func() { stop(); running.Wait() }()

	token := func(handle string) string {
		var in openapi.SignedIn
		by.post("/v1/accounts", "", map[string]any{"custody": true, "handle": handle, "password": passphrase, "email": "shared@example.org"}).want(t, http.StatusCreated).decode(t, &in)
		return in.Token
	}
	first, second := token("first"), token("second")
	const ask, prove = "/v1/account/email/code", "/v1/account/email/proof"
	w.post(ask, first, nil).problem(t, http.StatusConflict, "mail_off")
	w.post(prove, first, map[string]any{"code": "llc_0000000000000000"}).problem(t, http.StatusConflict, "mail_off")
	by.post(ask, "", nil).want(t, http.StatusUnauthorized)
	by.post(prove, second, map[string]any{"code": "123456"}).problem(t, http.StatusBadRequest, "code_malformed")
	by.post(ask, second, nil).want(t, http.StatusAccepted)
	require.Eventually(t, func() bool { return len(box.Messages(t)) > 0 }, time.Minute, 10*time.Millisecond)
	body, err := io.ReadAll(quotedprintable.NewReader(box.Messages(t)[0].Body))
	require.NoError(t, err)
	code := map[string]any{"code": regexp.MustCompile(`llc_[0-9a-z]{16}`).FindString(string(body))}

	by.post(prove, first, code).problem(t, http.StatusNotFound, "code_invalid")
	var a openapi.Account
	by.post(prove, second, code).want(t, http.StatusOK).decode(t, &a)
	require.NotEmpty(t, a.EmailProven)
	require.Equal(t, "shared@example.org", a.Email)
	by.post(prove, second, code).want(t, http.StatusOK) // where the answer was lost
	var in openapi.SignedIn
	by.post("/v1/sessions", "", map[string]any{"name": "shared@example.org", "password": passphrase}).want(t, http.StatusCreated).decode(t, &in)
	require.Equal(t, a.Identity, in.Session.Identity, "not who named it first")

	by.patch("/v1/account", second, map[string]any{"email": ""}).want(t, http.StatusOK)
	by.post(ask, second, nil).problem(t, http.StatusConflict, "email_none")
}

package mail_test

import (
	"context"
	"crypto/tls"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/mail/mailtest"
)

const (
	user     = "logline"
	password = "correct horse battery"
)

func to(s *mailtest.Server, security string) mail.Config {
	return mail.Config{
		Host: "127.0.0.1", Port: s.Port, User: user, Password: password, From: "log@example.org", Security: security,
		Timeout: time.Minute, TLS: &tls.Config{RootCAs: s.Roots},
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	for _, security := range []string{mail.STARTTLS, mail.TLS, mail.Plain} {
		t.Run(security, func(t *testing.T) {
			t.Parallel()
			s := mailtest.Start(t, mailtest.Options{Security: security, User: user, Password: password})
			text := "Olá, Ana.\n\nhttps://log.example/onboard#invite=lli_" + strings.Repeat("x", 90) + "\n.\nend\n"
			require.NoError(t, mail.New(to(s, security)).Send(t.Context(), mail.Message{To: "ana@example.org", Subject: "An invitation to Café ☕", Text: text}))
			all := s.Messages(t)
			require.Len(t, all, 1)
			h := all[0].Header
			require.Equal(t, "<ana@example.org>", h.Get("To"))
			require.Equal(t, "<log@example.org>", h.Get("From"))
			require.Regexp(t, `^<[A-Z2-7]{26}@example.org>$`, h.Get("Message-Id"))
			require.Equal(t, "auto-generated", h.Get("Auto-Submitted"))
			subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
			require.NoError(t, err)
			require.Equal(t, "An invitation to Café ☕", subject)
			body, err := io.ReadAll(quotedprintable.NewReader(all[0].Body))
			require.NoError(t, err)
			require.Equal(t, text, strings.ReplaceAll(string(body), "\r\n", "\n"))
			require.True(t, strings.HasPrefix(h.Get("Content-Type"), "text/plain"))
		})
	}
}

// Nothing that somebody else chose becomes a header, a recipient or a command.
func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: user, Password: password})
	sender := mail.New(to(s, mail.STARTTLS))
	hostile := "Acme\r\nBcc: eve@example.org\r\n\r\nFree\x00 money\u2028X-Evil: 1"
	require.NoError(t, sender.Send(t.Context(), mail.Message{To: "ana@example.org", Subject: hostile, Text: "a\r\n.\r\nRCPT TO:<eve@example.org>\r\n"}))
	all := s.Messages(t)
	require.Len(t, all, 1)
	require.Empty(t, all[0].Header.Get("Bcc"))
	require.Empty(t, all[0].Header.Get("X-Evil"))
	require.Equal(t, "ana@example.org", all[0].Header.Get("X-RcptTo"))
	subject, err := new(mime.WordDecoder).DecodeHeader(all[0].Header.Get("Subject"))
	require.NoError(t, err)
	require.Contains(t, subject, "Acme  Bcc: eve@example.org")
	require.Error(t, sender.Send(t.Context(), mail.Message{To: "ana@example.org\r\nRCPT TO:<eve@example.org>"}))
	require.Len(t, s.Messages(t), 1)
}

// An address is one bare address and nothing else.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "ana", "ana@", "@example.org", "ana@example.org\r\nRCPT TO:<eve@example.org>", "ana@example.org, eve@example.org", "Ana <ana@example.org>",
		"<ana@example.org>", "ana@[127.0.0.1]", "ana @example.org", "ana@exa mple.org", "ana@example.org\x00", "\"a\\\r\nb\"@example.org", "ána@example.org", "ana@host",
		strings.Repeat("a", 250) + "@example.org",
	} {
		_, err := mail.ParseAddress(address)
		require.Equal(t, "mail_address", fault.CodeOf(err), "%q", address)
	}
	for text, want := range map[string]string{"Ana.B+log@Example.ORG": "Ana.B+log@example.org", "a@localhost": "a@localhost"} {
		got, err := mail.ParseAddress(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// What came of it is told without a word of the server's.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: user, Password: password, Refuse: []string{"no@example.org"}, Defer: []string{"later@example.org"}})
	plain := mailtest.Start(t, mailtest.Options{Security: mail.Plain})
	for name, try := range map[string]struct {
		change func(*mail.Config)
		to     string
		code   string
	}{
		"no such mailbox":          {nil, "no@example.org", "mail_refused"},
		"not now":                  {nil, "later@example.org", "mail_unavailable"},
		"wrong password":           {func(c *mail.Config) { c.Password = "wrong" }, "ana@example.org", "mail_unavailable"},
		"a stranger's certificate": {func(c *mail.Config) { c.TLS = nil }, "ana@example.org", "mail_unavailable"},
		"no TLS there":             {func(c *mail.Config) { c.Port = plain.Port }, "ana@example.org", "mail_unavailable"},
		"nobody there":             {func(c *mail.Config) { c.Port = 1 }, "ana@example.org", "mail_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := to(s, mail.STARTTLS)
			if try.change != nil {
				try.change(&cfg)
			}
			err := mail.New(cfg).Send(t.Context(), mail.Message{To: try.to, Subject: "x", Text: "x"})
			require.Equal(t, try.code, fault.CodeOf(err), "%v", err)
			require.NotContains(t, fault.From(err).Detail, "secret-of-the-server")
			require.NotContains(t, fault.From(err).Detail, password)
		})
	}
	require.Empty(t, plain.Messages(t), "nothing is sent without TLS")
}

// A server that says nothing is not waited for without end.
func TestStalledServer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := mail.Config{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, From: "log@example.org", Security: mail.STARTTLS, Timeout: 200 * time.Millisecond}
	err = mail.New(cfg).Send(ctx, mail.Message{To: "ana@example.org", Subject: "x", Text: "x"})
	require.Equal(t, "mail_unavailable", fault.CodeOf(err))
	require.NoError(t, ctx.Err(), "it ended by its own time")
}

// FuzzParseAddress: what is taken is one line, one recipient, and the same when read again.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"ana@Example.ORG", "a+b@x.y", "\"a b\"@x.y", "a@b@c.d", "a@b.c\n", "a@[::1]", "<a@b.c>", "a,b@c.d", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, err := mail.ParseAddress(text)
		if err != nil {
			require.Equal(t, "mail_address", fault.CodeOf(err))
			return
		}
		require.True(t, strings.EqualFold(text, address))
		require.False(t, strings.ContainsAny(address, "\r\n\x00 \t<>,;"), "%q", address)
		require.NotEmpty(t, mail.DomainOf(address))
		again, err := mail.ParseAddress(address)
		require.NoError(t, err)
		require.Equal(t, address, again)
	})
}

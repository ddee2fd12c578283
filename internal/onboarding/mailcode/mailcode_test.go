package mailcode_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/mail/mailtest"
	"github.com/danvoulez/logline/internal/onboarding/mailcode"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// office is a service whose mail goes to a real server, and its clock.
type office struct {
	*mailcode.Service
	t    *testing.T
	db   *storage.DB
	dir  *id.Directory
	box  *mailtest.Server
	done chan mail.Message // each that was handed over, once the server has it

	mu  sync.Mutex // guards now
	now time.Time
}

// counting tells of what a sender has handed over.
type counting struct {
	*mail.Sender
	done chan mail.Message
}

func (c counting) Send(ctx context.Context, m mail.Message) error {
	defer func() { c.done <- m }()
	return c.Sender.Send(ctx, m)
}

func each(t *testing.T, test func(o *office)) {
	t.Helper()
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		box := mailtest.Start(t, mailtest.Options{Security: mail.STARTTLS, User: "u", Password: "p"})
		db, err := storage.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		o := &office{t: t, db: db, box: box, done: make(chan mail.Message, 100), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		o.dir = id.NewDirectory(db, id.DefaultVerifier(), o.clock)
		post := mail.New(mail.Config{Host: "127.0.0.1", Port: box.Port, User: "u", Password: "p", From: "log@example.org", Security: mail.STARTTLS, Timeout: time.Minute, TLS: &tls.Config{RootCAs: box.Roots}})
		o.Service = mailcode.New(db, o.dir, counting{post, o.done}, mailcode.Config{
			Domains: []string{"example.org"}, Page: "https://log.example", Secret: []byte("of the node"), Now: o.clock, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
		})
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { o.Run(ctx) })
		t.Cleanup(func() { stop(); running.Wait() })
		test(o)
	}, backend.SQLite, backend.Postgres)
}

func (o *office) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

var inMail = regexp.MustCompile(`llc_[0-9a-z]{16}`)

// code asks for a code and reads it in the mail that comes. What was asked for before
// has been looked at by then.
func (o *office) code(address string) string {
	o.t.Helper()
	require.NoError(o.t, o.Ask(address))
	return o.mailed(address)
}

func (o *office) mailed(address string) string {
	o.t.Helper()
	sent := <-o.done
	require.Equal(o.t, strings.ToLower(address), strings.ToLower(sent.To))
	want := inMail.FindString(sent.Text)
	for _, m := range o.box.Messages(o.t) {
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		require.NoError(o.t, err)
		if strings.Contains(string(body), want) {
			require.Equal(o.t, "<"+sent.To+">", m.Header.Get("To"))
			return want
		}
	}
	o.t.Fatal("the server has no mail with the code")
	return ""
}

func (o *office) refuses(code, identity, want string) {
	o.t.Helper()
	require.Equal(o.t, want, fault.CodeOf(o.Admit(o.t.Context(), code, identity)))
}

func (o *office) person() *id.Keys {
	o.t.Helper()
	keys, err := id.NewKeys(id.SubjectPerson, o.clock(), rand.Reader)
	require.NoError(o.t, err)
	return keys
}

func TestCodes(t *testing.T) {
	each(t, func(o *office) {
		ctx := o.t.Context()
		for _, address := range []string{"eve@evil.example", "ana@sub.example.org", "ana@example.org.evil.example"} {
			require.NoError(o.t, o.Ask(address), "nothing is told")
		}
		require.Equal(o.t, "mail_address", fault.CodeOf(o.Ask("Ana <ana@example.org>")))
		code := o.code("ana@Example.org")
		require.Len(o.t, o.box.Messages(o.t), 1, "to other domains nothing is mailed")

		one, two := o.person(), o.person()
		for _, text := range []string{"", "llc_", code[:19], code + "0", code[:19] + "u", "llb_" + code[4:]} {
			o.refuses(text, one.ID(), "code_malformed")
		}
		require.NoError(o.t, o.Admit(ctx, " "+strings.ToUpper(code)+"\n", one.ID()), "as people type it")
		require.NoError(o.t, o.Admit(ctx, code, one.ID()))
		_, _, err := o.dir.Register(ctx, one.Events(), "", "")
		require.NoError(o.t, err)
		o.refuses(code, two.ID(), "code_invalid")

		// One that was admitted and never came lets another in, with another key.
		lost := o.code("bo@example.org")
		require.NoError(o.t, o.Admit(ctx, lost, o.person().ID()))
		require.NoError(o.t, o.Admit(ctx, lost, two.ID()))

		late := o.code("cy@example.org")
		o.advance(mailcode.Life)
		o.refuses(late, one.ID(), "code_invalid")

		rows, err := o.db.Read.QueryContext(ctx, `SELECT hash, mailbox, selector FROM registration_codes`)
		require.NoError(o.t, err)
		defer rows.Close()
		for rows.Next() {
			var hash, mailbox []byte
			var selector string
			require.NoError(o.t, rows.Scan(&hash, &mailbox, &selector))
			row := fmt.Sprintf("%s %s %s", hash, mailbox, selector)
			require.NotContains(o.t, row, "example.org")
			require.NotContains(o.t, row, code[10:])
		}
		require.NoError(o.t, rows.Err())
	})
}

// Who reads an address proves it by what came there: for one account and one address,
// once, in time. It lets nobody register, nor does a registration's code prove anything.
func TestProofs(t *testing.T) {
	each(t, func(o *office) {
		ctx := o.t.Context()
		const ana, eve, address = "logline-id://ana", "logline-id://eve", "Ana@elsewhere.example"
		asked := func() string {
			require.NoError(o.t, o.AskProof(address, ana))
			return o.mailed(address)
		}
		not := func(code, address, identity string) {
			o.t.Helper()
			require.Equal(o.t, "code_invalid", fault.CodeOf(o.Prove(ctx, code, address, identity)))
		}
		require.Equal(o.t, "mail_address", fault.CodeOf(o.AskProof("Ana <ana@example.org>", ana)))
		require.Equal(o.t, "code_malformed", fault.CodeOf(o.Prove(ctx, "123456", address, ana)))
		code := asked()
		not(code, address, eve)
		not(code, "ana@other.example", ana)
		o.refuses(code, ana, "code_invalid")
		require.NoError(o.t, o.Prove(ctx, strings.ToUpper(code), "ana@ELSEWHERE.example", ana))
		require.NoError(o.t, o.Prove(ctx, code, address, ana), "as often as it is asked")
		late := asked()
		o.advance(mailcode.Life)
		not(late, address, ana)
		not(o.code("ana@example.org"), "ana@example.org", ana)

		// An account has three an hour, whatever addresses it names; it keeps no mailbox
		// from others.
		for _, other := range []string{"bo@example.org", "cy@example.org"} {
			require.NoError(o.t, o.AskProof(other, eve))
			o.mailed(other)
		}
		require.NoError(o.t, o.AskProof("bo@example.org", eve))
		o.mailed("bo@example.org")
		require.NoError(o.t, o.AskProof("di@example.org", eve))
		o.code("bo@example.org") // is behind it
	})
}

// Guessing is over after five tries, of everybody at once, whatever comes then.
func TestTries(t *testing.T) {
	each(t, func(o *office) {
		ctx := o.t.Context()
		code := o.code("ana@example.org")
		wrong := code[:10] + "0000000000"
		var wg sync.WaitGroup
		for range mailcode.MaxTries - 1 {
			wg.Go(func() { o.refuses(wrong, "x", "code_invalid") })
		}
		wg.Wait()
		require.NoError(o.t, o.Admit(ctx, code, "logline-id://x"), "a right try is none that counts")
		o.refuses(wrong, "x", "code_invalid")
		o.refuses(code, "logline-id://x", "code_invalid")
	})
}

// A mailbox gets three an hour, and others go on.
func TestMailboxes(t *testing.T) {
	each(t, func(o *office) {
		for range mailcode.MaxCodes {
			o.code("ana@example.org")
		}
		require.NoError(o.t, o.Ask("ANA@example.org"))
		o.code("bo@example.org") // is behind it
		require.Len(o.t, o.box.Messages(o.t), mailcode.MaxCodes+1)
		o.advance(time.Hour)
		o.code("ana@example.org")
	})
}

// FuzzAdmit: no text admits anybody to a node that has mailed none.
func FuzzAdmit(f *testing.F) {
	db, err := storage.Open(context.Background(), "memory:")
	require.NoError(f, err)
	f.Cleanup(func() { _ = db.Close() })
	require.NoError(f, db.Migrate(context.Background()))
	s := mailcode.New(db, nil, nil, mailcode.Config{Secret: []byte("x"), Now: time.Now, Rand: rand.Reader})
	for _, text := range []string{"", "llc_0123456789abcdef", "LLC_OIL3456789ABCDEF", "llc_%', --\x00", "llc_0123456789abcdeu"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code := fault.CodeOf(s.Admit(t.Context(), text, "x"))
		require.Contains(t, []string{"code_malformed", "code_invalid"}, code)
		if code == "code_invalid" {
			require.True(t, mailcode.Is(strings.TrimSpace(text)))
		}
	})
}

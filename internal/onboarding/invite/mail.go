package invite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// MaxMails bounds what a tenant has mailed in a day: it goes out in the operator's
// name, to whomever an admin of the tenant says.
const MaxMails = 200

// What is told instead of a mail that was not tried.
const (
	noMail    = "this node sends no mail; give the link yourself"
	manyMails = "the tenant has had too many invitations mailed today; give the link yourself"
)

var errOtherToken = fault.New(fault.Invalid, "invitation_mismatch", "this is not the token whose hash the invitation has").At("/mail/token", "is another one")

// Mail mails the link of an invitation that is open, once: not again where that went
// well. The link is in no other place, and the address in none; so nothing of it is
// tried later, and what came of it is told to the inviter, who has the link too.
// Codes: mail_address, invitation_mismatch.
func (s *Service) Mail(ctx context.Context, tenant timeline.Tenant, i Invitation, to string, t Token) (Invitation, error) {
	to, err := mail.ParseAddress(to)
	if err != nil {
		return i, fault.From(err).At("/mail/to", "is no address")
	}
	if h := t.Hash(); string(h[:]) != string(i.hash) {
		return i, errOtherToken
	}
	if i.State != Open || i.MailedAt != "" && i.MailProblem == "" {
		return i, nil
	}
	i.MailProblem, err = s.mailed(ctx, tenant, &i, to, t)
	if err != nil {
		return i, err
	}
	i.MailedAt = span.FormatTime(s.cfg.Now())
	return i, s.noteMail(context.WithoutCancel(ctx), &i)
}

// mailed is why the link could not be mailed, "" where it was.
func (s *Service) mailed(ctx context.Context, tenant timeline.Tenant, i *Invitation, to string, t Token) (problem string, err error) {
	if s.cfg.Mail == nil || s.cfg.Page == "" {
		return noMail, nil
	}
	n, err := s.mails(ctx, i.Tenant)
	switch {
	case err != nil:
		return "", err
	case n >= MaxMails:
		return manyMails, nil
	}
	if err := s.cfg.Mail.Send(ctx, letter(tenant, i, to, Link(s.cfg.Page, t))); err != nil {
		return fault.From(err).Detail, nil
	}
	return "", nil
}

// letter is what somebody who is invited reads. It names nobody.
func letter(tenant timeline.Tenant, i *Invitation, to, link string) mail.Message {
	name := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, tenant.Name)
	return mail.Message{To: to, Subject: "Invitation to " + name, Text: fmt.Sprintf(`You are invited to %s (%s), as %s.

To accept, open this link. It works once, until %s UTC:

%s

In a terminal: logline invite accept '%s'

Whoever has the link can accept in your place: pass it on to nobody. If you did not
expect it, do nothing; it ends by itself.
`, name, tenant.Slug, i.Role, readable(i.ExpiresAt), link, link)}
}

// readable is a time for people, to the minute.
func readable(at string) string {
	t, err := span.ParseTime(at)
	if err != nil {
		return at
	}
	return t.Format("2006-01-02 15:04")
}

// mails is how many of a tenant's were mailed, or tried, in the last day.
func (s *Service) mails(ctx context.Context, tenant string) (n int, err error) {
	since := span.FormatTime(s.cfg.Now().Add(-24 * time.Hour))
	err = s.view(ctx, tenant, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM invitations WHERE tenant = $1 AND mailed_at > $2`, tenant, since).Scan(&n)
	})
	return n, err
}

func (s *Service) noteMail(ctx context.Context, i *Invitation) error {
	return s.in(ctx, i.Tenant, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE invitations SET mailed_at = $3, mail_problem = $4 WHERE tenant = $1 AND id = $2`, i.Tenant, i.ID, i.MailedAt, storage.Optional(i.MailProblem))
		return err
	})
}

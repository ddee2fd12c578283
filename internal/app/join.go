package app

import (
	"context"
	"net/url"
	"strings"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/onboarding/mailcode"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

var (
	_ invite.Timeline     = invitedTo{}
	_ httpapi.Invitations = (*invite.Service)(nil)
)

// Values of Config.Registration, beside Open, Closed and Auto.
const (
	Invite = "invite"
	Domain = "domain"
)

// domains are those whose addresses may register.
func (c Config) domains() (out []string) {
	for text := range strings.SplitSeq(c.RegistrationDomains, ",") {
		if text = strings.TrimSpace(text); text != "" {
			out = append(out, strings.ToLower(text))
		}
	}
	return out
}

// checkDomains is what is wrong with them; it is asked after all that they need.
func (c Config) checkDomains() string {
	if c.Registration == Domain && len(c.domains()) == 0 {
		return "registration is domain: name the domains, as example.com,example.org"
	}
	if c.Registration == Domain && c.SMTP.Host == "" {
		return "registration is domain, which mails codes: set smtp.host and smtp.from"
	}
	for _, d := range c.domains() {
		if _, err := mail.ParseAddress("a@" + d); err != nil {
			return "must be domains such as example.com, separated by commas, without @"
		}
	}
	return ""
}

// newCodes is what mails codes, nil where the node mails nothing.
func (a *App) newCodes(directory *id.Directory, post invite.Postman) (*mailcode.Service, error) {
	if post == nil {
		return nil, nil
	}
	var register []string
	if a.cfg.Registers() == Domain {
		register = a.cfg.domains()
	}
	secret, err := a.node.IDSecret()
	if err != nil {
		return nil, err
	}
	return mailcode.New(a.db, directory, post, mailcode.Config{
		Domains: register, Page: a.cfg.publicURL(), Secret: secret, Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log,
	}), nil
}

// Registers says who may register an identity: by auto anybody on a server that
// only its own machine can reach, elsewhere who is invited.
func (c Config) Registers() string {
	switch {
	case c.Registration != Auto:
		return c.Registration
	case c.hereAlone():
		return Open
	}
	return Invite
}

// checkPublicURL is what is wrong with where a node says that it is reached.
func checkPublicURL(text string) string {
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return "must be https://host or http://host, with a port and a path where there are any, and nothing behind those"
	}
	return ""
}

// publicURL is where people reach the server, "" where nobody has said.
func (c Config) publicURL() string { return strings.TrimSuffix(c.PublicURL, "/") }

// invitedTo is the timelines that invitations grant roles in.
type invitedTo struct {
	*engine.Engine
	*timeline.Log
}

// Append implements invite.Timeline.
func (t invitedTo) Append(ctx context.Context, tenant string, raw []byte) (pending bool, err error) {
	r := t.Engine.Submit(ctx, tenant, raw, engine.Options{})
	return r.Decision.Outcome == span.OutcomePending, r.Err
}

// Embed implements invite.Timeline. A timeline that cannot be reached now gets the
// event before the identity's next span there.
func (t invitedTo) Embed(ctx context.Context, identity string, event []byte) error {
	_, _, err := t.Engine.EmbedEvent(ctx, identity, event)
	return err
}

package app

import (
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/secret"
)

// SMTP is the server that takes this node's mail.
type SMTP struct {
	Host         string        `mapstructure:"host"`
	Port         int           `mapstructure:"port"`
	TLS          string        `mapstructure:"tls"`
	From         string        `mapstructure:"from"`
	User         string        `mapstructure:"user"`
	Password     secret.Text   `mapstructure:"password"`
	PasswordFile string        `mapstructure:"password_file"`
	Timeout      time.Duration `mapstructure:"timeout"`
}

// maxPasswordFile bounds the file of a password, in bytes.
const maxPasswordFile = 1024

// check is what is wrong with one setting. Each is decoded after those before it in
// the table of settings.
func (m SMTP) check(key string) string {
	switch key {
	case "smtp.host":
		if strings.ContainsAny(m.Host, " /@\t\r\n") {
			return "must be a host name or an address, and nothing else"
		}
	case "smtp.port":
		return within(m.Port, 1, 65535)
	case "smtp.tls":
		if why := oneOf(m.TLS, mail.STARTTLS, mail.TLS, mail.Plain); why != "" {
			return why
		}
		if m.TLS == mail.Plain && m.Host != "" && !mail.CheckPlain(m.Host) {
			return "off is for a mail server on this machine: a link that is sent in the clear is anybody's"
		}
	case "smtp.from":
		if m.Host == "" && m.From == "" {
			return ""
		}
		if _, err := mail.ParseAddress(m.From); err != nil {
			return "must be an address such as log@example.com, with smtp.host"
		}
	case "smtp.password":
		if m.Password.IsSet() && m.User == "" {
			return "goes with smtp.user"
		}
	case "smtp.password_file":
		if m.PasswordFile != "" && (m.Password.IsSet() || m.User == "") {
			return "goes with smtp.user, and instead of smtp.password"
		}
	case "smtp.timeout":
		return within(m.Timeout, time.Second, 2*time.Minute)
	}
	return ""
}

// newMail is what sends this node's mail, nil where it sends none.
func (a *App) newMail() (invite.Postman, error) {
	m := a.cfg.SMTP
	if m.Host == "" {
		return nil, nil
	}
	password := m.Password.Reveal()
	if m.PasswordFile != "" {
		text, err := secret.ReadFile(m.PasswordFile, "the file of the mail server's password", maxPasswordFile)
		if err != nil {
			return nil, err
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	if m.User != "" && password == "" {
		return nil, fault.New(fault.Invalid, "smtp_password", "smtp.user has no password: set smtp.password (LOGLINE_SMTP_PASSWORD) or smtp.password_file")
	}
	return mail.New(mail.Config{Host: m.Host, Port: m.Port, User: m.User, Password: password, From: m.From, Security: m.TLS, Timeout: m.Timeout}), nil
}

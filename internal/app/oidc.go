package app

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/account/oidc"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
)

// OIDC is by whose word people sign in.
type OIDC struct {
	Providers string `mapstructure:"providers"` // file
}

// settings are the providers of the file, without their secrets.
func (o OIDC) settings() ([]oidc.Settings, error) {
	if o.Providers == "" {
		return nil, nil
	}
	f, err := os.Open(o.Providers)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "oidc_providers", "cannot be read: %s", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, oidc.MaxFile+1))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "oidc_providers", "cannot be read: %s", err)
	}
	if len(raw) > oidc.MaxFile {
		return nil, fault.Newf(fault.Invalid, "oidc_providers", "%s has more than %d bytes, so that it is another file", o.Providers, oidc.MaxFile)
	}
	return oidc.ParseSettings(raw)
}

// checkOIDC is what is wrong with the providers; it is asked after what they need.
func (c Config) checkOIDC() string {
	if c.OIDC.Providers == "" {
		return ""
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL == "" || err != nil || u.Scheme != "https" && !c.hereAlone() {
		return "providers send people back to where they reach the server: set public_url (LOGLINE_PUBLIC_URL), with https:// where others reach it"
	}
	if _, err := c.OIDC.settings(); err != nil {
		return fmt.Sprintf("%s: %s", c.OIDC.Providers, fault.From(err).Detail)
	}
	return ""
}

// opensByAddress says whether an address of a domain, which a provider has proven,
// opens an account: as a code that is mailed there would.
func (c Config) opensByAddress(domain string) bool {
	switch c.Registers() {
	case Open:
		return true
	case Domain:
		return slices.Contains(c.domains(), domain)
	}
	return false
}

// newOIDC is signing in by the word of other providers. A provider's secret is in a
// file beside that of the providers, or where it says.
func (a *App) newOIDC(accounts *account.Service) (*oidc.Service, error) {
	all, err := a.cfg.OIDC.settings()
	if err != nil {
		return nil, err
	}
	cfg := oidc.Config{PublicURL: a.cfg.publicURL(), Opens: a.cfg.opensByAddress, Now: a.opt.Now, Rand: a.opt.Rand, Logger: a.log}
	for _, p := range all {
		path := p.SecretFile
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(a.cfg.OIDC.Providers), path)
		}
		text, err := secret.ReadFile(path, "the file of the secret for "+p.Name, maxPasswordFile)
		if err != nil {
			return nil, err
		}
		value := strings.TrimRight(string(text), "\r\n")
		if value == "" {
			return nil, fault.Newf(fault.Invalid, "oidc_secret", "the file of the secret for %s, %s, is empty; put in it what the provider gave", p.Name, path)
		}
		cfg.Providers = append(cfg.Providers, oidc.Provider{Settings: p, Secret: secret.New(value)})
	}
	return oidc.New(a.db, accounts, cfg)
}

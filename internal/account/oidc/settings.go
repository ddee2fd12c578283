package oidc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
)

// Settings are one provider as an operator writes it down.
type Settings struct {
	Name       string   `yaml:"name"`               // in addresses
	Label      string   `yaml:"label"`              // that people read; default Name
	Issuer     string   `yaml:"issuer"`             // as the provider writes it
	ClientID   string   `yaml:"client_id"`          // that the provider knows this node by
	SecretFile string   `yaml:"client_secret_file"` // readable by the user of the server alone
	Domains    []string `yaml:"domains"`            // whose proven addresses open accounts; none: nobody's do
	Hosts      []string `yaml:"hosts"`              // that the provider's parts are at, beside the issuer's
}

// MaxFile bounds the file of providers, in bytes.
const MaxFile = 64 << 10

const mostProviders = 20

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// ParseSettings reads providers (YAML): what is wrong, where. Code oidc_providers.
func ParseSettings(raw []byte) ([]Settings, error) {
	var file struct {
		Providers []Settings `yaml:"providers"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, wrong("is no YAML with providers: %s", err)
	}
	if len(file.Providers) == 0 || len(file.Providers) > mostProviders {
		return nil, wrong("providers: has %d; name at least one and at most %d", len(file.Providers), mostProviders)
	}
	names, issuers := map[string]bool{}, map[string]bool{}
	for i := range file.Providers {
		p := &file.Providers[i]
		if why := p.check(); why != "" {
			return nil, wrong("providers[%d]: %s", i, why)
		}
		if names[p.Name] || issuers[p.Issuer] {
			return nil, wrong("providers[%d]: another has the same name or issuer", i)
		}
		names[p.Name], issuers[p.Issuer] = true, true
	}
	return file.Providers, nil
}

func wrong(format string, args ...any) error {
	return fault.New(fault.Invalid, "oidc_providers", fmt.Sprintf(format, args...))
}

// check is what is wrong with a provider, "" when nothing is; it fills in defaults.
func (p *Settings) check() string {
	if p.Label == "" {
		p.Label = p.Name
	}
	switch {
	case !namePattern.MatchString(p.Name):
		return "name: must be 1 to 32 of a to z, 0 to 9 and -"
	case len([]rune(p.Label)) > 64 || strings.ContainsFunc(p.Label, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }):
		return "label: must have at most 64 characters, and no control characters"
	case p.ClientID == "" || len(p.ClientID) > 512:
		return "client_id: is what the provider calls this node, up to 512 characters"
	case p.SecretFile == "":
		return "client_secret_file: names the file that holds the client's secret"
	}
	if _, err := parseIssuer(p.Issuer); err != nil {
		return "issuer: " + err.Error()
	}
	for i, domain := range p.Domains {
		p.Domains[i] = strings.ToLower(domain)
		if !isHost(domain) || strings.Contains(domain, ":") {
			return fmt.Sprintf("domains: %.80q is no domain, as example.com", domain)
		}
	}
	for i, host := range p.Hosts {
		p.Hosts[i] = strings.ToLower(host)
		if !isHost(host) {
			return fmt.Sprintf("hosts: %.80q is no host, as keys.example.com or keys.example.com:8443", host)
		}
	}
	return ""
}

// parseIssuer reads what a provider calls itself: with TLS, or on this machine.
func parseIssuer(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(text, "?# ") || !isHost(u.Host) {
		return nil, errors.New("must be https://host, with a port and a path where there are any, and nothing behind those")
	}
	if u.Scheme == "https" || u.Scheme == "http" && local(u.Hostname()) {
		return u, nil
	}
	return nil, errors.New("must begin with https://, unless the provider is on this machine")
}

func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// isHost says whether a text is a name or an address, with a port or without.
func isHost(text string) bool {
	u, err := url.Parse("https://" + text)
	return err == nil && u.Host == text && u.Hostname() != "" && len(text) <= 253 && !strings.ContainsAny(text, " /@%*\\\"'<>,")
}

// Provider is one whose word is taken.
type Provider struct {
	Settings
	Secret secret.Text
}

// opensFor is the domain of an address by which this provider's people open
// accounts; "" where it is none of them.
func (p Provider) opensFor(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	if domain = strings.ToLower(domain); domain != "" && slices.Contains(p.Domains, domain) {
		return domain
	}
	return ""
}

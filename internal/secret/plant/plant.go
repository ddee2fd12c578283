// Package plant finds secrets where none may be: those that a test has planted, in
// every form in which programs write bytes, and whatever has the shape of a secret
// of ours. It serves tests alone, and shows no secret that it finds.
package plant

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// shortest is how many bytes a planted secret has at least: of less there would be
// chance finds.
const shortest = 8

// Plants are secrets that a test has planted, by name. The zero value has none.
type Plants struct {
	list []planted
}

type planted struct {
	name  string
	forms map[string][]byte
}

// Text plants a secret that is text, such as a password.
func (p *Plants) Text(name, text string) { p.add(name, []byte(text)) }

// Bytes plants a secret that is bytes, such as a key's seed.
func (p *Plants) Bytes(name string, raw []byte) { p.add(name, raw) }

// Encoded plants the bytes that a base64url text stands for, and with them the text.
func (p *Plants) Encoded(name, text string) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		p.add(name, []byte(text))
		return
	}
	p.add(name, raw)
}

func (p *Plants) add(name string, raw []byte) {
	if len(raw) < shortest {
		panic("plant: " + name + " is too short to be told from chance") // tests alone
	}
	p.list = append(p.list, planted{name, forms(raw)})
}

// forms are the ways in which bytes get into a text: as they are, escaped, encoded
// (wherever in a longer value they stand), as lists of numbers, and as words of a
// goroutine's stack.
func forms(raw []byte) map[string][]byte {
	list := make([]string, len(raw))
	inGo := make([]string, len(raw))
	for i, b := range raw {
		list[i], inGo[i] = fmt.Sprint(b), fmt.Sprintf("0x%x", b)
	}
	quoted := fmt.Sprintf("%q", raw)
	out := map[string][]byte{
		"as it is": raw, "quoted": []byte(quoted[1 : len(quoted)-1]), "in a URL": []byte(url.QueryEscape(string(raw))),
		"hex": []byte(hex.EncodeToString(raw)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(raw))), "hex, spaced": fmt.Appendf(nil, "% x", raw),
		"numbers": []byte(strings.Join(list, " ")), "JSON numbers": []byte(strings.Join(list, ",")), "Go": []byte(strings.Join(inGo, ", ")),
	}
	for shift := range 3 { // base64 of a value in which they begin at any byte
		const inside = 1 // the characters at both ends depend on the neighbours
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), raw...))
		text = strings.TrimRight(text, "=")
		cut := text[(shift*8+5)/6 : len(text)-inside]
		out[fmt.Sprint("base64, shifted by ", shift)] = []byte(cut)
		out[fmt.Sprint("base64url, shifted by ", shift)] = []byte(strings.NewReplacer("+", "-", "/", "_").Replace(cut))
	}
	if len(raw) == 32 { // keys and seeds: a word of one on a stack tells too much
		for i := 0; i < len(raw); i += 8 {
			out[fmt.Sprint("word of memory ", i/8)] = fmt.Appendf(nil, "%#x", binary.LittleEndian.Uint64(raw[i:]))
		}
	}
	return out
}

// Search is what of the planted secrets stands in a text, one line for each form,
// without the secret.
func (p *Plants) Search(text []byte) (found []string) {
	for _, s := range p.list {
		for form, b := range s.forms {
			if at := bytes.Index(text, b); at >= 0 {
				found = append(found, fmt.Sprintf("%s, %s, at byte %d", s.name, form, at))
			}
		}
	}
	slices.Sort(found)
	return found
}

// Without is Search but for plants of these names.
func (p *Plants) Without(names ...string) *Plants {
	out := &Plants{}
	for _, s := range p.list {
		if !slices.Contains(names, s.name) {
			out.list = append(out.list, s)
		}
	}
	return out
}

// shapes are what secrets of ours look like, and those of others that we handle.
var shapes = []struct {
	name string
	form *regexp.Regexp
}{
	{"an API key", regexp.MustCompile(`llk_[a-z2-7]{75}`)},
	{"a session's token", regexp.MustCompile(`lls_[a-z2-7]{75}`)},
	{"an invitation", regexp.MustCompile(`lli_[A-Za-z0-9_-]{43}`)},
	{"a mailed code", regexp.MustCompile(`llc_[0-9a-z]{16}`)},
	{"a bootstrap token", regexp.MustCompile(`llb_[A-Za-z0-9_-]{43}`)},
	{"an onboarding token", regexp.MustCompile(`llo_[A-Za-z0-9_-]{43}`)},
	{"a webhook's secret", regexp.MustCompile(`whsec_[A-Za-z0-9+/]{32,}`)},
	{"a signed token (JWT)", regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{40,}`)},
	{"an Authorization header", regexp.MustCompile(`(?i)authorization"?[:=\[ ]+"?(bearer|basic) [A-Za-z0-9._~+/=-]{12,}`)},
	{"a password in a URL", regexp.MustCompile(`\b(?:postgres|postgresql|redis|rediss|https?)://[^\s:/@"']*:([^\s@/"']+)@`)},
	{"a private key in PEM", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"a seed in a key file", regexp.MustCompile(`"(?:primary|device|secret)":\s*"[A-Za-z0-9_-]{43}"`)},
	{"a recovery sheet", regexp.MustCompile(`key: (?:[0-9A-HJKMNP-TV-Z]{4} ){5}[0-9A-HJKMNP-TV-Z]{4}`)},
	{"a share of a key", regexp.MustCompile(`"share":\s*[0-9]+,\s*"value":\s*"[A-Za-z0-9_-]{43}"`)},
	{"an age identity", regexp.MustCompile(`AGE-SECRET-KEY-1[A-Z0-9]{20,}`)},
}

// masked is what stands in the place of a password in a URL that is shown.
var masked = []string{"xxxxx", "password", "…", "***"}

// Looks is what in a text looks like a secret, one line for each shape, without
// it. It knows nothing of what was planted, so that any output can be searched.
func Looks(text []byte) (found []string) {
	for _, s := range shapes {
		for _, at := range s.form.FindAllSubmatchIndex(text, -1) {
			if len(at) == 4 && slices.Contains(masked, string(text[at[2]:at[3]])) {
				continue
			}
			found = append(found, fmt.Sprintf("%s, at byte %d", s.name, at[0]))
			break
		}
	}
	return found
}

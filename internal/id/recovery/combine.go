package recovery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Handed is a share as somebody handed it in.
type Handed struct {
	Name  string // of the file, for messages
	Share *Share
}

// Combine is the seed that enough shares of one ceremony are together, which every
// share was checked for alone (ParseShare). Shares of another ceremony are named and
// not combined, and so are two of one number. Codes: shares_foreign, shares_repeated,
// shares_few, shares_wrong.
func Combine(handed []Handed) (c Ceremony, seed [32]byte, err error) {
	if len(handed) == 0 {
		return c, seed, fault.New(fault.Invalid, "shares_few", "no share was handed in")
	}
	c = handed[0].Share.Ceremony
	if err := together(handed); err != nil {
		return c, seed, err
	}
	if len(handed) < c.Needs {
		return c, seed, fault.Newf(fault.Invalid, "shares_few", "%d shares are needed, and handed in: %d; hand in %d more", c.Needs, len(handed), c.Needs-len(handed))
	}
	points := make([]secretsharing.Share, len(handed))
	for i, h := range handed {
		if points[i], err = h.Share.point(); err != nil {
			return c, seed, err
		}
	}
	scalar, err := secretsharing.Recover(uint(c.Needs-1), points)
	if err != nil {
		return c, seed, broken(err)
	}
	seed, err = c.open(scalar)
	return c, seed, err
}

// together says whether all shares are of one ceremony, and none is there twice.
func together(handed []Handed) error {
	var kinds []string // of the ceremonies, by their signatures
	var names [][]string
	numbers := map[int]string{}
	for _, h := range handed {
		at := slices.Index(kinds, h.Share.Signature)
		if at < 0 {
			at, kinds, names = len(kinds), append(kinds, h.Share.Signature), append(names, []string{fmt.Sprintf("of %s, made %s: ", h.Share.Identity, h.Share.Made)})
		}
		names[at] = append(names[at], h.Name)
	}
	if len(kinds) > 1 {
		groups := make([]string, len(names))
		for i, n := range names {
			groups[i] = n[0] + strings.Join(n[1:], ", ")
		}
		return fault.Newf(fault.Invalid, "shares_foreign", "these shares are of different ceremonies and do not go together (%s)", strings.Join(groups, "; "))
	}
	for _, h := range handed {
		if other, twice := numbers[h.Share.Number]; twice {
			return fault.Newf(fault.Invalid, "shares_repeated", "%s and %s are one share, number %d; each counts once", other, h.Name, h.Share.Number)
		}
		numbers[h.Share.Number] = h.Name
	}
	return nil
}

// open is the seed under the scalar that was shared.
func (c *Ceremony) open(scalar group.Scalar) (seed [32]byte, err error) {
	sealed, err := span.ParseB64(c.Sealed, 32+16)
	if err != nil {
		return seed, fault.New(fault.Invalid, "shares_wrong", "the sealed key in these shares is none").Because(err)
	}
	seal, err := c.cipher(scalar)
	if err != nil {
		return seed, err
	}
	plain, err := seal.Open(nil, make([]byte, seal.NonceSize()), sealed, nil)
	if err != nil {
		return seed, fault.New(fault.Invalid, "shares_wrong", "these shares do not open the key that is sealed in them").Because(err)
	}
	return [32]byte(plain), nil
}

// Seal encrypts a share to one recipient (age1…), as an armored age file.
func (s *Share) Seal(recipient string) ([]byte, error) {
	to, err := age.ParseRecipients(strings.NewReader(recipient))
	if err != nil || len(to) != 1 {
		return nil, fault.New(fault.Invalid, "age_recipient", "what a share is encrypted to is the public key of one age identity, age1…; people make theirs with age-keygen").Because(err)
	}
	text, err := s.Text()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return nil, broken(err)
	}
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close(), armored.Close()); err != nil {
		return nil, broken(err)
	}
	return out.Bytes(), nil
}

// OpenShare reads a share, decrypting it with one of some age identities where it is
// encrypted. Codes: share_encrypted, share_not_yours, and those of ParseShare.
func OpenShare(src []byte, with ...age.Identity) (*Share, error) {
	src = bytes.TrimSpace(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")))
	if !bytes.HasPrefix(src, []byte(armor.Header)) {
		return ParseShare(src)
	}
	if len(with) == 0 {
		return nil, fault.New(fault.Invalid, "share_encrypted", "this share is encrypted; give the age identity of whom it is for")
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(src)), with...)
	var noMatch *age.NoIdentityMatchError
	if errors.As(err, &noMatch) {
		return nil, fault.New(fault.Invalid, "share_not_yours", "this share is encrypted to somebody else's age key")
	}
	if err != nil {
		return nil, malformed("is damaged").Because(err)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxShareBytes+1))
	if err != nil {
		return nil, malformed("is damaged").Because(err)
	}
	return ParseShare(text)
}

// strict reads one JSON value without members that are not known.
func strict(src []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

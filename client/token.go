package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Signer holds an Ed25519 key and signs with it, without giving it away.
type Signer interface {
	Public() string             // the public key, base64url without padding
	Sign(message []byte) []byte // the 64-byte signature
}

// Credentials live five minutes, the longest a node accepts, and are used for
// four, so that none ends on its way.
const (
	tokenLife = 5 * time.Minute
	tokenUse  = 4 * time.Minute
)

// tokens signs the caller's credentials and keeps the last one.
type tokens struct {
	signer   Signer
	identity string
	origin   string // of the server that is spoken to

	mu       sync.Mutex // guards the rest
	audience string
	token    string
	made     time.Time
}

// authorize puts the caller's token on req; without a signer it does nothing.
func (c *Client) authorize(ctx context.Context, req *http.Request) error {
	if c.token.signer == nil {
		return nil
	}
	token, err := c.token.get(ctx, c)
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return err
}

// get is the last token, or a new one.
func (t *tokens) get(ctx context.Context, c *Client) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := c.now()
	if t.token == "" || now.Before(t.made) || now.Sub(t.made) > tokenUse {
		if t.audience == "" {
			node, err := c.Node(ctx)
			if err != nil {
				return "", fmt.Errorf("ask the node who it is, to sign in: %w", err)
			}
			t.audience = node.Id
		}
		t.token, t.made = signToken(t.signer, t.identity, t.audience, t.origin, now), now
	}
	return t.token, nil
}

// renew has the next request carry a new token.
func (t *tokens) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = ""
}

// signToken makes a JWT (RFC 7519) signed by the caller's own key. It names the origin
// of the server that it is sent to, so that this server cannot use it at another node,
// whatever it says that it is.
func signToken(s Signer, identity, audience, origin string, now time.Time) string {
	part := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and numbers always marshal
		return base64.RawURLEncoding.EncodeToString(b)
	}
	head := part(map[string]any{"alg": "EdDSA", "typ": "logline-auth+jwt", "kid": s.Public()})
	claims := map[string]any{
		"sub": identity, "aud": audience, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(),
	}
	if origin != "" {
		claims["origin"] = origin
	}
	body := part(claims)
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(s.Sign([]byte(head+"."+body)))
}

// originOf is the origin of an address (RFC 6454 §6.2): in lower case, without the
// port that is usual for its scheme; "" for names in other scripts, which are asked for
// in another spelling.
func originOf(u *url.URL) string {
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return ""
	}
	host, usual := strings.ToLower(u.Host), map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.TrimSuffix(host, usual), ":")
}

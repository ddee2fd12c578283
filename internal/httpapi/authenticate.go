package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// Authenticator takes one kind of credential. The first of the server's whose
// Takes says yes judges it, and nobody else does.
type Authenticator interface {
	// Takes says by its form alone whether a credential is of this kind.
	Takes(credential string) bool
	// Authenticate says who the caller is, as of now. It is asked at each request
	// and again while a feed lasts. What proves nothing is Unauthenticated, with
	// the precise reason, which goes to the log and not to the caller; it never
	// repeats the credential.
	Authenticate(ctx context.Context, credential string) (id.Credential, error)
}

var (
	_ Authenticator = keyAuthenticator{}
	_ Authenticator = tokenAuthenticator{}
	_ Authenticator = bootstrapAuthenticator{}
	_ Authenticator = (*ticketAuthenticator)(nil)
)

// errInvalid is the one answer for a credential that is not good here. Which of
// all reasons it is would tell who tries them how close they are.
var errInvalid = fault.New(fault.Unauthenticated, "credential_invalid",
	"the credential is not valid here: unknown, withdrawn, expired, replaced or wrongly signed; the server's log has the reason under this request id")

// plainReasons are the refusals that follow from the credential's text and the
// clock alone: whoever holds the text knows them already, and can mend them.
var plainReasons = map[string]bool{
	"api_key_malformed": true, "session_malformed": true, codeSecond: true, "credential_malformed": true, "credential_required": true,
	"token_too_large": true, "token_malformed": true, "token_algorithm": true, "token_type": true, "token_audience": true, "token_origin": true, "token_origin_required": true,
	"token_lifetime": true, "token_expired": true, "token_not_yet_valid": true, "ticket_invalid": true,
}

// uniform makes all reasons alike that rest on what the node knows.
func uniform(err error) error {
	if fault.KindOf(err) != fault.Unauthenticated || plainReasons[fault.CodeOf(err)] {
		return err
	}
	return errInvalid.Because(err)
}

// authenticators are those for an Authorization header, in the order they are asked.
func (s *Server) authenticators() []Authenticator {
	all := []Authenticator{keyAuthenticator{s.deps.APIKeys}}
	if s.deps.Accounts != nil { // some tests have none
		all = append(all, s.deps.Accounts)
	}
	return append(append(all, s.deps.Authenticators...), tokenAuthenticator{s})
}

// foundersOf is the same for routes that take the bootstrap token, which has no form
// of its own: it is asked for after all that have.
func foundersOf(bearers []Authenticator) []Authenticator {
	return slices.Insert(slices.Clone(bearers), len(bearers)-1, Authenticator(bootstrapAuthenticator{}))
}

// authenticate is whose credential it is.
func authenticate(ctx context.Context, by []Authenticator, credential string) (id.Credential, error) {
	for _, a := range by {
		if a.Takes(credential) {
			who, err := a.Authenticate(ctx, credential)
			return who, uniform(err)
		}
	}
	return id.Credential{}, errScheme
}

// keyAuthenticator takes API keys.
type keyAuthenticator struct{ keys APIKeys }

func (keyAuthenticator) Takes(credential string) bool { return id.IsAPIKey(credential) }

func (a keyAuthenticator) Authenticate(ctx context.Context, credential string) (id.Credential, error) {
	return a.keys.Authenticate(ctx, credential)
}

// tokenAuthenticator takes tokens signed by the caller's own key, and with them
// all that is nothing else: such a thing is a token with a mistake in it.
type tokenAuthenticator struct{ server *Server }

func (tokenAuthenticator) Takes(string) bool { return true }

func (a tokenAuthenticator) Authenticate(ctx context.Context, credential string) (id.Credential, error) {
	return a.server.signed(credential, func(who string) (*id.Chain, error) { return a.server.deps.Directory.Chain(ctx, who) })
}

// byBootstrap is how a caller comes who makes the first tenant.
const byBootstrap = "bootstrap"

// bootstrapAuthenticator takes what may be the bootstrap token. It does not judge
// it: what is made with it spends it, in the same transaction. Only the routes
// that make something with it ask here.
type bootstrapAuthenticator struct{}

func (bootstrapAuthenticator) Takes(credential string) bool {
	return !isJWT(credential) && !id.IsAPIKey(credential)
}

func (bootstrapAuthenticator) Authenticate(context.Context, string) (id.Credential, error) {
	return id.Credential{How: byBootstrap}, nil
}

// isJWT tells a signed token from a bootstrap token: a JWT begins with the
// base64url of `{"`.
func isJWT(token string) bool {
	return strings.HasPrefix(token, "eyJ") && strings.Count(token, ".") == 2
}

// caller is who sent the request, nobody for a request without a credential. One
// that proves nothing is an error everywhere but where none is looked at. It is
// judged and counted anew each time: a handler asks once.
func (s *Server) caller(c echo.Context) (id.Credential, error) {
	token, err := s.credentialOf(c)
	if err != nil || token == "" {
		return id.Credential{}, err
	}
	who, err := s.callerOf(c, token)
	s.tend(c, token, who, err)
	if err == nil {
		err = mayAsk(c, who)
	}
	if err == nil {
		err = s.countCaller(c, who, 1)
	}
	return who, err
}

// callerOf is whose credential it is, now. Every route that wants to know the
// caller asks here.
func (s *Server) callerOf(c echo.Context, token string) (id.Credential, error) {
	who, err := authenticate(c.Request().Context(), s.bearers, token)
	if err == nil {
		err = s.judgeOrigin(c.Request(), who)
	}
	return who, err
}

// signerOf is who signed a token that came with a request, and what the key that did
// may do.
func (s *Server) signerOf(req *http.Request, token string, chain func(who string) (*id.Chain, error)) (id.Credential, error) {
	who, err := s.signed(token, chain)
	if err == nil {
		err = s.judgeOrigin(req, who)
	}
	return who, err
}

// signed is signerOf but for the origin that the token is for, which whoever knows the
// request judges.
func (s *Server) signed(token string, chain func(who string) (*id.Chain, error)) (id.Credential, error) {
	var signer *id.Chain
	by, err := s.tokens.Verify(token, s.deps.Node.ID(), s.now(), func(who string) (c *id.Chain, err error) {
		signer, err = chain(who)
		return signer, err
	})
	if err != nil {
		return id.Credential{}, err
	}
	grant, _ := signer.Key(by.Key)
	return id.Credential{How: id.ByToken, Identity: by.Identity, Origin: by.Origin, Key: grant, Expires: grant.Expires}, nil
}

// known is caller for routes that take no anonymous request.
func (s *Server) known(c echo.Context) (id.Credential, error) {
	who, err := s.caller(c)
	if err == nil && who.Identity == "" {
		err = errCredential
	}
	return who, err
}

// works are the parts of a tenant where whoever does more than look needs an API
// key's right to tasks.
var works = []string{"/tasks/", "/schedules/", "/followers/", "/backtests", "/replays"}

// rightFor is the right that an API key needs for a request, "" for none. It is
// asked before anything is looked up, so that its answer tells nothing.
func rightFor(method, route string) string {
	rest, inTenant := strings.CutPrefix(route, "/v1/tenants/:tenant")
	switch {
	case method == http.MethodDelete && route == "/v1/identities/:identity/keys/:key":
		return "" // any key may end itself
	case inTenant && method == http.MethodPost && rest == "/events":
		return id.RightAppend
	case inTenant && method != http.MethodGet && hasAnyPrefix(rest, works):
		return id.RightTasks
	}
	return id.RightRead
}

func hasAnyPrefix(text string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// mayAsk holds an API key to its rights.
func mayAsk(c echo.Context, who id.Credential) error {
	if right := rightFor(c.Request().Method, c.Path()); right != "" && !who.Has(right) {
		return fault.Newf(fault.Forbidden, "api_key_right_missing", "this API key has no right to %s; make one with the right %[1]s", right)
	}
	return nil
}

// tellKey writes down what became of an API key, by names that are no secret.
func (s *Server) tellKey(c echo.Context, what string, key *id.APIKey, by string) {
	s.log.LogAttrs(c.Request().Context(), slog.LevelInfo, "API key "+what, slog.String("key", key.ID), slog.String("identity", key.Identity),
		slog.String("by", by), slog.Any("rights", key.Rights), slog.Any("types", key.Types), slog.String("tenant", key.Tenant),
		slog.String("expires", key.ExpiresAt), slog.String("replaces", key.Replaces), slog.String("request_id", idOf(c)))
}

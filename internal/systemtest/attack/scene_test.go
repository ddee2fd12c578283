package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// binary is the program under attack, built once by TestMain, or the one that
// LOGLINE_TEST_BINARY names.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binary = os.Getenv("LOGLINE_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "logline-attack")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = program.Build(context.Background(), "../../..", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// secret stands in the victim's private payloads. No answer that a hostile
// caller gets may contain it.
const secret = "the-treasure-of-the-victim"

// scene is a node with a victim's tenant and a hostile one on it. Registration
// and tenants are open, as on a node that serves strangers.
type scene struct {
	*program.Server
	t      testing.TB
	node   string // LogLine ID
	tenant *client.Tenant

	owner, admin, member, agent, auditor, guest *id.Keys // of the victim's tenant
	former                                      *id.Keys // who was a member there

	mallory *id.Keys // owner of the hostile tenant, and nothing in the victim's
	evil    *client.Tenant

	private, organization string // span ids of the victim's
}

// onEach runs an attack against a node on each database.
func onEach(t *testing.T, attack func(t *testing.T, s *scene)) {
	t.Helper()
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			attack(t, newScene(t, kind))
		})
	}
}

// alone runs an attack against a node on SQLite.
func alone(t *testing.T, flags ...string) *scene {
	t.Helper()
	t.Parallel()
	return newScene(t, "sqlite", flags...)
}

func newScene(t testing.TB, kind string, flags ...string) *scene {
	t.Helper()
	s := newNode(t, kind, flags...)
	s.tenant = s.firstTenant()
	s.admin, s.member, s.agent = s.join("admin"), s.join("member"), s.join("agent")
	s.auditor, s.guest, s.former = s.join("auditor"), s.join("guest"), s.join("member")
	s.withdraw(s.former, "member")
	s.private = s.record(s.owner, `{"text":"`+secret+`"}`, visible(span.VisibilityPrivate))
	s.organization = s.record(s.owner, `{"text":"for members"}`)
	s.mallory = s.identity()
	s.evil = s.newTenant(s.mallory, "evil")
	return s
}

// newNode is a node without a tenant.
func newNode(t testing.TB, kind string, flags ...string) *scene {
	t.Helper()
	if kind == "postgres" {
		flags = append(flags, "--database-url", pgtest.New(t).URL)
	}
	server, err := program.New(binary, filepath.Join(t.TempDir(), "data"), append([]string{"--registration", "open", "--tenants", "open"}, flags...)...)
	require.NoError(t, err)
	server.Cmd.Env = append(server.Cmd.Env, "LOGLINE_MASTER_KEY="+masterKey(t), "GOMAXPROCS=2")
	require.NoError(t, server.Start())
	t.Cleanup(server.Kill)
	s := &scene{Server: server, t: t, owner: keys(t)}
	var node struct{ ID string }
	s.get("", "/v1/node").want(t, http.StatusOK).decode(t, &node)
	s.node = node.ID
	return s
}

func masterKey(t testing.TB) string {
	key, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	return key
}

func keys(t testing.TB) *id.Keys {
	t.Helper()
	k, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	return k
}

func (s *scene) firstTenant() *client.Tenant {
	s.t.Helper()
	api, err := client.New(s.URL)
	require.NoError(s.t, err)
	tenant, err := s.FirstTenant(context.Background(), api, s.owner, "acme", "Acme")
	require.NoError(s.t, err, "log:\n%s", s.Log)
	return tenant
}

// identity registers somebody.
func (s *scene) identity() *id.Keys {
	s.t.Helper()
	k := keys(s.t)
	s.post("", "/v1/identities", program.Registration(k)).want(s.t, http.StatusCreated)
	return k
}

func (s *scene) newTenant(owner *id.Keys, slug string) *client.Tenant {
	s.t.Helper()
	var out client.Tenant
	s.post(s.token(owner), "/v1/tenants", client.NewTenant{Slug: slug, Name: "A tenant", Owner: owner.ID()}).want(s.t, http.StatusCreated).decode(s.t, &out)
	return &out
}

// join registers somebody who gets roles in the victim's tenant.
func (s *scene) join(roles ...string) *id.Keys {
	s.t.Helper()
	k := s.identity()
	s.append(s.role(s.owner, k, span.ActionGrant, roles...)).want(s.t, http.StatusCreated)
	return k
}

func (s *scene) withdraw(k *id.Keys, roles ...string) {
	s.t.Helper()
	s.append(s.role(s.owner, k, span.ActionWithdraw, roles...)).want(s.t, http.StatusCreated)
}

// role is a span that changes somebody's roles in the victim's tenant.
func (s *scene) role(by, of *id.Keys, action string, roles ...string) []byte {
	payload, err := span.Canonical(span.Member{Identity: of.ID(), Roles: roles, Action: action})
	require.NoError(s.t, err)
	return s.seal(by, string(payload), typed(span.TypeMember))
}

// token is a credential that keys sign for the node.
func (s *scene) token(k *id.Keys) string {
	if k == nil {
		return ""
	}
	token, err := id.SignToken(k.Signer(), k.ID(), s.node, time.Now(), 4*time.Minute)
	require.NoError(s.t, err)
	return token
}

type change = func(*span.Header)

func typed(typ string) change          { return func(h *span.Header) { h.Type = typ } }
func visible(v string) change          { return func(h *span.Header) { h.Visibility = v } }
func in(tenant *client.Tenant) change  { return func(h *span.Header) { h.Tenant = tenant.Id } }
func named(spanID string) change       { return func(h *span.Header) { h.ID = spanID } }
func causedBy(causes ...string) change { return func(h *span.Header) { h.Causes = causes } }

// seal makes a span for the victim's tenant unless a change says otherwise.
func (s *scene) seal(author *id.Keys, payload string, changes ...change) []byte {
	s.t.Helper()
	spanID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(s.t, err)
	h := span.Header{
		ID: spanID, Author: author.ID(), Type: "test.happened", Time: span.FormatTime(time.Now()),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	if s.tenant != nil {
		h.Tenant = s.tenant.Id
	}
	for _, c := range changes {
		c(&h)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	sp, err := id.SealSpan(author.Signer(), h, []byte(payload), salt)
	require.NoError(s.t, err)
	return sp.Canonical()
}

// append sends a span to the tenant it is signed for.
func (s *scene) append(raw []byte) reply {
	s.t.Helper()
	var of struct{ Tenant string }
	require.NoError(s.t, json.Unmarshal(raw, &of))
	return s.do(http.MethodPost, "", "/v1/tenants/"+of.Tenant+"/spans", "application/json", raw)
}

// record appends a span that must be taken, and gives its id.
func (s *scene) record(author *id.Keys, payload string, changes ...change) string {
	s.t.Helper()
	raw := s.seal(author, payload, changes...)
	s.append(raw).want(s.t, http.StatusCreated)
	return idOf(s.t, raw)
}

// activate brings a contract into force in a tenant of owner's.
func (s *scene) activate(owner *id.Keys, tenant *client.Tenant, source string) reply {
	s.t.Helper()
	return s.append(s.contract(owner, tenant, source))
}

func (s *scene) contract(owner *id.Keys, tenant *client.Tenant, source string) []byte {
	s.t.Helper()
	head := strings.Fields(source) // contract NAME version "1.0.0"
	payload, err := span.Canonical(map[string]any{
		"name": head[1], "version": strings.Trim(head[3], `"`), "hash": span.Sum([]byte(source)).String(), "source": source, "action": "activate",
	})
	require.NoError(s.t, err)
	return s.seal(owner, string(payload), in(tenant), typed(span.TypeContract))
}

func idOf(t testing.TB, raw []byte) string {
	t.Helper()
	var sp struct{ ID string }
	require.NoError(t, json.Unmarshal(raw, &sp))
	return sp.ID
}

// at is a path of the victim's tenant.
func (s *scene) at(path string) string { return "/v1/tenants/" + s.tenant.Id + path }

// size is how many entries the victim's timeline has.
func (s *scene) size() uint64 {
	s.t.Helper()
	var out client.Tenant
	s.get(s.token(s.owner), s.at("")).want(s.t, http.StatusOK).decode(s.t, &out)
	return out.Size
}

// reply is an answer read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) want(t testing.TB, status int) reply {
	t.Helper()
	require.Equal(t, status, r.status, "%.2000s", r.body)
	return r
}

func (r reply) decode(t testing.TB, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(r.body, into), "%.2000s", r.body)
}

// code is that of the problem, "" for an answer that is none.
func (r reply) code() string {
	var p struct{ Code, Type string }
	if json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "urn:logline:problem:")
}

// problem expects a refusal with this code.
func (r reply) problem(t testing.TB, status int, code string) reply {
	t.Helper()
	r.want(t, status)
	require.Equal(t, code, r.code(), "%.2000s", r.body)
	return r
}

// same is what of an answer may not differ between what is not there and what
// is not for the caller.
func (r reply) same() string {
	var doc map[string]any
	if json.Unmarshal(r.body, &doc) == nil {
		delete(doc, "instance")
		text, _ := json.Marshal(doc)
		return fmt.Sprint(r.status, string(text))
	}
	return fmt.Sprint(r.status, string(r.body))
}

func (s *scene) get(token, path string) reply {
	s.t.Helper()
	return s.do(http.MethodGet, token, path, "", nil)
}

func (s *scene) post(token, path string, body any) reply {
	s.t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(s.t, err)
	}
	return s.do(http.MethodPost, token, path, "application/json", raw)
}

// do sends a request and reads the answer, of at most 64 MiB.
func (s *scene) do(method, token, path, contentType string, body []byte) reply {
	s.t.Helper()
	r, err := s.try(context.Background(), method, token, path, contentType, bytes.NewReader(body))
	require.NoError(s.t, err, "log:\n%s", s.Log)
	return r
}

// try is do for goroutines other than the test's own.
func (s *scene) try(ctx context.Context, method, token, path, contentType string, body io.Reader) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, body)
	if err != nil {
		return reply{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := browser().Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, raw}, nil
}

// browser is a client that many attackers share; it follows no redirections.
var browser = sync.OnceValue(func() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.Proxy = 64, nil
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
})

// strangers are all who may read nothing of the victim's tenant.
func (s *scene) strangers() map[string]string {
	return map[string]string{
		"anonymous": "", "owner of another tenant": s.token(s.mallory), "former member": s.token(s.former),
		"unregistered": s.token(keys(s.t)), "bootstrap token": "llb_" + strings.Repeat("x", 40), "API key of the hostile tenant": s.apiKey(s.mallory, nil),
	}
}

// apiKey makes an API key of an identity for itself.
func (s *scene) apiKey(of *id.Keys, terms map[string]any) string {
	s.t.Helper()
	body := map[string]any{"label": "test"}
	for name, value := range terms {
		body[name] = value
	}
	var out struct{ Key string }
	s.post(s.token(of), "/v1/identities/"+bare(of)+"/keys", body).want(s.t, http.StatusCreated).decode(s.t, &out)
	return out.Key
}

// bare is a LogLine ID as it stands in a path.
func bare(k *id.Keys) string { return strings.TrimPrefix(k.ID(), span.IdentityScheme) }

// headerHash is that of an entry as readers get it.
func headerHash(t testing.TB, entry json.RawMessage) string {
	t.Helper()
	var e struct {
		Span map[string]json.RawMessage `json:"span"`
	}
	require.NoError(t, json.Unmarshal(entry, &e))
	delete(e.Span, "payload")
	delete(e.Span, "salt")
	raw, err := span.Canonical(e.Span)
	require.NoError(t, err)
	return span.Sum(raw).String()
}

func jsonOf(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

// bomb is 64 MiB of zeros in some 64 KiB of gzip.
func bomb(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, err := z.Write(zeros)
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

// resident is what the node's process holds of memory, in bytes; 0 where the
// system does not tell.
func (s *scene) resident(t testing.TB) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var size, resident int64
	_, err = fmt.Sscan(string(raw), &size, &resident)
	require.NoError(t, err)
	return resident * int64(os.Getpagesize())
}

// sealAs is a span in the name of an identity, signed with somebody else's key.
func (s *scene) sealAs(signer *id.Keys, author string, tenant *client.Tenant, typ, payload string) []byte {
	s.t.Helper()
	return s.seal(signer, payload, in(tenant), typed(typ), func(h *span.Header) { h.Author = author })
}

// payloadOf is the payload of a span as it is sent.
func payloadOf(t testing.TB, raw []byte) json.RawMessage {
	t.Helper()
	var sp struct{ Payload json.RawMessage }
	require.NoError(t, json.Unmarshal(raw, &sp))
	return sp.Payload
}

// used is how much processor time the node has taken so far; 0 where the system
// does not tell.
func (s *scene) used(t testing.TB) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks time.Duration
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		var n int64
		_, err := fmt.Sscan(field, &n)
		require.NoError(t, err)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

func simulated(h *span.Header) { h.Status = span.StatusSimulated }

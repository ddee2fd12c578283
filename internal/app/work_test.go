package app

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const needle = "quaggaquagga"

// people is a node with two tenants and a person, bo, whose data it holds.
type people struct {
	running
	t       *testing.T
	cfg     Config
	ana, bo *id.Keys
	tenants []string
}

func withPeople(t *testing.T, cfg Config) *people {
	t.Helper()
	cfg.Tenants = Open
	p := &people{t: t, cfg: cfg, running: start(t, cfg, nil)}
	token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
	require.NoError(t, err)
	p.ana = makeTenant(t, p.running, strings.TrimSpace(string(token)))
	p.bo, err = id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	directory := id.NewDirectory(p.db, id.DefaultVerifier(), time.Now)
	_, _, err = directory.Register(t.Context(), p.bo.Events(), "bo", needle+" Bo")
	require.NoError(t, err)
	bearer, err := id.SignToken(p.ana.Signer(), p.ana.ID(), p.NodeID(), time.Now(), time.Minute)
	require.NoError(t, err)
	status, body := p.ask(t, "POST", "/v1/tenants", bearer, fmt.Sprintf(`{"slug":"second","name":"Second","owner":%q}`, p.ana.ID()))
	require.Equal(t, http.StatusCreated, status, body)
	for _, slug := range []string{"acme", "second"} {
		status, body := p.ask(t, "GET", "/v1/tenants/"+slug, bearer, "")
		require.Equal(t, 200, status, body)
		var tenant struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(body), &tenant))
		p.tenants = append(p.tenants, tenant.ID)
		p.say(tenant.ID, p.ana, span.TypeMember, span.Member{Identity: p.bo.ID(), Roles: []string{"member"}, Action: "grant"})
		for n := range 3 {
			p.say(tenant.ID, p.bo, "note.written", map[string]any{"text": fmt.Sprint(needle, n)}, func(h *span.Header) { h.Visibility = span.VisibilityPrivate })
		}
		p.say(tenant.ID, p.ana, "note.written", map[string]any{"text": needle + " for"}, func(h *span.Header) { h.OnBehalfOf = p.bo.ID() })
		p.say(tenant.ID, p.ana, "note.written", map[string]any{"text": needle + " about"}, func(h *span.Header) { h.Subject = p.bo.ID() })
		p.say(tenant.ID, p.ana, "note.written", map[string]any{"text": "anas secret about bo"}, func(h *span.Header) { h.Subject, h.Visibility = p.bo.ID(), span.VisibilityPrivate })
		p.say(tenant.ID, p.ana, "note.written", map[string]any{"text": "of nobody else"})
	}
	_, _, err = id.NewAPIKeys(p.db, time.Now, rand.Reader, id.APIKeyConfig{}).Create(t.Context(), id.APIKey{Identity: p.bo.ID(), CreatedBy: p.bo.ID()})
	require.NoError(t, err)
	return p
}

func (p *people) say(tenant string, by *id.Keys, typ string, payload any, change ...func(*span.Header)) {
	p.t.Helper()
	canonical, err := span.Canonical(payload)
	require.NoError(p.t, err)
	spanID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(p.t, err)
	h := span.Header{ID: spanID, Tenant: tenant, Author: by.ID(), Type: typ, Time: span.FormatTime(time.Now()), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization}
	for _, c := range change {
		c(&h)
	}
	salt := make([]byte, 16)
	_, err = rand.Read(salt)
	require.NoError(p.t, err)
	sp, err := id.SealSpan(by.Signer(), h, canonical, salt)
	require.NoError(p.t, err)
	status, body := p.ask(p.t, "POST", "/v1/tenants/"+tenant+"/spans", "", string(sp.Canonical()))
	require.Equal(p.t, http.StatusCreated, status, body)
}

// shown is everything of both tenants that an auditor's right would show.
func (p *people) shown() string {
	p.t.Helper()
	bearer, err := id.SignToken(p.bo.Signer(), p.bo.ID(), p.NodeID(), time.Now(), time.Minute)
	require.NoError(p.t, err)
	var all strings.Builder
	for _, tenant := range p.tenants {
		status, body := p.ask(p.t, "GET", "/v1/tenants/"+tenant+"/spans?limit=1000", bearer, "")
		require.Equal(p.t, 200, status, body)
		all.WriteString(body)
	}
	return all.String()
}

// beside says whether commands work beside a server: files have one process.
func (p *people) settle() {
	p.t.Helper()
	if p.cfg.timelineDir() != "" {
		require.NoError(p.t, p.stop())
	}
}

// TestPersonIsErased: of a person everything goes that can go, in every tenant and
// beside a server at work, which goes on; a repeat changes nothing.
func TestPersonIsErased(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withPeople(t, kind(t))
			require.Contains(t, p.shown(), needle)
			p.settle()
			ctx := t.Context()
			for who, code := range map[string]string{"@nobody": "identity_unknown", "bo": "identity_malformed", p.NodeID(): "person_is_node"} {
				_, err := ErasePerson(ctx, p.cfg, quiet(), who, "gdpr-1", false)
				require.Equal(t, code, fault.CodeOf(err), who)
			}
			plan, err := ErasePerson(ctx, p.cfg, quiet(), "@bo", "", true)
			require.NoError(t, err)
			require.False(t, plan.Done)
			done, err := ErasePerson(ctx, p.cfg, quiet(), "@bo", "gdpr-1", false)
			require.NoError(t, err)
			require.True(t, done.Done)
			require.Len(t, done.Tenants, 2)
			for i, tenant := range done.Tenants {
				require.Equal(t, 6, tenant.Payloads, "three of theirs, one for them, two about them")
				require.Zero(t, tenant.Before)
				require.Equal(t, plan.Tenants[i], tenant, "as planned")
			}
			require.True(t, done.Names)
			require.Equal(t, 1, done.APIKeys)
			_, err = ErasePerson(ctx, p.cfg, quiet(), "@bo", "gdpr-1", false)
			require.Equal(t, "identity_unknown", fault.CodeOf(err), "the handle is gone")
			again, err := ErasePerson(ctx, p.cfg, quiet(), p.bo.ID(), "gdpr-1", false)
			require.NoError(t, err)
			for _, tenant := range again.Tenants {
				require.Zero(t, tenant.Payloads)
				require.Equal(t, 6, tenant.Before)
			}
			require.False(t, again.Names)
			require.Zero(t, again.APIKeys)

			if p.cfg.timelineDir() != "" {
				p.running = start(t, p.cfg, nil)
			}
			require.NotContains(t, p.shown(), needle)
			require.Contains(t, p.shown(), "of nobody else")
			p.say(p.tenants[0], p.ana, "note.written", map[string]any{"text": "on it goes"})
			require.NoError(t, p.stop())
			results, err := Fsck(ctx, p.cfg, quiet(), FsckOptions{})
			require.NoError(t, err)
			for _, r := range results {
				require.Empty(t, r.Findings)
			}
			w, err := openWork(ctx, p.cfg, quiet())
			require.NoError(t, err)
			types, payloads, _ := process{w.own, w.person.Log}.acts(t)
			require.NoError(t, w.Close())
			require.Equal(t, []string{admin.TenantCreated, admin.TenantCreated, admin.PersonErased}, types)
			require.NotContains(t, strings.Join(payloads, ""), needle)
			require.Contains(t, payloads[2], `"payloads":12`)
		})
	}
}

// TestErasureGoesOn: what a run that was ended has left undone, the next one does.
func TestErasureGoesOn(t *testing.T) {
	t.Parallel()
	p := withPeople(t, kinds["sqlite"](t))
	w, err := openWork(t.Context(), p.cfg, quiet())
	require.NoError(t, err)
	ctx, kill := context.WithCancel(t.Context())
	tenants := 0
	w.person.Reached = func(string) { // as if it had been killed between two tenants
		if tenants++; tenants == 2 {
			kill()
		}
	}
	_, err = w.person.Erase(ctx, p.bo.ID(), "gdpr-1", w.NodeID(), false, time.Now())
	require.Error(t, err)
	require.NoError(t, w.Close())
	require.Contains(t, p.shown(), needle, "something is left")
	done, err := ErasePerson(t.Context(), p.cfg, quiet(), "@bo", "gdpr-1", false)
	require.NoError(t, err)
	sum, before := 0, 0
	for _, tenant := range done.Tenants {
		sum, before = sum+tenant.Payloads, before+tenant.Before
	}
	require.Equal(t, 12, sum+before)
	require.Positive(t, sum)
	require.NotContains(t, p.shown(), needle)
	require.NoError(t, p.stop())
}

// TestHeldPersonEnds: where the node holds a person's keys, they are destroyed, and
// the identity ends.
func TestHeldPersonEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kinds[name](t)
			key, err := id.NewMasterKey(rand.Reader)
			require.NoError(t, err)
			cfg.MasterKey = secret.New(key)
			p := withPeople(t, cfg)
			directory := id.NewDirectory(p.db, id.DefaultVerifier(), time.Now)
			custody := id.NewCustody(p.db, p.masters, directory, p.NodeID(), time.Now, rand.Reader)
			held, err := custody.Create(t.Context(), id.SubjectPerson, "kim", needle, p.ana.ID())
			require.NoError(t, err)
			accounts, err := p.newAccounts(directory, custody, nil)
			require.NoError(t, err)
			_, token, err := accounts.Begin(t.Context(), held.ID, account.ByPasskey, account.Where{Agent: "A browser of " + needle})
			require.NoError(t, err)
			tickets := ticket.New(p.db, time.Now, nil)
			waits, err := tickets.Make(t.Context(), ticket.Ticket{Credential: token, Identity: held.ID, Tenant: "a tenant", Expires: time.Now().Add(time.Hour)})
			require.NoError(t, err)
			require.NoError(t, accounts.SetEmail(t.Context(), held.ID, "kim@"+needle+".example"))
			_, err = p.db.Write.ExecContext(t.Context(), `INSERT INTO account_passkeys (id, identity, party, credential, public_key, sign_count, flags, transports, name, created_at)
				VALUES ('kims', $1, 'log.example', $2, $2, 0, 0, '', $3, '2026-03-01T12:00:00.000Z')`, held.ID, []byte("kims"), "Phone of "+needle)
			require.NoError(t, err)
			_, err = p.db.Write.ExecContext(t.Context(), `INSERT INTO account_oidc_links (id, identity, issuer, subject, email, created_at)
				VALUES ('kims', $1, 'https://login.example', 'kim', $2, '2026-03-01T12:00:00.000Z')`, held.ID, "kim@login."+needle)
			require.NoError(t, err)
			plan, err := ErasePerson(t.Context(), cfg, quiet(), "@kim", "", true)
			require.NoError(t, err)
			require.True(t, plan.Custody)
			require.True(t, plan.Account)
			_, err = accounts.Authenticate(t.Context(), token)
			require.NoError(t, err, "a plan changes nothing")
			count, err := p.db.Count(t.Context(), "feed_tickets")
			require.NoError(t, err)
			require.EqualValues(t, 1, count, "a plan changes nothing")
			var file bytes.Buffer
			exported, err := ExportPerson(t.Context(), cfg, quiet(), "@kim", "", &file)
			require.NoError(t, err)
			require.True(t, exported.Account)
			archive, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
			require.NoError(t, err)
			f, err := archive.Open("account.json")
			require.NoError(t, err)
			text, err := io.ReadAll(f)
			require.NoError(t, err)
			require.Contains(t, string(text), "kim@"+needle+".example")
			require.Contains(t, string(text), "A browser of "+needle)
			require.Contains(t, string(text), "Phone of "+needle)
			require.Contains(t, string(text), "kim@login."+needle)
			require.NotContains(t, string(text), "lls_")
			_, err = custody.Held(t.Context(), held.ID)
			require.NoError(t, err, "a plan changes nothing")
			done, err := ErasePerson(t.Context(), cfg, quiet(), "@kim", "gdpr-2", false)
			require.NoError(t, err)
			require.True(t, done.Custody)
			require.True(t, done.Account)
			_, err = accounts.Authenticate(t.Context(), token)
			require.Equal(t, "session_unknown", fault.CodeOf(err))
			_, err = tickets.Spend(t.Context(), waits)
			require.Equal(t, "ticket_invalid", fault.CodeOf(err))
			_, err = accounts.Get(t.Context(), held.ID)
			require.Equal(t, "account_unknown", fault.CodeOf(err))
			passkeys, err := p.db.Count(t.Context(), "account_passkeys")
			require.NoError(t, err)
			require.Zero(t, passkeys)
			links, err := p.db.Count(t.Context(), "account_oidc_links")
			require.NoError(t, err)
			require.Zero(t, links)
			_, err = custody.Held(t.Context(), held.ID)
			require.Equal(t, "not_in_custody", fault.CodeOf(err))
			info, err := directory.Get(t.Context(), held.ID)
			require.NoError(t, err)
			require.Equal(t, "revoked", info.Status)
			require.Empty(t, info.Name)
			again, err := ErasePerson(t.Context(), cfg, quiet(), held.ID, "gdpr-2", false)
			require.NoError(t, err)
			require.False(t, again.Custody)
			require.False(t, again.Account)
			require.NoError(t, p.stop())
		})
	}
}

// TestPersonIsExported: the archive has every record of the person with a proof that
// holds, and of others' private ones no content.
func TestPersonIsExported(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withPeople(t, kind(t))
			p.settle()
			var file bytes.Buffer
			out, err := ExportPerson(t.Context(), p.cfg, quiet(), "@bo", "request-1", &file)
			require.NoError(t, err)
			require.Len(t, out.Tenants, 2)
			archive, err := zip.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
			require.NoError(t, err)
			read := func(name string) []byte {
				f, err := archive.Open(name)
				require.NoError(t, err, name)
				text, err := io.ReadAll(f)
				require.NoError(t, err)
				return text
			}
			for _, f := range out.Files {
				read(f.Name)
			}
			require.Contains(t, string(read("identity.json")), needle)
			require.NotContains(t, string(read("api_keys.json")), "llk_")
			for _, tenant := range out.Tenants {
				require.Equal(t, 7, tenant.Records)
				require.Equal(t, 1, tenant.Withheld)
				require.Equal(t, map[string]int{"author": 3, "on_behalf_of": 1, "subject": 2, "member": 1}, tenant.By)
				require.Equal(t, []string{"member"}, tenant.Roles)
				note, err := tree.ParseNote(read("tenants/" + tenant.ID + "/checkpoint"))
				require.NoError(t, err)
				records := string(read("tenants/" + tenant.ID + "/records.ndjson"))
				require.NotContains(t, records, "anas secret")
				require.NotContains(t, records, "of nobody else")
				for line := range strings.Lines(records) {
					var r struct {
						Line, Salt string
						Payload    json.RawMessage
						Inclusion  struct {
							Index, Size uint64
							Hashes      []string
						}
					}
					require.NoError(t, json.Unmarshal([]byte(line), &r))
					var proof []span.Hash
					for _, text := range r.Inclusion.Hashes {
						h, err := span.ParseHash(text)
						require.NoError(t, err)
						proof = append(proof, h)
					}
					require.NoError(t, tree.VerifyInclusion(span.LeafHash([]byte(r.Line)), r.Inclusion.Index, r.Inclusion.Size, proof, note.Root))
					entry, err := span.ParseLine([]byte(r.Line))
					require.NoError(t, err)
					if r.Payload != nil {
						salt, err := span.ParseB64(r.Salt, 16)
						require.NoError(t, err)
						require.Equal(t, entry.Span.PayloadHash, span.Sum(append(salt, r.Payload...)).String())
					}
				}
			}
			var report struct {
				LeftOut []any `json:"left_out"`
			}
			require.NoError(t, json.Unmarshal(read("report.json"), &report))
			require.NotEmpty(t, report.LeftOut)
			_, err = ExportPerson(t.Context(), p.cfg, quiet(), "@nobody", "", io.Discard)
			require.Equal(t, "identity_unknown", fault.CodeOf(err))
			if p.cfg.timelineDir() == "" {
				require.NoError(t, p.stop())
			}
		})
	}
}

// TestOperatorsByCommand: whoever has the node's data makes operators, and unmakes
// them, beside a server or without one; the timeline says by which user.
func TestOperatorsByCommand(t *testing.T) {
	t.Parallel()
	p := withPeople(t, kinds["sqlite"](t))
	who, changed, err := ChangeOperator(t.Context(), p.cfg, quiet(), "@bo", "admin", "on call")
	require.NoError(t, err)
	require.Equal(t, p.bo.ID(), who)
	require.True(t, changed)
	_, changed, err = ChangeOperator(t.Context(), p.cfg, quiet(), "@bo", "admin", "")
	require.NoError(t, err)
	require.False(t, changed)
	yes, err := p.own.IsOperator(t.Context(), p.bo.ID())
	require.NoError(t, err)
	require.True(t, yes, "the server sees it at once")
	list, err := Operators(t.Context(), p.cfg, quiet())
	require.NoError(t, err)
	require.Len(t, list, 2)
	_, changed, err = ChangeOperator(t.Context(), p.cfg, quiet(), p.bo.ID(), "", "")
	require.NoError(t, err)
	require.True(t, changed)
	yes, err = p.own.IsOperator(t.Context(), p.bo.ID())
	require.NoError(t, err)
	require.False(t, yes)
	_, _, err = ChangeOperator(t.Context(), p.cfg, quiet(), "@bo", "member", "")
	require.Equal(t, "operator_role", fault.CodeOf(err))
	_, _, err = ChangeOperator(t.Context(), p.cfg, quiet(), "@bo", "admin", strings.Repeat("x", 300))
	require.Equal(t, "reason_invalid", fault.CodeOf(err))
	require.NoError(t, p.stop())
	_, err = Operators(t.Context(), config(t.TempDir()), quiet())
	require.Equal(t, "database_missing", fault.CodeOf(err))
}

package main

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
)

// invited is the link of an invitation by a session's own key.
func invited(t *testing.T, s *session, role string) string {
	t.Helper()
	now := time.Now()
	token, err := invite.NewToken(rand.Reader)
	require.NoError(t, err)
	name, err := span.RandomID(now, rand.Reader)
	require.NoError(t, err)
	tenant, err := s.tenantID(t.Context())
	require.NoError(t, err)
	var seed [32]byte
	_, _ = rand.Read(seed[:])
	expires := span.FormatTime(now.Add(time.Hour))
	event, err := s.keys.DelegateKey(id.NewSecretKey(seed).Public(), invite.Label, []string{span.TypeMember}, expires, "", now)
	require.NoError(t, err)
	sealed, err := token.Seal(tenant, name, seed, rand.Reader)
	require.NoError(t, err)
	payload, err := span.Canonical(invite.Told{Invitation: name, Role: role, Expires: expires})
	require.NoError(t, err)
	sp, err := id.SealSpan(s.keys.Signer(), span.Header{
		ID: name, Tenant: tenant, Author: s.keys.ID(), Type: invite.TypeCreated, Time: span.FormatTime(now),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, payload, []byte("sixteen bytes..."))
	require.NoError(t, err)
	_, err = s.client.Invite(t.Context(), tenant, client.NewInvitation{
		Id: name, Role: role, Expires: expires, TokenHash: token.Hash().String(), Delegation: event.Raw, Sealed: span.B64(sealed), Span: sp.Canonical(),
	})
	require.NoError(t, err)
	return invite.Link(s.profile.URL, token)
}

// TestOnboardByInvitation joins a tenant by a link alone, which names the node: as
// an auditor, who verifies an entry and appends none, and as a member.
func TestOnboardByInvitation(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	for role, appended := range map[string]int{span.RoleAuditor: 0, span.RoleMember: 1} {
		env := map[string]string{"LOGLINE_CONFIG_DIR": t.TempDir()}
		command := func(args ...string) (int, string, string) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), args, stdio{strings.NewReader(""), &stdout, &stderr}, func(name string) string { return env[name] })
			return code, stdout.String(), stderr.String()
		}
		link := invited(t, s, role)
		code, out, complaint := command("onboard", "--invite", link, "--no-passphrase", "--yes", "--profile", role)
		require.Equal(t, exitOK, code, complaint)
		require.Contains(t, out, "Verified here")
		require.Regexp(t, `role +`+role, out)
		require.NotContains(t, out+complaint, "lli_")
		code, out, _ = command("list", "--all", "--format", "csv", "--profile", role)
		require.Equal(t, exitOK, code)
		require.Equal(t, appended, strings.Count(out, "note.written"), out)
		code, _, complaint = command("append", "--type", "note.written", "--profile", role)
		require.Equal(t, appended == 1, code == exitOK, complaint)

		// The link is used up.
		code, _, complaint = command("onboard", "--invite", link, "--no-passphrase", "--yes", "--profile", role+"-again")
		require.NotEqual(t, exitOK, code)
		require.Contains(t, complaint, "invitation_invalid")
	}
}

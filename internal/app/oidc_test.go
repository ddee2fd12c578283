package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

const providersFile = `providers:
  - {name: work, label: Work, issuer: "https://login.example.com", client_id: logline, client_secret_file: work.secret, domains: [example.com]}
`

// A provider's secret is in a file that nobody else reads, beside that of the providers.
func TestProvidersAndTheirSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, secretFile := filepath.Join(dir, "providers.yaml"), filepath.Join(dir, "work.secret")
	a := &App{cfg: Config{OIDC: OIDC{Providers: file}, PublicURL: "https://log.example.com/"}, opt: Options{}.filled()}
	require.NoError(t, os.WriteFile(file, []byte(providersFile), 0o644))
	_, err := a.newOIDC(nil)
	require.Error(t, err, "there is no secret")
	require.NoError(t, os.WriteFile(secretFile, []byte("\n"), 0o600))
	_, err = a.newOIDC(nil)
	require.Equal(t, "oidc_secret", fault.CodeOf(err))
	require.NoError(t, os.WriteFile(secretFile, []byte("s3cret\n"), 0o600))
	made, err := a.newOIDC(nil)
	require.NoError(t, err)
	require.Len(t, made.Providers(), 1)
	require.Equal(t, "s3cret", made.Providers()[0].Secret.Reveal())
	require.Empty(t, a.cfg.check("oidc.providers"))
	require.NoError(t, os.Chmod(secretFile, 0o644))
	_, err = a.newOIDC(nil)
	require.Equal(t, "secret_file_exposed", fault.CodeOf(err))

	require.NoError(t, os.WriteFile(file, []byte("providers: [{name: A}]"), 0o644))
	require.Contains(t, a.cfg.check("oidc.providers"), "providers[0]: name: must be")
	a.cfg.OIDC.Providers = ""
	made, err = a.newOIDC(nil)
	require.NoError(t, err)
	require.Empty(t, made.Providers())
}

// A provider's proven address opens an account where a code that is mailed to it would.
func TestWhoseAddressOpensAnAccount(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string][2]bool{Open: {true, true}, Domain: {true, false}, Invite: {}, Closed: {}, Auto: {}} {
		c := Config{Listen: "0.0.0.0:8080", Registration: mode, RegistrationDomains: "Example.com"}
		require.Equal(t, want, [2]bool{c.opensByAddress("example.com"), c.opensByAddress("example.org")}, mode)
	}
}

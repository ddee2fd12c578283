package main

import (
	"crypto/rand"
	"errors"
	"net"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/span"
)

func TestReceiptIsCheckedHere(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	logKey, err := s.logKey(t.Context())
	require.NoError(t, err)
	page, err := s.client.Tenant(t.Context(), s.profile.Tenant)
	require.NoError(t, err)
	require.Equal(t, page.LogKey, logKey)
	now := time.Now()
	spanID, err := span.RandomID(now, rand.Reader)
	require.NoError(t, err)
	sealed, err := id.SealSpan(s.keys.Signer(), span.Header{
		ID: spanID, Tenant: s.profile.Tenant, Author: s.keys.ID(), Type: "note.written",
		Time: span.FormatTime(now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, []byte(`{}`), make([]byte, 16))
	require.NoError(t, err)
	answer, err := s.client.Append(t.Context(), s.profile.Tenant, sealed.Canonical())
	require.NoError(t, err)
	good := *answer.Receipt
	checked, err := checkReceipt(good, spanID, sealed.Hash(), logKey)
	require.NoError(t, err)
	require.Equal(t, good.Inclusion.Size, checked.checkpoint.Size)

	other := startSession(t)
	otherKey, err := other.logKey(t.Context())
	require.NoError(t, err)
	change := func(edit func(*openapi.Receipt)) openapi.Receipt {
		r := good
		r.Inclusion.Hashes = append([]string(nil), good.Inclusion.Hashes...)
		edit(&r)
		return r
	}
	_, err = checkReceipt(good, spanID, span.Hash{1}, logKey)
	require.ErrorContains(t, err, "another header")
	_, err = checkReceipt(good, "01890a5d-ac96-774b-bcce-b302099a8057", sealed.Hash(), logKey)
	require.ErrorContains(t, err, "it is about span")
	_, err = checkReceipt(good, spanID, sealed.Hash(), otherKey)
	require.ErrorContains(t, err, "not signed by the tenant's log key")
	for want, bad := range map[string]openapi.Receipt{
		"not a canonical line": change(func(r *openapi.Receipt) { r.Entry = append([]byte(" "), r.Entry...) }),
		"not the leaf it names": change(func(r *openapi.Receipt) {
			r.Entry = []byte(strings.Replace(string(r.Entry), `"recorded_at":"2`, `"recorded_at":"3`, 1))
		}),
		"does not lead to the signed root": change(func(r *openapi.Receipt) { r.Inclusion.Hashes[0] = span.Hash{}.String() }),
		"different sizes":                  change(func(r *openapi.Receipt) { r.Inclusion.Size++ }),
		"not signed by":                    change(func(r *openapi.Receipt) { r.Checkpoint = strings.Replace(r.Checkpoint, "\n6\n", "\n7\n", 1) }),
		"is malformed":                     change(func(r *openapi.Receipt) { r.Inclusion.Hashes[0] = "?" }),
	} {
		_, err := checkReceipt(bad, spanID, sealed.Hash(), logKey)
		require.ErrorContains(t, err, want)
	}
}

func TestGhostKeepsTheNameItHas(t *testing.T) {
	t.Parallel()
	s := startSession(t)
	ghost, err := id.GhostKeys(s.keys.Secret(), s.profile.Tenant, "git:x", "ana@example.org")
	require.NoError(t, err)
	node := remote.New(s.client, s.profile.Tenant, s.as())
	require.NoError(t, node.Register(t.Context(), ghost, "Ana"))
	require.NoError(t, node.Register(t.Context(), ghost, "Ana Lima"))
	info, err := s.client.Identity(t.Context(), ghost.ID())
	require.NoError(t, err)
	require.Equal(t, "Ana", info.Name)
}

func TestDemoFindsAFreePort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var said strings.Builder
	env := &environment{Stdout: &said}
	f := demoFlags{listen: l.Addr().String()}
	require.Equal(t, "127.0.0.1:0", f.freeAddress(env))
	require.Contains(t, said.String(), "is taken")
	f.chosen = true
	require.Equal(t, l.Addr().String(), f.freeAddress(env), "who names an address gets it or an error")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestLostOutputIsNoSuccess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	getenv := func(name string) string { return map[string]string{"LOGLINE_CONFIG_DIR": dir}[name] }
	var said strings.Builder
	require.Equal(t, exitUnavailable, run(t.Context(), []string{"identity", "list"}, stdio{strings.NewReader(""), full{}, &said}, getenv))
	require.Contains(t, said.String(), "the output could not be written")
}

func TestVersionComesFromTheLinkerFirst(t *testing.T) {
	t.Parallel()
	recorded := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}}}
	recorded.Main.Version = "v0.1.0"
	require.Equal(t, "v0.1.0", versionOf("", recorded).Version)
	require.Equal(t, "v0.2.0", versionOf("v0.2.0", recorded).Version)
	require.Equal(t, "abc+changes", versionOf("v0.2.0", recorded).Commit)
	require.Equal(t, "dev", versionOf("", nil).Version)
}

func TestTimesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"": "", "2026-01-31": "2026-01-31T00:00:00.000Z", "2026-01-31T12:00:00+02:00": "2026-01-31T10:00:00.000Z",
		"2026-01-31T12:00:00.123Z": "2026-01-31T12:00:00.123Z", "36h": "2026-01-30T00:00:00.000Z",
	} {
		got, err := timeArg("--since", in, now)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"yesterday", "-5h", "2026-13-01", "12:00"} {
		_, err := timeArg("--since", in, now)
		require.Error(t, err, in)
	}
}

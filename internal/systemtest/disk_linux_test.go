package systemtest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
)

// TestDiskFull gives a server a small disk of its own (a tmpfs in a private
// mount namespace), fills it, and makes room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	mount := "mount -t tmpfs -o size=16m tmpfs "
	try := exec.Command("unshare", "-rm", "sh", "-c", mount+t.TempDir())
	if out, err := try.CombinedOutput(); err != nil {
		t.Skipf("no private tmpfs on this machine: %v %s", err, out)
	}
	dir := t.TempDir()
	// The process id is the server's own: unshare and sh are replaced by it.
	s := startAfter(t, dir, "unshare", "-rm", "sh", "-c", mount+dir+` && exec "$0" "$@"`)
	disk := fmt.Sprintf("/proc/%d/root%s", s.Cmd.Process.Pid, dir) // the server's view of it
	s.Dir = disk
	y := onboard(t, s)
	l := newLedger()
	first := y.note(0)
	l.send(first)
	a, err := y.api.Append(background(), "acme", first)
	require.NoError(t, err)
	l.ack(first, a.Receipt)

	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	require.NoError(t, err)
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Close())

	// The database has some room in its files yet; it ends soon.
	refused := false
	for n := 0; n < 2000 && !refused; n++ {
		raw := y.note(n)
		l.send(raw)
		a, err := y.api.Append(background(), "acme", raw)
		if err == nil {
			l.ack(raw, a.Receipt)
			continue
		}
		var p *client.Problem
		require.ErrorAs(t, err, &p, "log:\n%s", s.Log)
		// Or the entry was recorded, and the note of it found no room any more.
		require.Contains(t, []string{"disk_full", "checkpoint_note_unwritable"}, p.Code, "%v", p)
		require.Equal(t, http.StatusServiceUnavailable, p.Status)
		require.Positive(t, p.RetryAfter)
		refused = true
	}
	require.True(t, refused, "the disk is full and the server took everything")
	_ = y.checkpoint() // reading goes on

	require.NoError(t, os.Remove(filler))
	raw := y.note(1)
	l.send(raw)
	a, err = y.api.Append(background(), "acme", raw)
	require.NoError(t, err, "there is room again; log:\n%s", s.Log)
	l.ack(raw, a.Receipt)
	y.settle(l)
	y.requireAll(l, seed(t))
	require.Zero(t, s.terminate(), "log:\n%s", s.Log)
}

package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The phone is lost: the identity is recovered from the sheet that the page showed,
// by the command line on a computer that has nothing, and from that entry on the
// key in the phone is refused.
func TestALostPhoneIsRecoveredFromTheSheet(t *testing.T) {
	t.Parallel()
	s := node(t)
	g := &guest{tab: open(t), name: "Ana", organisation: "Acme"}
	g.visit(s.URL + "/onboard#token=" + setupToken(t, s))
	g.who()
	g.organise()
	g.heading("Your key, and a way back")
	dir := t.TempDir()
	sheet := filepath.Join(dir, "sheet.txt")
	require.NoError(t, os.WriteFile(sheet, []byte(eval[string](g.tab, `document.querySelector(".sheet").textContent`)), 0o600))
	g.keepSheet()
	g.heading("Begin with a template")
	require.NotContains(t, eval[string](g.tab, `document.documentElement.textContent`), "RECOVERY SHEET", "the page has forgotten the sheet")
	g.press("radio", "Nothing yet")
	g.press("button", "Continue")
	g.heading("Invite somebody")
	g.press("button", "Continue")
	g.record("Ana opened the books of Acme.")
	g.heading("See for yourself")
	g.shows("Checked in this browser")
	require.Equal(t, "", eval[string](g.tab, append1))

	logline := func(args ...string) string {
		path, err := binary()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "LOGLINE_CONFIG_DIR="+filepath.Join(dir, "computer"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, logline("identity", "recover", "--sheet", sheet, "--no-passphrase", "--text", filepath.Join(dir, "new.txt")), "Recovered logline-id://")
	logline("append", "--type", "note.recorded", "--payload", `{"text": "Ana is back."}`)
	require.Contains(t, eval[string](g.tab, append1), "key_rotated", "the lost phone signs no more")
	g.visit(s.URL + "/account")
	g.heading("Sign in")
	g.shows("The key in this browser is good no more")
}

// append1 signs a span with the key in the browser and appends it; "" or why not.
const append1 = `(async () => {
	const { load } = await import("/onboard/page/keep.js");
	const { signerOf } = await import("/onboard/lib/crypto.js");
	const { sealSpan } = await import("/onboard/lib/spans.js");
	const { me, tenant } = await load("journey");
	const span = await sealSpan(signerOf(me.key, me.privateKey), { tenant: tenant.id, author: me.id, type: "note.recorded", visibility: "organization", payload: {} });
	const answer = await fetch("/v1/tenants/" + tenant.id + "/spans", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(span) });
	return answer.status === 201 ? "" : (await answer.json()).type;
})()`

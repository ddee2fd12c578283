package id

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// TestKeysPrintWithoutTheirSeeds: whatever prints what holds keys shows none of
// them, in any of the forms in which bytes come out of fmt, slog and JSON.
func TestKeysPrintWithoutTheirSeeds(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 32)
	_, err := source(7).Read(raw)
	require.NoError(t, err)
	master, err := newMasterKey(raw)
	require.NoError(t, err)
	node, _, err := OpenNode(t.TempDir(), testTime, source(1))
	require.NoError(t, err)
	keys := newKeys(t, SubjectPerson, 2)
	type holder struct {
		Keys   *Keys
		hidden *Keys
		masked Masters
		single *SecretKey
		node   *Node
		master *MasterKey
	}
	all := holder{keys, keys, Masters{master}, keys.primary, node, master}
	var out bytes.Buffer
	for _, v := range []any{
		keys, keys.primary, node, master, Masters{master}, Held{Signer: keys.Signer(), Secret: keys.Secret()},
		all, &all, []holder{all}, []*Keys{keys}, map[string]*SecretKey{"k": keys.primary}, keys.Signer(),
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
			slog.New(h).Info("m", "value", v, "error", fmt.Errorf("%v: %w", v, errors.New("e")))
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
	}
	for name, seed := range map[string][]byte{
		"master": raw, "primary": keys.primary.seed(), "next": keys.next.seed(), "secret": keys.secret[:],
		"node": node.keys.primary.seed(), "log": node.log.seed(), "node's secret": node.keys.secret[:],
	} {
		head := seed[:8] // of it as much as tells it from chance
		for form, text := range map[string]string{
			"raw": string(head), "b64u": span.B64(head[:6]), "base64": base64.StdEncoding.EncodeToString(head[:6]), "hex": hex.EncodeToString(head), "HEX": fmt.Sprintf("%X", head), "hex, spaced": fmt.Sprintf("% x", head),
			"numbers": fmt.Sprint(head)[1 : len(fmt.Sprint(head))-1], "in Go": fmt.Sprintf("%#v", head)[len("[]byte{") : len(fmt.Sprintf("%#v", head))-1],
		} {
			require.NotContains(t, out.String(), text, "%s as %s", name, form)
		}
	}
	require.Contains(t, out.String(), "[secret] of "+keys.ID())
	require.Contains(t, out.String(), "[secret] "+master.ID())
}

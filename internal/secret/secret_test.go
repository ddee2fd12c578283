package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/danvoulez/logline/internal/fault"
)

const planted = "planted-secret-of-a-test"

type outer struct {
	Shown  Text
	hidden Text
	inner  struct{ deep []Text }
	byName map[string]Text
}

func holder() outer {
	o := outer{Shown: New(planted), hidden: New(planted), byName: map[string]Text{"k": New(planted)}}
	o.inner.deep = []Text{New(planted)}
	return o
}

// TestNothingPrintsASecret: whatever a programmer does with a secret by mistake,
// its text does not come out.
func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	o := holder()
	p := &o
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%b", "%t", "%o", "%10.3s", "% x"} {
		for name, value := range map[string]any{"text": o.Shown, "pointer": &o.Shown, "struct": o, "to struct": p, "slice": []Text{o.Shown}, "hidden": o.hidden} {
			got := fmt.Sprintf(verb, value)
			require.NotContains(t, got, planted, "%s of %s", verb, name)
			require.NotContains(t, got, fmt.Sprintf("%x", planted), "%s of %s", verb, name)
			require.NotContains(t, got, fmt.Sprintf("%X", planted), "%s of %s", verb, name)
			require.NotContains(t, got, fmt.Sprintf("% x", planted), "%s of %s", verb, name)
			require.NotContains(t, got, "112 108 97 110", "%s of %s: as numbers", verb, name)
		}
	}
	require.Equal(t, Mask, fmt.Sprint(o.Shown))
	require.Empty(t, fmt.Sprint(Text{}))
	require.NotContains(t, fmt.Errorf("cannot use %w", fmt.Errorf("key %v", o.Shown)).Error(), planted)

	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(h).Info("m", "text", o.Shown, "pointer", &o.Shown, "struct", o, "error", errors.Join(fmt.Errorf("%v", o)))
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(o)
		require.NoError(t, err)
		out.Write(text)
	}
	require.NotContains(t, out.String(), planted)
	require.Contains(t, out.String(), `"text":"[secret]"`)
}

func TestReveal(t *testing.T) {
	t.Parallel()
	require.Equal(t, planted, New(planted).Reveal())
	require.True(t, New(planted).IsSet())
	require.False(t, New("").IsSet())
	require.Empty(t, Text{}.Reveal())
	require.True(t, New(planted).Equal(New(planted)))
	require.False(t, New(planted).Equal(Text{}))
	var read struct{ Key Text }
	require.NoError(t, json.Unmarshal([]byte(`{"Key":"`+planted+`"}`), &read))
	require.Equal(t, planted, read.Key.Reveal())
}

func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
}

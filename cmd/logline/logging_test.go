package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The log is for people at a terminal and for programs everywhere else, unless
// one of both is asked for.
func TestLogFormat(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format           string
		terminal, colour bool
		json, escapes    bool
	}{
		{"auto", true, true, false, true},
		{"auto", true, false, false, false},
		{"auto", false, true, true, false},
		{"auto", false, false, true, false},
		{"text", true, true, false, true},
		{"text", false, true, false, false},
		{"json", true, true, true, false},
		{"json", false, false, true, false},
	} {
		var out bytes.Buffer
		log := newLogger(&out, c.format, "warn", c.terminal, c.colour)
		log.Info("not said")
		require.Empty(t, out.String(), "below its level")
		log.Error("disk full", "path", "/x")
		require.Equal(t, 1, strings.Count(out.String(), "\n"))
		var line struct{ Level, Msg, Path, Time string }
		err := json.Unmarshal(out.Bytes(), &line)
		require.Equal(t, c.json, err == nil, "%+v: %s", c, out.String())
		if c.json {
			require.Equal(t, []string{"ERROR", "disk full", "/x"}, []string{line.Level, line.Msg, line.Path})
			require.NotEmpty(t, line.Time)
		} else {
			require.Contains(t, out.String(), "disk full")
		}
		require.Equal(t, c.escapes, strings.Contains(out.String(), "\x1b["), "%+v: %q", c, out.String())
	}
	var out bytes.Buffer
	newLogger(&out, "json", "debug", false, false).Debug("said")
	require.Contains(t, out.String(), "said")
}

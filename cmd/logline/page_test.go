package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestPages runs pages of docs/ as they stand: their files, their commands, and
// every line of output that they show.
func TestPages(t *testing.T) {
	t.Parallel()
	for page, lines := range map[string]int{"first-contract": 60, "payments": 30} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("../../docs/" + page + ".md")
			require.NoError(t, err)
			examples, err := filepath.Abs("../../examples")
			require.NoError(t, err)
			dir := t.TempDir()
			script := scriptOf(string(text))
			require.Greater(t, strings.Count(script, "shown "), lines, "the page has lost its output")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "page.txtar"), []byte(script), 0o600))
			testscript.Run(t, testscript.Params{
				Dir: dir,
				Setup: func(env *testscript.Env) error {
					env.Setenv("HOME", env.Cd)
					env.Values[serverKey{}] = &scriptServer{}
					return os.Symlink(examples, filepath.Join(env.Cd, "examples"))
				},
				Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
					"serve": serveCmd, "signal": signalCmd, "freeport": freeportCmd, "shown": shownCmd,
				},
			})
		})
	}
}

var (
	blocks   = regexp.MustCompile("(?ms)^```(\\w+)(?: (\\S+))?\n(.*?)^```$")
	spanID   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	variable = regexp.MustCompile(strings.Join([]string{
		spanID.String(), `logline-id://[a-z2-7]{52}`, `[A-Za-z0-9_-]{43}`, `\d{4}-\d\d-\d\dT[\d:.]+Z`, `in [\d.]+ s \([\d,]+/s\)`, `\([\d,]+ bytes\)`, `…`,
		`\d{4}-\d\d-\d\d \d\d:\d\d`, `"ms":\d+`, listening,
	}, "|"))
)

// scriptOf is a page as a testscript. Blocks of code with a name are files, those
// marked console have commands behind "$ " and what they print. A command that
// shows an error of the program, or BAD, has to fail. An id that is printed in one
// place is the same one wherever the page says it again. The servers that it
// starts have one address, kill -9 %1 is the end of one, and where it listens
// itself, at 127.0.0.1:8700, the script has another port.
func scriptOf(page string) string {
	var script, files strings.Builder
	script.WriteString("env LOGLINE_CONFIG_DIR=$WORK/config\nfreeport\nenv SERVE=$FREE\nfreeport\n")
	ids := map[string]string{}
	for _, block := range blocks.FindAllStringSubmatch(page, -1) {
		switch {
		case block[2] != "":
			fmt.Fprintf(&files, "-- %s --\n%s", block[2], block[3])
		case block[1] == "console":
			for _, step := range strings.Split("\n"+block[3], "\n$ ")[1:] {
				command, shown, _ := strings.Cut(step, "\n")
				script.WriteString(stepOf(command, shown, ids))
			}
		}
	}
	return script.String() + files.String()
}

// listening is where a page listens itself.
const listening = "127.0.0.1:8700"

func stepOf(command, shown string, ids map[string]string) string {
	if flags, starts := strings.CutPrefix(command, "logline serve"); starts {
		return "serve --listen=$SERVE" + strings.TrimSuffix(flags, " &") + "\nenv LOGLINE_URL=$URL\n"
	}
	if command == "kill -9 %1" {
		return "! signal SIGKILL\n"
	}
	for old, name := range ids {
		command = strings.ReplaceAll(command, old, "$"+name) // which sh expands
	}
	var b strings.Builder
	if strings.HasPrefix(shown, "logline: ") || strings.Contains(shown, "\nlogline: ") || strings.Contains(shown, "BAD:") {
		b.WriteString("! ")
	}
	command = strings.ReplaceAll(command, listening, "$FREE")
	fmt.Fprintf(&b, "exec sh -c %s\n", quoted(command))
	for line := range strings.Lines(shown) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line == "…" {
			continue
		}
		capture := ""
		if id := spanID.FindString(line); id != "" && ids[id] == "" {
			ids[id] = fmt.Sprintf("SPAN%d", len(ids)+1)
			capture = ids[id]
		}
		fmt.Fprintf(&b, "shown %s %s\n", quoted(patternOf(line)), capture)
	}
	return b.String()
}

// quoted is an argument of a script.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// patternOf matches a line of output with other ids, hashes and times; the first
// span id is captured.
func patternOf(line string) string {
	var b strings.Builder
	b.WriteString("(?m)^")
	rest, captured := line, false
	for {
		at := variable.FindStringIndex(rest)
		if at == nil {
			return b.String() + regexp.QuoteMeta(rest) + "$"
		}
		b.WriteString(regexp.QuoteMeta(rest[:at[0]]))
		if found := rest[at[0]:at[1]]; spanID.MatchString(found) && !captured {
			b.WriteString("(" + spanID.String() + ")")
			captured = true
		} else {
			b.WriteString(".+")
		}
		rest = rest[at[1]:]
	}
}

// shownCmd looks for a line in what the last command has printed, and keeps the
// id in it under a name.
func shownCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: shown PATTERN [NAME]")
	}
	out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
	found := regexp.MustCompile(args[0]).FindStringSubmatch(out)
	if found == nil {
		ts.Fatalf("the page shows a line that was not printed: %s", args[0])
	}
	if len(args) > 1 {
		ts.Setenv(args[1], found[1])
	}
}

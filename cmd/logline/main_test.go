package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// TestMain lets scripts run this test binary as the command logline, so that
// they test the real thing without building it again.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"logline": func() { os.Exit(process()) }})
}

// TestScripts runs every testdata/script/*.txtar, each in a directory of its
// own, with an environment that holds nothing of whoever runs the tests.
//
// Beyond the commands of testscript there are:
//
//	serve [flags]        start a node on a free port, wait until it is ready, set $URL and $ADDR
//	signal NAME          send SIGTERM, SIGINT or SIGKILL to it, wait for its end and write
//	                     its log to server.log; its exit code must be 0, with "!" anything
//	get PATH FILE        GET $URL/PATH into FILE; with "!" the status must be 4xx or 5xx
//	sql FILE STATEMENT   change a SQLite database that no server has open
//	status N cmd [args]  run a command that must exit with N
//	agekey FILE NAME     make an age identity in FILE and set NAME to its public half
//	freeport             set $FREE to an address that nothing listens on
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.Cd)
			env.Setenv("XDG_CONFIG_HOME", env.Cd+"/.config")
			env.Values[serverKey{}] = &scriptServer{}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve":  serveCmd,
			"logged": loggedCmd,
			"grab":   grabCmd,
			"await":  awaitCmd,
			"signal": signalCmd,
			"get":    getCmd,
			"status": statusCmd,
			"sql":    sqlCmd,
			"inbox":  inboxCmd,
			"agekey": agekeyCmd,

			"freeport": freeportCmd,
		},
	})
}

// Every command is run by some script.
func TestEveryCommandHasAScript(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	require.NoError(t, err)
	var scripts strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		scripts.Write(text)
	}
	env := &environment{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard, Getenv: os.Getenv, Now: time.Now}
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() && cmd.Name() != "help" && cmd.Parent() != nil && cmd.Parent().Name() != "completion" {
			if !strings.Contains(scripts.String(), cmd.CommandPath()) && cmd.Name() != "serve" {
				t.Errorf("no script runs %q", cmd.CommandPath())
			}
		}
		for _, child := range cmd.Commands() {
			look(child)
		}
	}
	look(newRoot(env))
	require.Contains(t, scripts.String(), "\nserve\n")
}

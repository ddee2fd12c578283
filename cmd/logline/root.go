package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// environment is everything a command may touch of the process around it, so
// that tests run commands without one.
type environment struct {
	Args       []string // without the program's name
	Stdin      io.Reader
	Stdout     io.Writer
	Stderr     io.Writer
	Getenv     func(string) string
	IsTerminal bool // Stdout is a terminal: tables and progress bars; otherwise plain lines
	ErrIsTerm  bool // Stderr is a terminal: coloured logs; otherwise JSON
	Now        func() time.Time

	started bool // a command's own code has begun: errors from here on are not usage errors
}

// runRoot is logline without a command.
func runRoot(cmd *cobra.Command, _ []string) error {
	if version, err := cmd.Flags().GetBool("version"); err != nil || !version {
		return cmd.Help()
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), versionLine())
	return err
}

// newRoot builds the command tree. Commands are listed in the order a
// newcomer meets them.
func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "logline",
		Short: "A verifiable system of record: signed actions on an append-only timeline",
		Long: `LogLine records what people, services and agents do as signed spans on an
append-only timeline that anyone can verify without trusting the server.

Start with "logline demo" in any git repository, or "logline serve".

` + exitHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          runRoot,

		SuggestionsMinimumDistance: 2,
	}
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	// Cobra's own --version would be a template, and text/template keeps the
	// linker from dropping unused methods: a third of the binary.
	root.Flags().BoolP("version", "v", false, "version for logline")

	root.AddCommand(
		newServeCmd(env),
		newConfigCmd(env),
		newVersionCmd(env),
	)
	root.AddCommand(keeperCommands(env)...)
	root.AddCommand(clientCommands(env)...)
	root.AddCommand(newRulesCmd(env))
	root.AddCommand(newReplayCmd(env))
	root.AddCommand(newSimulateCmd(env))
	root.AddCommand(newDocsCmd(env, root))
	root.InitDefaultCompletionCmd()
	markStarted(env, root)
	return root
}

// noSuchCommand refuses what is no command of the root's, and says what is like it.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	err := cobra.NoArgs(cmd, args)
	if err == nil {
		return nil
	}
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		err = fmt.Errorf("%w\n  did you mean: %s", err, strings.Join(like, ", "))
	}
	return err
}

// markStarted notes when a command's own code begins, which tells a usage
// error found by cobra from an error of the command.
func markStarted(env *environment, cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			env.started = true
			return run(c, args)
		}
	}
	for _, child := range cmd.Commands() {
		markStarted(env, child)
	}
}

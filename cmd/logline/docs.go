package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

//go:generate sh -c "go run -tags grpcnotrace . docs > ../../docs/cli.md.new && mv ../../docs/cli.md.new ../../docs/cli.md"

// newDocsCmd prints the reference of all commands, which docs/cli.md holds.
func newDocsCmd(env *environment, root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "docs", Short: "Print the reference of all commands as Markdown", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(env.Stdout, "# The commands\n\nGenerated from the program's own help (`make generate`); `logline COMMAND --help` says the same.\n\n%s\n", fenced(exitHelp))
			describe(env.Stdout, root)
			return nil
		},
	}
}

// describe writes one section for cmd and for each command below it.
func describe(w io.Writer, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" {
		return
	}
	if cmd.HasParent() {
		fmt.Fprintf(w, "\n## %s\n\n%s.\n\n%s\n", cmd.CommandPath(), cmd.Short, fenced(cmd.UseLine()))
		if long := strings.TrimSpace(strings.ReplaceAll(cmd.Long, exitHelp, "")); long != "" {
			fmt.Fprintf(w, "\n%s\n", fenced(long))
		}
		if cmd.Example != "" {
			fmt.Fprintf(w, "\n%s\n", fenced(cmd.Example))
		}
		describeFlags(w, cmd.NonInheritedFlags())
	}
	for _, child := range cmd.Commands() {
		describe(w, child)
	}
}

func describeFlags(w io.Writer, flags *pflag.FlagSet) {
	begun := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !begun {
			fmt.Fprint(w, "\n| flag | default | meaning |\n|---|---|---|\n")
			begun = true
		}
		name, usage := pflag.UnquoteUsage(f)
		flag := "--" + f.Name
		if f.Shorthand != "" {
			flag = "-" + f.Shorthand + ", " + flag
		}
		if name != "" {
			flag += " " + name
		}
		value := f.DefValue
		if value != "" && value != "[]" {
			value = "`" + value + "`"
		} else {
			value = ""
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", flag, cell(value), cell(usage))
	})
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func fenced(text string) string { return "```\n" + strings.TrimRight(text, "\n") + "\n```" }

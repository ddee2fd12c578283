package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/ui"
)

func newImportBundleCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var believed pins
	var slug, tokenFile string
	cmd := &cobra.Command{
		Use:   "bundle FILE",
		Short: "Bring another node's timeline to this node, to be read here",
		Long: `Bring the timeline in a bundle, as logline export writes it, to the profile's node.
It is verified here, as logline verify does, and again by the node, which takes the
whole of it or nothing. There it is read-only, keeps the checkpoint and the identity
of its own node, and is read by the members it has, once they are registered.

A later bundle of the same timeline adds what is new. One that holds less, or
another history, is refused: the second is a fork, and the bundle evidence of it.
The bundle must be whole; where a timeline has private entries, an auditor of it
exports them.

Who may: an owner of the node's first tenant; anybody registered, where the node
lets them make tenants; whoever has the bootstrap token, before there is a tenant.`,
		Example: `  logline import bundle acme.ndjson --node logline-id://…
  logline import bundle acme.ndjson --slug acme-west`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := args[0]
			if path == "-" {
				return usagef("a bundle is read twice, so it must be a file")
			}
			opt, err := believed.options(env)
			if err != nil {
				return err
			}
			s, err := flags.open(env)
			if err != nil {
				return err
			}
			send := client.ImportOptions{Slug: slug, Node: opt.Node, Checkpoint: string(opt.Checkpoint)}
			if s.keys == nil || tokenFile != "" {
				if send.Bootstrap, err = (&onboardFlags{tokenFile: tokenFile}).findToken(env); err != nil {
					return err
				}
			}
			report, err := verifyFile(cmd.Context(), env, path, opt)
			if err != nil {
				return err
			}
			if !report.OK {
				printReport(env.Stderr, path, report)
				return &exitError{code: exitFailed}
			}
			f, err := os.Open(path)
			if err != nil {
				return fileError("read", path, err)
			}
			defer f.Close()
			out, created, err := s.client.ImportBundle(cmd.Context(), report.Tenant, f, send)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, out)
			}
			printImportedBundle(env, report, out, created)
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&slug, "slug", "", "name of the timeline at this node (default: the one it has)")
	believed.register(cmd)
	registerTokenFile(cmd, &tokenFile)
	return cmd
}

func printImportedBundle(env *environment, report *bundle.Report, out *client.ImportedBundle, created bool) {
	t := out.Tenant
	switch added := out.To - out.From; {
	case created:
		fmt.Fprintf(env.Stdout, "Imported %s: %s, read-only here\n", ui.Clean(t.Slug), ui.Plural(int64(added), "entry", "entries"))
	case added > 0:
		fmt.Fprintf(env.Stdout, "Added %s to %s, entries %d to %d\n", ui.Plural(int64(added), "entry", "entries"), ui.Clean(t.Slug), out.From, out.To-1)
	default:
		fmt.Fprintf(env.Stdout, "Nothing new: all %s of %s are here\n", ui.Plural(int64(t.Size), "entry", "entries"), ui.Clean(t.Slug))
	}
	facts(env.Stdout,
		"  tenant", t.Id,
		"  node", t.Node,
		"  root", report.Root,
		"  verified", report.Verdict,
	)
}

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/ui"
)

func newExportCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var from, to uint64
	var cosigned bool
	cmd := &cobra.Command{
		Use:   "export FILE",
		Short: "Save the timeline as a bundle that can be verified offline",
		Long: `Save the timeline, or the entries from --from up to but without --to, as a
bundle: one header line, then one JSON line per entry. The file is readable by
you alone, and appears only when it is complete. "-" writes to standard output.
With --cosigned it ends at, and carries, the newest checkpoint that witnesses have
cosigned as the node's own policy asks.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("to") && to <= from {
				return usagef("--to %d must be greater than --from %d", to, from)
			}
			if cosigned && cmd.Flags().Changed("to") {
				return usagef("--cosigned ends where the cosigned checkpoint does; leave out --to")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			var count countingWriter
			fill := func(w io.Writer) error {
				if cosigned {
					return s.client.CosignedBundle(cmd.Context(), s.profile.Tenant, countInto(w, &count), from)
				}
				return s.client.Bundle(cmd.Context(), s.profile.Tenant, countInto(w, &count), from, to)
			}
			path := args[0]
			if path == "-" {
				return fill(env.Stdout)
			}
			if err := atomically(path, func(f *os.File) error { return fill(f) }); err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, map[string]any{"file": path, "bytes": count})
			}
			fmt.Fprintf(env.Stdout, "Wrote %s (%s bytes). Check it anywhere with: logline verify %s\n", path, ui.Count(int64(count)), path)
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "first entry")
	cmd.Flags().Uint64Var(&to, "to", 0, "entry to stop before (default: the end)")
	cmd.Flags().BoolVar(&cosigned, "cosigned", false, "up to the newest checkpoint that witnesses have cosigned")
	return cmd
}

// countingWriter counts the bytes that pass.
type countingWriter int64

func (c *countingWriter) Write(p []byte) (int, error) {
	*c += countingWriter(len(p))
	return len(p), nil
}

// countInto is w, with what passes counted.
func countInto(w io.Writer, count *countingWriter) io.Writer { return io.MultiWriter(w, count) }

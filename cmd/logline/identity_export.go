package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
)

func newIdentityExportCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var file string
	cmd := &cobra.Command{
		Use:   "export [ID or @HANDLE]…",
		Short: "Write the key events of identities, to compare bundles with; nothing secret is in them",
		Long: `Write the public key events of identities (default: your own), checked here, one
identity a line, as "logline verify --identities FILE" takes them: whoever keeps
such a file notices a timeline that withholds a rotation or shows other keys.

Names and handles are left out. Your secret keys are in your key file alone
("logline identity show" says where); keep a copy of that file.`,
		Example: `  logline identity export -o known.jsonl
  logline identity export @ana @bo | logline verify acme.ndjson --identities -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{s.keys.ID()}
			}
			known := make([]*client.KeyEvents, len(args))
			for i, arg := range args {
				if known[i], err = s.keyEvents(cmd, arg); err != nil {
					return err
				}
			}
			fill := func(w io.Writer) error {
				for _, k := range known {
					if err := printJSON(w, map[string]any{"id": k.Id, "events": k.Events}); err != nil {
						return err
					}
				}
				return nil
			}
			if file == "" || file == "-" {
				return fill(env.Stdout)
			}
			if err := atomically(file, func(f *os.File) error { return fill(f) }); err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "Wrote %s.\n", file)
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write (default: standard output)")
	return cmd
}

// keyEvents are an identity's events, which must make the identity they are
// said to be of.
func (s *session) keyEvents(cmd *cobra.Command, who string) (*client.KeyEvents, error) {
	identity, err := s.identityID(cmd.Context(), who)
	if err != nil {
		return nil, err
	}
	info, err := s.client.Identity(cmd.Context(), identity)
	if err != nil {
		return nil, err
	}
	if _, err := checkIdentity(info); err != nil {
		return nil, err
	}
	return &client.KeyEvents{Id: info.Id, Events: info.Events}, nil
}

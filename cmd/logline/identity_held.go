package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
)

// whose is the identity that an optional argument names, or the profile's own.
func (s *session) whose(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 0 {
		return s.keys.ID(), nil
	}
	return s.identityID(cmd.Context(), args[0])
}

// openWhose connects with keys, for a command about an identity that an
// optional argument names.
func (f *clientFlags) openWhose(env *environment, cmd *cobra.Command, args []string) (s *session, who string, err error) {
	if s, err = f.openKeys(env); err != nil {
		return nil, "", err
	}
	who, err = s.whose(cmd, args)
	return s, who, err
}

// makeHeld has the node make an identity in its custody.
func makeHeld(env *environment, cmd *cobra.Command, flags *clientFlags, subject, handle, name string) error {
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	info, err := s.client.MakeHeld(cmd.Context(), subject, handle, name)
	if err != nil {
		return err
	}
	if flags.json {
		return printJSON(env.Stdout, info)
	}
	facts(env.Stdout, "identity", info.Id, "subject", string(info.Subject), "keys", "held by the node, sealed")
	fmt.Fprintf(env.Stdout, "\nNext: logline member grant %s agent\n      logline identity keys create %s --label … --type …\n", info.Id, info.Id)
	return nil
}

// changedHeld confirms what the node did to an identity in its custody.
func changedHeld(env *environment, asJSON bool, added *client.KeyEventAdded, words string) error {
	for _, tenant := range added.Pending {
		fmt.Fprintf(env.Stderr, "Timeline %s could not be reached; it gets the event before the identity's next span there.\n", tenant)
	}
	if asJSON {
		return printJSON(env.Stdout, added)
	}
	fmt.Fprintln(env.Stdout, words)
	return nil
}

func newIdentitySetCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var handle, name string
	cmd := &cobra.Command{
		Use:   "set [ID or @HANDLE]",
		Short: "Change the handle or name of your identity, or of one made for you in custody",
		Long: `Changes what the node's directory calls an identity; an empty value erases it.
Handles and names are in no timeline and no proof, so they can change. A handle
that is given up is free for others at once.`,
		Example: "  logline identity set --handle ana --name 'Ana Pérez'\n  logline identity set --name ''",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var labels client.Labels
			if cmd.Flags().Changed("handle") {
				labels.Handle = &handle
			}
			if cmd.Flags().Changed("name") {
				labels.Name = &name
			}
			if labels.Handle == nil && labels.Name == nil {
				return usagef("say what changes: --handle, --name, or both")
			}
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			info, err := s.client.SetLabels(cmd.Context(), who, labels)
			if err != nil {
				return err
			}
			return printLabels(env, flags.json, info)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&handle, "handle", "", "the @handle in the node's directory")
	cmd.Flags().StringVar(&name, "name", "", "the name in the node's directory")
	return cmd
}

func newIdentityEraseCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "erase [ID or @HANDLE]",
		Short: "Erase the handle and name of your identity, or of one made for you in custody",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			info, err := s.client.Erase(cmd.Context(), who)
			if err != nil {
				return err
			}
			return printLabels(env, flags.json, info)
		},
	}
	flags.register(cmd)
	return cmd
}

func printLabels(env *environment, asJSON bool, info *client.Identity) error {
	if asJSON {
		return printJSON(env.Stdout, info)
	}
	handle := "(none)"
	if info.Handle != "" {
		handle = "@" + info.Handle
	}
	facts(env.Stdout, "identity", info.Id, "handle", handle, "name", firstOf(info.Name, "(none)"))
	return nil
}

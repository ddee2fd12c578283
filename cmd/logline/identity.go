package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/ui"
)

func newIdentityCmd(env *environment) *cobra.Command {
	return group("identity", "Make an identity, look one up, change its keys",
		`An identity is a chain of key events. Its name never changes, its key may:
rotate it when a device is lost, delegate keys to devices, services and agents,
revoke it when all else fails. Every change is signed here, with the profile's
key file, saved there first and then sent to the node.`,
		newIdentityCreateCmd(env),
		newIdentityShowCmd(env),
		newIdentityListCmd(env),
		newIdentityRegisterCmd(env),
		newIdentityDeviceCmd(env),
		newIdentityCodeCmd(env),
		newIdentitySheetCmd(env),
		newIdentityRecoverCmd(env),
		newIdentitySuspectCmd(env),
		newIdentityCeremonyCmd(env),
		newIdentityRotateCmd(env),
		newIdentityDelegateCmd(env),
		newIdentityUndelegateCmd(env),
		newIdentityRevokeCmd(env),
		newIdentityClaimCmd(env),
		newIdentityExportCmd(env),
		newIdentitySetCmd(env),
		newIdentityEraseCmd(env),
		newIdentityAPIKeysCmd(env),
		newIdentitySignMessageCmd(env),
		newIdentityVerifyMessageCmd(env),
	)
}

func newIdentityCreateCmd(env *environment) *cobra.Command {
	var handle, label string
	var asJSON, custody bool
	var node clientFlags
	var made newProfile
	cmd := &cobra.Command{
		Use: "create PROFILE", Aliases: []string{"new"},
		Short: "Make an identity and save it as a profile, or have the node hold one (--custody)",
		Long: `Makes an identity and saves it as a profile, without telling any node.

With --custody and no PROFILE, the current profile's node makes the identity and
holds its keys, for programs that cannot sign: whoever asks manages it, and gives
it API keys. The node needs a master key for that.`,
		Example: "  logline identity create ana\n  logline identity create --custody --subject service --handle shop",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if custody {
				if len(args) > 0 || made.keyFile != "" || made.noPassphrase {
					return usagef("with --custody the node has the key: leave out PROFILE, --key-file and --no-passphrase")
				}
				node.url, node.json = made.url, asJSON
				return makeHeld(env, cmd, &node, made.subject, handle, label)
			}
			if len(args) == 0 {
				return usagef("name the profile, or have the node hold the key with --custody")
			}
			if handle != "" || label != "" {
				return usagef("--handle and --name go with --custody; give yours with `logline identity register`")
			}
			all, err := loadProfiles(env)
			if err != nil {
				return err
			}
			if _, exists := all.find(args[0]); exists {
				return usagef("there is a profile %q already; choose another name", args[0])
			}
			p, keys, err := made.make(env, all, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(env.Stdout, p)
			}
			facts(env.Stdout, "identity", p.Identity, "subject", keys.Subject(), "key file", p.KeyFile, "profile", p.Name)
			fmt.Fprintf(env.Stdout, "\nNext: logline identity register --profile %s\n", p.Name)
			return nil
		},
	}
	made.register(cmd)
	cmd.Flags().BoolVar(&custody, "custody", false, "have the node make the identity and hold its keys")
	cmd.Flags().StringVar(&node.profile, "profile", "", "with --custody: the profile to ask as (default: the current one)")
	cmd.Flags().StringVar(&handle, "handle", "", "with --custody: its @handle in the node's directory")
	cmd.Flags().StringVar(&label, "name", "", "with --custody: its name in the node's directory")
	registerJSON(cmd, &asJSON)
	return cmd
}

// newProfile says how an identity is made that becomes a profile.
type newProfile struct {
	url, subject, keyFile string
	noPassphrase          bool
}

func (n *newProfile) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.url, "url", "", "the node (default "+defaultURL+", or LOGLINE_URL)")
	cmd.Flags().StringVar(&n.subject, "subject", "person", "person, organization, service or agent")
	cmd.Flags().StringVar(&n.keyFile, "key-file", "", "where the key is kept (default: the user's configuration folder)")
	cmd.Flags().BoolVar(&n.noPassphrase, "no-passphrase", false, "keep the key unprotected")
}

// path is where its key is kept.
func (n *newProfile) path(all *profiles, name string) string {
	return firstOf(n.keyFile, filepath.Join(filepath.Dir(all.path), "keys", name+".key"))
}

// orFind is make, or goes on with the profile of that name, or with the key file
// that an interrupted attempt left.
func (n *newProfile) orFind(env *environment, all *profiles, name string) (profile, *id.Keys, error) {
	p, there := all.find(name)
	if !there && !exists(n.path(all, name)) {
		return n.make(env, all, name)
	}
	if !there {
		p = profile{Name: name, URL: firstOf(n.url, defaultURL)}
	}
	p.KeyFile = firstOf(p.KeyFile, n.path(all, name))
	keys, _, err := loadKeys(env, p.KeyFile)
	if err != nil {
		return profile{}, nil, err
	}
	p.Identity = keys.ID()
	return p, keys, all.put(p, false)
}

// make makes the identity and its key file, and keeps them as a new profile.
func (n *newProfile) make(env *environment, all *profiles, name string) (profile, *id.Keys, error) {
	if !profileName.MatchString(name) {
		return profile{}, nil, usagef("profile name %q must be lower-case letters, digits, dots, dashes and underscores", name)
	}
	p := profile{Name: name, URL: firstOf(n.url, env.Getenv("LOGLINE_URL"), defaultURL), KeyFile: n.path(all, name)}
	keys, _, err := makeKeys(env, p.KeyFile, n.subject, n.noPassphrase)
	if err != nil {
		return profile{}, nil, err
	}
	p.Identity = keys.ID()
	return p, keys, all.put(p, false)
}

func newIdentityShowCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "show [ID or @HANDLE]",
		Short: "Show an identity as the node knows it; without an argument, your own",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.open(env)
			if err != nil {
				return err
			}
			who := ""
			switch {
			case len(args) == 1 && strings.HasPrefix(args[0], "@"):
				who = args[0]
			case len(args) == 1:
				if who, err = s.identityID(cmd.Context(), args[0]); err != nil {
					return err
				}
			case s.keys != nil:
				who = s.keys.ID()
			default:
				return usagef("name a LogLine ID or an @handle; profile %q has no identity", s.profile.Name)
			}
			info, err := s.client.Identity(cmd.Context(), who)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, info)
			}
			keyFile := ""
			if s.keys != nil && s.keys.ID() == info.Id {
				keyFile = s.profile.KeyFile
			}
			return printIdentity(env, info, keyFile)
		},
	}
	flags.register(cmd)
	return cmd
}

// printIdentity shows an identity whose events have been checked here. keyFile
// is where its keys are on this computer, "" for nowhere.
func printIdentity(env *environment, info *client.Identity, keyFile string) error {
	events, err := checkIdentity(info)
	if err != nil {
		return err
	}
	handle := info.Handle
	if handle != "" {
		handle = "@" + handle
	}
	facts(env.Stdout, "identity", info.Id, "subject", string(info.Subject), "status", string(info.Status), "name", info.Name, "handle", handle, "key file", keyFile)
	table := ui.NewTable(">#", "EVENT", "TIME", "KEY", "DETAIL")
	for i, e := range events {
		detail := firstOf(e.Label, e.Reason, e.By)
		if len(e.Types) > 0 {
			detail += " [" + strings.Join(e.Types, ", ") + "]"
		}
		if e.Expires != "" && e.Kind == id.KindDelegate {
			detail += " until " + e.Expires
		}
		table.Row(fmt.Sprint(i), e.Kind, e.Time, e.Key, detail)
	}
	fmt.Fprintln(env.Stdout)
	return writeTable(env, table)
}

// checkIdentity folds the key events itself rather than believing the node's
// summary of them. A claim is taken as it stands: its counter-signer's keys are
// not here.
func checkIdentity(info *client.Identity) ([]*id.Event, error) {
	forged := fault.New(fault.Invalid, "identity_forged", "the node's key events are not those of this identity")
	events := make([]*id.Event, len(info.Events))
	verifier := id.StdVerifier()
	var chain *id.Chain
	status := ""
	for i, raw := range info.Events {
		e, err := id.ParseEvent(raw)
		switch {
		case err != nil:
		case i == 0:
			chain, err = id.Begin(e, verifier)
		case e.Kind == id.KindClaim:
			status = "claimed"
		default:
			_, err = chain.Apply(e, verifier, nil)
		}
		if err != nil {
			return nil, forged.Because(err)
		}
		events[i] = e
	}
	if chain == nil || chain.ID() != info.Id || chain.Subject() != string(info.Subject) || firstOf(status, chain.Status()) != string(info.Status) {
		return nil, forged
	}
	return events, nil
}

func newIdentityListCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the profiles and identities on this computer",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all, err := loadProfiles(env)
			if err != nil {
				return err
			}
			if asJSON {
				if all.Profiles == nil {
					all.Profiles = []profile{}
				}
				return printJSON(env.Stdout, all)
			}
			if len(all.Profiles) == 0 {
				fmt.Fprintln(env.Stdout, "No profiles: "+all.names())
				return nil
			}
			table := ui.NewTable("", "PROFILE", "TENANT", "NODE", "IDENTITY")
			for _, p := range all.Profiles {
				mark := ""
				if p.Name == all.Current {
					mark = "*"
				}
				table.Row(mark, p.Name, firstOf(p.Slug, p.Tenant, "-"), p.URL, p.Identity)
			}
			return writeTable(env, table)
		},
	}
	registerJSON(cmd, &asJSON)
	return cmd
}

func newIdentityRegisterCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var handle, name, admission string
	cmd := &cobra.Command{
		Use:   "register",
		Short: "Make your identity known at the node, with a handle and a name if you like",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			asked := remote.Registration(s.keys, handle, name)
			asked.Admission = admission
			info, created, err := s.client.Register(cmd.Context(), asked)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, info)
			}
			if created {
				fmt.Fprintf(env.Stdout, "Registered %s at %s.\n", info.Id, s.profile.URL)
				if s.profile.Tenant == "" {
					fmt.Fprintf(env.Stdout, "\nNext: an owner or admin of a tenant gives you a role: logline member grant %s member\n      and you choose that tenant: logline tenant use SLUG --profile %s\n", info.Id, s.profile.Name)
				}
			} else {
				fmt.Fprintf(env.Stdout, "%s was known at %s already.\n", info.Id, s.profile.URL)
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&handle, "handle", "", "your @handle in the node's directory")
	cmd.Flags().StringVar(&name, "name", "", "your name in the node's directory, which can be erased")
	cmd.Flags().StringVar(&admission, "admission", "", "what lets you in where registration is not open: a code that was mailed to you, or an invitation's token")
	return cmd
}

func newIdentityCodeCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "code ADDRESS",
		Short: "Have a code mailed to you with which your identity may register",
		Long: `Where a node registers people by the address that they have, it mails them a code. It
does not say whether it has: to an address of another domain, or to a mailbox that has
had three in an hour, there is none.`,
		Example: "  logline identity code bo@example.org\n  logline identity register --admission llc_…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.open(env)
			if err != nil {
				return err
			}
			if err := s.client.RequestCode(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(env.Stdout, "If there is a code for %s, it is on its way. Next: logline identity register --admission CODE\n", ui.Clean(args[0]))
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

// openKeys is open for commands that need keys and no tenant.
func (f *clientFlags) openKeys(env *environment) (*session, error) {
	s, err := f.open(env)
	if err == nil && s.keys == nil {
		err = usagef("profile %q has no identity; make one with `logline identity create`", s.profile.Name)
	}
	return s, err
}

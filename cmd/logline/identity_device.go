package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/span"
)

func newIdentityDeviceCmd(env *environment) *cobra.Command {
	return group("device", "Use your identity on another device, with a key of its own",
		`Another device gets a key of its own, which your primary key delegates: so a lost
one is withdrawn (logline identity undelegate), and nothing else changes.

  request  on the new device: makes its key and shows a code
  approve  on the device that has your primary key: takes the code`,
		newDeviceRequestCmd(env),
		newDeviceApproveCmd(env),
	)
}

// deviceFlags say which identity a new device asks for, and where its key is kept.
type deviceFlags struct {
	profile, url, keyFile string
	noPassphrase          bool
	wait                  time.Duration
}

func newDeviceRequestCmd(env *environment) *cobra.Command {
	var f deviceFlags
	cmd := &cobra.Command{
		Use:   "request LOGLINE-ID",
		Short: "Make a key for this device, and show the code with which it is approved",
		Long: `Makes a key for this device and a profile, and shows a code. On the device that has
your primary key, "logline identity device approve CODE" takes it. Then this command,
which waits for that, chooses the profile and is done; run it again where it does not
wait any more. Your LogLine ID is shown there by "logline identity show".`,
		Example: `  logline identity device request logline-id://… --url https://log.example.com`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			identity := fullID(args[0])
			if !span.IsIdentity(identity) {
				return usagef("name your identity by its LogLine ID, logline-id://…: this device may not look up handles yet")
			}
			return f.run(cmd.Context(), env, identity)
		},
	}
	cmd.Flags().StringVar(&f.profile, "profile", "default", "name of the profile to make")
	cmd.Flags().StringVar(&f.url, "url", "", "the node (default "+defaultURL+", or LOGLINE_URL)")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "where the key is kept (default: the user's configuration folder)")
	cmd.Flags().BoolVar(&f.noPassphrase, "no-passphrase", false, "keep the key unprotected")
	cmd.Flags().DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for the approval; 0s not at all")
	return cmd
}

func (f *deviceFlags) run(ctx context.Context, env *environment, identity string) error {
	s, err := f.begin(ctx, env, identity)
	if err != nil {
		return err
	}
	approved, err := s.approved(ctx)
	if err != nil {
		return err
	}
	if !approved {
		key, err := span.ParseB64(s.keys.Signer().Public(), 32)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "This device asks to be approved. Where your primary key is, run\n\n  logline identity device approve %s --label NAME\n\n",
			recovery.DeviceCode(identity, [32]byte(key)))
		if approved, err = f.await(ctx, s); err != nil {
			return err
		}
	}
	if !approved {
		fmt.Fprintln(env.Stderr, "Not approved yet; run the same command again when it is.")
		return nil
	}
	return s.welcome(ctx)
}

// begin is the session of this device's key, which is made where there is none.
func (f *deviceFlags) begin(ctx context.Context, env *environment, identity string) (*session, error) {
	all, err := loadProfiles(env)
	if err != nil {
		return nil, err
	}
	if !profileName.MatchString(f.profile) {
		return nil, usagef("--profile %q must be lower-case letters, digits, dots, dashes and underscores", f.profile)
	}
	s := &session{env: env, all: all}
	old, made := all.find(f.profile)
	if made {
		s.profile = old
		if old.Identity != identity {
			return nil, usagef("profile %q is of another identity; choose another name with --profile", f.profile)
		}
		if s.keys, s.passphrase, err = loadKeys(env, old.KeyFile); err != nil {
			return nil, err
		}
		if !s.keys.IsDevice() {
			return nil, usagef("profile %q has the identity's primary key, and needs no approval", f.profile)
		}
	} else {
		s.profile = profile{Name: f.profile, URL: firstOf(f.url, env.Getenv("LOGLINE_URL"), defaultURL), Identity: identity, KeyFile: f.keyFile}
		if f.keyFile == "" {
			s.profile.KeyFile = filepath.Join(filepath.Dir(all.path), "keys", f.profile+".key")
		}
	}
	if s.client, err = dial(env, s.profile, nil); err != nil || made {
		return s, err
	}
	return s, f.make(ctx, s)
}

// make makes the device's key, and keeps it.
func (f *deviceFlags) make(ctx context.Context, s *session) error {
	if exists(s.profile.KeyFile) {
		return usagef("%s is there already, and is kept; choose another name with --profile, or another file with --key-file", s.profile.KeyFile)
	}
	node, err := s.client.Node(ctx)
	if err != nil {
		return err
	}
	s.profile.Node = node.Id
	events, err := s.eventsOf(ctx, s.profile.Identity)
	if err != nil {
		return err
	}
	if s.keys, err = id.NewDevice(events, rand.Reader); err != nil {
		return err
	}
	if s.keys.ID() != s.profile.Identity {
		return fault.New(fault.Invalid, "identity_forged", "the node's key events are not those of this identity")
	}
	if s.passphrase, err = newPassphrase(s.env, f.noPassphrase); err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(s.profile.KeyFile)); err != nil {
		return fileError("write", s.profile.KeyFile, err)
	}
	if err := id.SaveKeys(s.profile.KeyFile, s.keys, s.passphrase); err != nil {
		return err
	}
	return s.all.put(s.profile, false)
}

// eventsOf are an identity's key events at the node, as JCS.
func (s *session) eventsOf(ctx context.Context, identity string) ([][]byte, error) {
	known, err := s.client.KeyEvents(ctx, identity)
	if err != nil {
		return nil, err
	}
	events := make([][]byte, len(known.Events))
	for i, event := range known.Events {
		if events[i], err = span.Canonicalize(event); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// approved asks the node for the identity's events, and says whether they approve this
// device.
func (s *session) approved(ctx context.Context) (bool, error) {
	events, err := s.eventsOf(ctx, s.profile.Identity)
	if err != nil {
		return false, err
	}
	if err := s.keys.Follow(events); err != nil {
		return false, err
	}
	return s.keys.Approved(), nil
}

// await asks until the device is approved, or the time is over.
func (f *deviceFlags) await(ctx context.Context, s *session) (bool, error) {
	if f.wait <= 0 {
		return false, nil
	}
	fmt.Fprintln(s.env.Stderr, "Waiting for that (Ctrl-C ends it; run the same command again later).")
	over, again := time.NewTimer(f.wait), time.NewTicker(time.Second)
	defer over.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-over.C:
			return false, nil
		case <-again.C:
		}
		approved, err := s.approved(ctx)
		if err != nil && fault.KindOf(err) == fault.Conflict || approved {
			return approved, err
		}
		// A node that cannot be reached just now is asked again.
	}
}

// welcome keeps what approved the device, and chooses the profile.
func (s *session) welcome(ctx context.Context) error {
	if err := id.ReplaceKeys(s.profile.KeyFile, s.keys, s.passphrase); err != nil {
		return err
	}
	c, err := dial(s.env, s.profile, s.keys)
	if err != nil {
		return err
	}
	tenants, err := c.Tenants(ctx)
	if err != nil {
		return err
	}
	if s.profile.Tenant == "" && len(tenants) == 1 {
		s.profile.Tenant, s.profile.Slug, s.profile.LogKey = tenants[0].Id, tenants[0].Slug, tenants[0].LogKey
	}
	if err := s.all.put(s.profile, true); err != nil {
		return err
	}
	fmt.Fprintln(s.env.Stdout, "Approved: this device signs as you now, with a key of its own.")
	facts(s.env.Stdout, "profile", s.profile.Name, "identity", s.keys.ID(), "key file", s.profile.KeyFile, "tenant", firstOf(s.profile.Slug, s.profile.Tenant, tenantsLeft(tenants)))
	return nil
}

// deviceTypes is what a device may do where nothing else is said: sign all that is not
// the protocol's own, read, and vote.
var deviceTypes = []string{"**", id.TypeAPI, span.TypeApproval}

func newDeviceApproveCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var label, expires, instead string
	var types []string
	cmd := &cobra.Command{
		Use:   "approve CODE --label NAME",
		Short: "Let a new device sign for you, by the code that it shows",
		Long: `Delegates the key of a new device, which shows the code. It may sign everything but
the protocol's own types, read as you, and vote; --type says otherwise, --expires when
it ends. The label can never be erased and must hold no personal data.

--instead withdraws the key of a device that is lost, by its label: what that one signs
from then on is refused.`,
		Example: `  logline identity device approve 4KXD-… --label laptop-2 --instead laptop`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPatterns(types); err != nil {
				return err
			}
			ends, err := endArg("--expires", expires, env.Now())
			if err != nil {
				return err
			}
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			return s.approve(cmd.Context(), args[0], label, types, ends, instead, flags.json)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&label, "label", "", "what the device is called, at most 64 bytes (required)")
	cmd.Flags().StringArrayVar(&types, "type", deviceTypes, "what it may sign, a type or pattern; may be repeated")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends, a day or a time")
	cmd.Flags().StringVar(&instead, "instead", "", "`LABEL` or key of a lost device that is withdrawn with it")
	_ = cmd.MarkFlagRequired("label") // the flag exists
	return cmd
}

// approve delegates a device's key, and withdraws a lost one's before it.
func (s *session) approve(ctx context.Context, code, label string, types []string, expires, instead string, asJSON bool) error {
	raw, err := recovery.ParseDeviceCode(s.keys.ID(), code)
	if err != nil {
		return err
	}
	if err := id.CheckPublicKey(raw[:]); err != nil {
		return err
	}
	lost := ""
	if instead != "" {
		if lost, err = delegatedKey(s.keys, instead); err != nil {
			return err
		}
	}
	words := ""
	if lost != "" {
		event, err := s.change(ctx, func(k *id.Keys) (*id.Event, error) { return k.Undelegate(lost, s.env.Now()) })
		if err != nil {
			return err
		}
		words = "Withdrew " + event.Key + " (" + instead + "): what it signs from now on is refused.\n"
	}
	event, err := s.change(ctx, func(k *id.Keys) (*id.Event, error) {
		return k.DelegateKey(span.B64(raw[:]), label, types, expires, "", s.env.Now())
	})
	if err != nil {
		return err
	}
	return printEvent(s.env, asJSON, s.keys.ID(), event, words+"Approved "+event.Key+" as "+label+". The device goes on by itself, or runs its command again.")
}

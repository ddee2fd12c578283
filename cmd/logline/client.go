package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// clientCommands are the commands that work with a node, or with what one
// exported, in the order a newcomer meets them.
func clientCommands(env *environment) []*cobra.Command {
	cmds := []*cobra.Command{
		newDemoCmd(env),
		newOnboardCmd(env),
		newIdentityCmd(env),
		newTenantCmd(env),
		newMemberCmd(env),
		newDoorCmd(env),
		newVisitCmd(env),
		newInviteCmd(env),
		newTemplateCmd(env),
		newCreateCmd(env),
		newAssignCmd(env),
		newInitCmd(env),
		newDeclareCmd(env),
		newAppendCmd(env),
		newImportCmd(env),
		newListCmd(env),
		newTailCmd(env),
		newShowCmd(env),
		newWhyCmd(env),
		newApproveCmd(env),
		newWebhooksCmd(env),
		newRevertCmd(env),
		newRedactCmd(env),
		newTasksCmd(env),
		newSchedulesCmd(env),
		newFollowersCmd(env),
		newTopCmd(env),
		newProofCmd(env),
		newExportCmd(env),
		newVerifyCmd(env),
		newBenchCmd(env),
	}
	for _, cmd := range cmds {
		sendFirst(env, cmd)
		translateErrors(cmd)
	}
	return cmds
}

// errInterrupted is what Ctrl-C leads to, where work was left undone.
var errInterrupted = errors.New("interrupted; to continue, run it again: nothing is recorded twice")

var errOtherNode = fault.New(fault.Unauthenticated, "token_audience",
	"another node answers there than the one this profile was made for; choose another profile with --profile, or the profile's node with --url")

// translateErrors makes what the node answered look like every other error.
func translateErrors(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(c *cobra.Command, args []string) error {
			err := remote.Fault(run(c, args))
			if fault.CodeOf(err) == "token_audience" {
				err = errOtherNode.Because(err)
			}
			if errors.Is(err, context.Canceled) {
				err = &exitError{code: exitFailed, err: errInterrupted}
				if slices.Contains([]string{"verify", "export", "list", "tail"}, c.Name()) {
					err = &exitError{code: exitFailed, err: errors.New("interrupted")}
				}
			}
			return err
		}
	}
	for _, child := range cmd.Commands() {
		translateErrors(child)
	}
}

// group is a command that only holds others.
func group(use, short, long string, cmds ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q here; see logline %s --help", ui.Clean(args[0]), use)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(cmds...)
	return cmd
}

// dial makes the client of a profile; keys may be nil. It sends nothing.
func dial(env *environment, p profile, keys *id.Keys, more ...client.Option) (*client.Client, error) {
	options := []client.Option{client.WithUserAgent("logline-cli"), client.WithClock(env.Now)}
	if keys != nil {
		options = append(options, client.WithSigner(keys.Signer(), keys.ID(), p.Node))
	}
	if text := env.Getenv("LOGLINE_PATIENCE"); text != "" {
		patience, err := time.ParseDuration(text)
		if err != nil || patience <= 0 {
			return nil, usagef("LOGLINE_PATIENCE %q is not a time such as 30s: how long to wait for the next byte of an answer", ui.Clean(text))
		}
		options = append(options, client.WithPatience(patience))
	}
	c, err := client.New(p.URL, append(options, more...)...)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return c, nil
}

// logKey is the note verifier key to check checkpoints with: the one the
// profile saw first, so that a node cannot quietly become another one.
func (s *session) logKey(ctx context.Context) (string, error) {
	own, _ := s.all.find(s.profile.Name)
	mine := own.Tenant != "" && (s.profile.Tenant == own.Tenant || s.profile.Tenant == own.Slug)
	if mine && s.profile.LogKey != "" {
		return s.profile.LogKey, nil
	}
	tenant, err := s.client.Tenant(ctx, s.profile.Tenant)
	if err != nil {
		return "", err
	}
	if mine {
		own.LogKey = tenant.LogKey
		return tenant.LogKey, s.all.put(own, false)
	}
	return tenant.LogKey, nil
}

// tenantID is the id of the session's tenant, which spans must carry.
func (s *session) tenantID(ctx context.Context) (string, error) {
	if span.IsUUID(s.profile.Tenant) {
		return s.profile.Tenant, nil
	}
	tenant, err := s.client.Tenant(ctx, s.profile.Tenant)
	if err != nil {
		return "", err
	}
	return tenant.Id, nil
}

// identityID turns a LogLine ID, with or without scheme, or an @handle into a
// LogLine ID.
func (s *session) identityID(ctx context.Context, arg string) (string, error) {
	if len(arg) > 1 && arg[0] == '@' {
		info, err := s.client.Identity(ctx, arg)
		if err != nil {
			return "", err
		}
		return info.Id, nil
	}
	if full := fullID(arg); span.IsIdentity(full) {
		return full, nil
	}
	return "", usagef("%q is neither a LogLine ID nor an @handle", ui.Clean(arg))
}

// called is what people call an identity, "" where nobody says.
func called(info *client.Identity) string {
	if info.Name == "" && info.Handle != "" {
		return "@" + info.Handle
	}
	return info.Name
}

// claimer is what people call whoever claimed a ghost, else who that is. It asks no
// further: a node could have ghosts claim each other without end.
func (s *session) claimer(ctx context.Context, ghost *client.Identity) string {
	by, err := s.client.Identity(ctx, ghost.ClaimedBy)
	if err != nil {
		return ghost.ClaimedBy
	}
	return firstOf(called(by), ghost.ClaimedBy)
}

// names asks the directory what people call these identities; whoever has no
// name there, or cannot be looked up, is left out.
func (s *session) names(ctx context.Context, identities ...string) map[string]string {
	names := make(map[string]string)
	for _, identity := range identities {
		if identity == "" || names[identity] != "" {
			continue
		}
		info, err := s.client.Identity(ctx, identity)
		if err != nil {
			continue
		}
		if name := called(info); name != "" {
			names[identity] = name
		}
		if info.ClaimedBy != "" {
			names[identity] = firstOf(called(info), "somebody") + " as a ghost, claimed by " + s.claimer(ctx, info)
		}
	}
	return names
}

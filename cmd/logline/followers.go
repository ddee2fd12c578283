package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/ui"
)

func newFollowersCmd(env *environment) *cobra.Command {
	return group("followers", "See what reads the timeline by cursor, and hold it or let it go",
		`A follower reads the timeline entry by entry and does something with each: makes tasks
(tasks), tells of them (teller), indexes words (words), writes files (mirror). One that
fails as often as it may at one place is parked there, with its error, until somebody
lets it try again, or go on behind the entry. docs/engine.md explains it.`,
		newFollowersListCmd(env),
		newFollowersOneCmd(env, "show", "Show one follower, and what it fails at", (*client.Client).Follower),
		newFollowersOneCmd(env, "pause", "Hold a follower, in all processes, until it is resumed", (*client.Client).PauseFollower),
		newFollowersOneCmd(env, "resume", "Let a follower go on that is paused or parked, from its cursor", (*client.Client).ResumeFollower),
		newFollowersOneCmd(env, "requeue", "Let a parked follower try again, at the entry where it failed", (*client.Client).RequeueFollower),
		newFollowersSkipCmd(env))
}

func newFollowersListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the followers of the timeline, and how far each is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			list, err := s.client.Followers(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, list)
			}
			table := ui.NewTable("FOLLOWER", "STATE", ">CURSOR", ">HEAD", ">LAG", "BEHIND", "WHY")
			for i := range list {
				f := &list[i]
				table.Row(f.Follower, string(f.State), numberOf(f.Cursor), numberOf(f.Head), ui.Count(int64(f.Lag)), behind(f), whyHeld(f))
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// numberOf is a number, "-" for none.
func numberOf(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}

// behind is for how long something waits for the follower.
func behind(f *client.Follower) string {
	if f.Lag == 0 {
		return "-"
	}
	return ui.Duration(time.Duration(f.LagSeconds * float64(time.Second)))
}

// whyHeld is what a follower fails at, and where.
func whyHeld(f *client.Follower) string {
	why := f.Error
	if f.Entry != nil {
		why = fmt.Sprintf("entry %d: %s", *f.Entry, why)
	}
	return why
}

// rowsOfFollower are what people are shown of one.
func rowsOfFollower(f *client.Follower) [][2]string {
	read := ""
	if f.Cursor != nil && f.Head != nil {
		read = fmt.Sprintf("%d of %d entries", *f.Cursor, *f.Head)
	}
	lag := ui.Count(int64(f.Lag))
	if f.Lag > 0 {
		lag += ", the first of them " + behind(f) + " old"
	}
	entry, tries := "", ""
	if f.Entry != nil {
		entry = strconv.FormatUint(*f.Entry, 10)
	}
	if f.Tries > 0 {
		tries = strconv.Itoa(f.Tries)
	}
	changed := f.ChangedAt
	if f.ChangedBy != "" {
		changed += " by " + f.ChangedBy
	}
	return [][2]string{
		{"follower", f.Follower}, {"what", f.About}, {"state", string(f.State)}, {"read", read}, {"lag", lag}, {"fails at", entry}, {"tries", tries},
		{"error", strings.TrimSpace(f.Error + " " + inBrackets(f.Code))}, {"since", f.FailingSince}, {"changed", changed}, {"seen", f.SeenAt},
	}
}

func newFollowersOneCmd(env *environment, verb, short string, do func(*client.Client, context.Context, string, string) (*client.Follower, error)) *cobra.Command {
	return newOneCmd(env, verb+" FOLLOWER", short, func(ctx context.Context, c *client.Client, tenant, name string) (*client.Follower, error) {
		return do(c, ctx, tenant, name)
	}, rowsOfFollower)
}

func newFollowersSkipCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:     "skip FOLLOWER ENTRY",
		Short:   "Let a parked follower go on behind the entry where it is parked",
		Long:    "What the entry asks for is then never done, and the timeline says that it was passed over, and by whom.",
		Example: "  logline followers skip tasks 4711",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			entry, err := strconv.ParseUint(args[1], 10, 63)
			if err != nil {
				return usagef("%q is not the number of an entry", ui.Clean(args[1]))
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			f, err := s.client.SkipEntry(cmd.Context(), s.profile.Tenant, args[0], entry)
			if err != nil {
				return err
			}
			return printOne(env, f, flags.json, rowsOfFollower)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// filterFlags are the flags that choose entries.
type filterFlags struct {
	filter       client.Filter
	since, until string
}

func (f *filterFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.filter.Types, "type", nil, "type or pattern: * is one segment, ** the rest; may be repeated")
	cmd.Flags().StringVar(&f.filter.Author, "author", "", "LogLine ID or @handle of who signed")
	cmd.Flags().StringVar(&f.filter.Subject, "subject", "", "exact subject")
	cmd.Flags().StringVar(&f.filter.Tag, "tag", "", "exact tag")
	cmd.Flags().StringVar(&f.filter.Status, "status", "", "effective status: "+strings.Join(statuses, ", "))
	cmd.Flags().StringVar(&f.since, "since", "", "recorded at this time or later")
	cmd.Flags().StringVar(&f.until, "until", "", "recorded before this time")
	cmd.Flags().StringVar(&f.filter.Cause, "cause", "", "span id that must be among the causes")
	cmd.Flags().StringVarP(&f.filter.Q, "query", "q", "", "words: each must begin a word of title, subject, type or payload, without case and accents")
}

// check is what can be said of the flags without a node.
func (f *filterFlags) check(env *environment) (err error) {
	for _, t := range f.filter.Types {
		if !span.ValidPattern(t) {
			return usagef("--type %q is not a type pattern; try git.*, payment.** or git.commit", t)
		}
	}
	if f.filter.Claimed && f.filter.Author == "" {
		return usagef("--claimed is for --author: whose ghosts?")
	}
	if f.filter.Cause != "" {
		if f.filter.Cause, err = spanArg(f.filter.Cause); err != nil {
			return err
		}
	}
	if f.filter.Status != "" && !slices.Contains(statuses, f.filter.Status) {
		return usagef("--status %q must be one of %s", ui.Clean(f.filter.Status), strings.Join(statuses, ", "))
	}
	if f.filter.Since, err = timeArg("--since", f.since, env.Now()); err != nil {
		return err
	}
	f.filter.Until, err = timeArg("--until", f.until, env.Now())
	return err
}

// resolve is the filter for the node, which may be asked who an author is.
func (f *filterFlags) resolve(ctx context.Context, s *session) (client.Filter, error) {
	filter := f.filter
	if filter.Author == "" {
		return filter, nil
	}
	var err error
	filter.Author, err = s.identityID(ctx, filter.Author)
	return filter, err
}

// statuses are the effective statuses that an entry can have.
var statuses = []string{
	string(openapi.StatusExecuted), string(openapi.StatusPending), string(openapi.StatusRejected),
	string(openapi.StatusReverted), string(openapi.StatusGhost),
}

// timeArg reads a time from the command line: a LogLine time, RFC 3339, a day,
// or a duration before now.
func timeArg(flag, s string, now time.Time) (string, error) {
	if s == "" {
		return "", nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return span.FormatTime(t), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return span.FormatTime(now.Add(-d)), nil
	}
	return "", usagef("%s %q is not a time; write 2026-01-31, 2026-01-31T12:00:00Z or 24h", flag, ui.Clean(s))
}

// endArg is timeArg for when something ends, which is not over yet.
func endArg(flag, s string, now time.Time) (string, error) {
	end, err := timeArg(flag, s, now)
	if err == nil && end != "" && end <= span.FormatTime(now) {
		err = usagef("%s %s is in the past", flag, end)
	}
	return end, err
}

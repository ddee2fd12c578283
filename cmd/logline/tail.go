package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newTailCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var filters filterFlags
	var t tail
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the last entries of the timeline, and with -f those that follow",
		Long: `Print the last entries of the timeline, oldest first. With -f, go on with
those that are committed from now on, until Ctrl-C.

--from begins at an entry instead: a seq, "beginning", or "now". Each entry is
printed once, in order. When the connection is lost, it is opened again and goes
on where it was; what happened is told on standard error. All filters given must
hold. --json prints each entry as one line of JSON, as the node gives it.`,
		Example: `  logline tail
  logline tail -f --type 'payment.**'
  logline tail -f --from beginning --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(filters.check(env), t.check(cmd.Flags().Changed("last"))); err != nil {
				return usagef("%v", err)
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			t.session, t.json = s, flags.json
			if t.filter, err = filters.resolve(cmd.Context(), s); err != nil {
				return err
			}
			err = t.run(cmd.Context())
			if t.follow && cmd.Context().Err() != nil {
				return nil // Ctrl-C is how following ends
			}
			return err
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "go on with what is committed from now on")
	cmd.Flags().IntVarP(&t.last, "last", "n", 10, "how many of the last entries to begin with, at most 1000")
	cmd.Flags().StringVar(&t.from, "from", "", "begin at this seq, at the beginning, or now")
	filters.register(cmd)
	return cmd
}

// tail is one run of the command.
type tail struct {
	session *session
	filter  client.Filter
	follow  bool
	last    int
	from    string
	json    bool

	next uint64 // first seq to follow from
}

const beginning, now = "beginning", "now"

func (t *tail) check(lastGiven bool) error {
	switch {
	case t.last < 0 || t.last > 1000:
		return errors.New("--last must be 0 to 1000")
	case t.from == "":
		return nil
	case lastGiven:
		return errors.New("give --last or --from, not both")
	case t.from == beginning:
		t.next = 0
	case t.from == now:
		t.next = client.FeedNow
	default:
		seq, err := strconv.ParseUint(t.from, 10, 53)
		if err != nil {
			return fmt.Errorf("--from %q is not a seq; write a number, beginning or now", ui.Clean(t.from))
		}
		t.next = seq
	}
	return nil
}

func (t *tail) run(ctx context.Context) error {
	if t.from == "" {
		if err := t.printLast(ctx); err != nil {
			return err
		}
		if !t.follow {
			return nil
		}
	}
	return t.printOn(ctx)
}

// printLast prints the last entries, and notes where what follows them begins.
func (t *tail) printLast(ctx context.Context) error {
	tenant, err := t.session.client.Tenant(ctx, t.session.profile.Tenant)
	if err != nil {
		return err
	}
	t.next = tenant.Size // read first: what is appended meanwhile comes either way, never both
	if t.last == 0 {
		return nil
	}
	filter := t.filter
	filter.Descending, filter.Limit = true, t.last
	var entries [][]byte
	var statuses []string
	for len(entries) < t.last {
		page, err := t.session.client.Query(ctx, t.session.profile.Tenant, filter)
		if err != nil {
			return err
		}
		for i, raw := range page.Items {
			entries = append(entries, raw)
			statuses = append(statuses, string(page.Statuses[i]))
		}
		if page.Next == nil {
			break
		}
		filter.Cursor, filter.Limit = *page.Next, t.last-len(entries)
	}
	for i, raw := range slices.Backward(entries) {
		seq, err := t.print(raw, statuses[i])
		if err != nil {
			return err
		}
		t.next = max(t.next, seq+1)
	}
	return nil
}

// printOn prints from next on: to the end there is now, or without end.
func (t *tail) printOn(ctx context.Context) error {
	end := client.FeedNow
	for e, err := range t.session.client.Follow(ctx, t.session.profile.Tenant, client.FeedOptions{From: t.next, Filter: t.filter, Notice: t.notice}) {
		if err != nil {
			return err
		}
		switch e.Type {
		case client.FeedHello:
			if !t.follow && end == client.FeedNow {
				end = e.Size
			}
		case client.FeedEntry:
			if e.Seq >= end {
				return nil
			}
			if _, err := t.print(e.Entry, e.Status); err != nil {
				return err
			}
		}
		if e.Next >= end {
			return nil
		}
	}
	return nil
}

// print writes one entry as a line, and is its seq.
func (t *tail) print(raw []byte, status string) (uint64, error) {
	e, err := parseEntry(raw)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return 0, err
	}
	out := t.session.env.Stdout
	if t.json {
		_, err = out.Write(append(bytes.TrimSpace(raw), '\n'))
		return e.Seq, err
	}
	what := e.what()
	if e.Span.Withheld != "" {
		what = "(" + e.Span.Withheld + ") " + what
	}
	if status != span.StatusExecuted {
		what = "[" + status + "] " + what
	}
	const typeWidth = 24 // wide enough for most, so that lines mostly stand under each other
	_, err = fmt.Fprintf(out, "%6d  %s  %-*s  %s\n", e.Seq, shortTime(e.when()), typeWidth, ui.Clean(e.Span.Type), ui.Clean(what))
	return e.Seq, err
}

// notice tells of the connection on standard error.
func (t *tail) notice(n client.FeedNotice) {
	if n.Err == nil {
		fmt.Fprintf(t.session.env.Stderr, "logline: connected again; going on at %d\n", n.Next)
		return
	}
	fmt.Fprintf(t.session.env.Stderr, "logline: the feed broke off (%s); trying again in %s\n",
		ui.Clean(n.Err.Error()), n.Wait.Round(10*time.Millisecond))
}

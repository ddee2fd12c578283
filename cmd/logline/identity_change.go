package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// sendEvents brings the node up to the key file: events that are saved here and
// unknown there are sent, in order. The file is always ahead or level, because
// every event is saved before it is sent, so an interrupted change is completed
// by the next one.
func (s *session) sendEvents(ctx context.Context) (pending []string, err error) {
	// Without credentials: the file may be a rotation ahead of the node, and
	// events carry their own proof.
	c, err := dial(s.env, s.profile, nil)
	if err != nil {
		return nil, err
	}
	known, err := c.KeyEvents(ctx, s.keys.ID())
	if err != nil {
		return nil, err
	}
	mine := s.keys.Events()
	for i, event := range known.Events {
		canonical, err := span.Canonicalize(event)
		if err != nil {
			return nil, err
		}
		if i >= len(mine) || !bytes.Equal(canonical, mine[i]) {
			return nil, fault.New(fault.Conflict, "key_file_behind",
				"the node knows key events that this key file does not hold; work with the newest copy of the file")
		}
	}
	for _, event := range mine[len(known.Events):] {
		added, err := c.AppendEvent(ctx, s.keys.ID(), event)
		if err != nil {
			return nil, err
		}
		pending = added.Pending
	}
	return pending, nil
}

// change lets edit make one key event, saves the key file, and sends it.
func (s *session) change(ctx context.Context, edit func(*id.Keys) (*id.Event, error)) (*id.Event, error) {
	if s.keys.IsDevice() {
		return edit(s.keys) // which says that a device makes no events
	}
	// What an earlier, interrupted change left behind goes first.
	if _, err := s.sendEvents(ctx); err != nil {
		return nil, err
	}
	event, err := edit(s.keys)
	if err != nil {
		return nil, err
	}
	if err := id.ReplaceKeys(s.profile.KeyFile, s.keys, s.passphrase); err != nil {
		return nil, err
	}
	pending, err := s.sendEvents(ctx)
	if err != nil {
		fmt.Fprintln(s.env.Stderr, "The key file holds the change; the node does not yet. Run any `logline identity` change again to complete it.")
		return nil, err
	}
	for _, tenant := range pending {
		fmt.Fprintf(s.env.Stderr, "Timeline %s could not be reached; it gets the event before your next span there.\n", tenant)
	}
	return event, nil
}

// printEvent confirms a key event.
func printEvent(env *environment, asJSON bool, identity string, event *id.Event, words string) error {
	if asJSON {
		return printJSON(env.Stdout, map[string]any{"identity": identity, "event": json.RawMessage(event.Raw)})
	}
	fmt.Fprintln(env.Stdout, words)
	return nil
}

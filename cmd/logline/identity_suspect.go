package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// inQuestion is what a key that somebody else may have had has signed.
type inQuestion struct {
	Identity string           `json:"identity"`
	Key      string           `json:"key"`
	Since    string           `json:"since,omitempty"`
	Ended    string           `json:"ended,omitempty"` // kind of the event that ended the key
	Tenants  []tenantQuestion `json:"tenants"`

	events []*id.Event // of the identity, in order
}

// tenantQuestion is the part of one timeline.
type tenantQuestion struct {
	Tenant  string         `json:"tenant"`
	Slug    string         `json:"slug"`
	Ended   *uint64        `json:"ended_at,omitempty"` // seq of the entry that ends the key here
	Entries []spanQuestion `json:"entries"`
	After   int            `json:"after"` // entries behind that end, of which an honest node has none
}

type spanQuestion struct {
	Seq        uint64 `json:"seq"`
	RecordedAt string `json:"recorded_at"`
	Span       string `json:"span"`
	Type       string `json:"type"`
	Key        string `json:"key"`
	After      bool   `json:"after,omitempty"`
}

// suspectFlags say which key is in question, and since when.
type suspectFlags struct {
	clientFlags
	key, since string
	from       int64
}

func newIdentitySuspectCmd(env *environment) *cobra.Command {
	var f suspectFlags
	cmd := &cobra.Command{
		Use:   "suspect",
		Short: "List what a key of yours signed that somebody else may have had",
		Long: `Lists, in every tenant that your identity is in, the entries that a key signed, by
their positions: those are in question, if somebody else had the key. The key is the
one that your last rotation replaced, unless --key names another by its label or its
public half. Keys that it delegated in that time are in question with it.

What the key signs after the entry that ends it (a rotation, a withdrawal, a
revocation) is refused. If the node shows such entries all the same, it does not keep
to the protocol: they are told, and the exit code is 1.`,
		Example: `  logline identity suspect --since 2026-11-20
  logline identity suspect --key phone --since 36h --json
  logline identity suspect --tenant acme --from 4711`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			since, err := timeArg("--since", f.since, env.Now())
			if err != nil {
				return err
			}
			f.since = since
			s, err := f.openKeys(env)
			if err != nil {
				return err
			}
			if f.from > 0 && f.tenant == "" {
				return usagef("--from is a position in one timeline; name it with --tenant")
			}
			q, err := f.ask(cmd.Context(), s)
			if err != nil {
				return err
			}
			return f.tell(s, q)
		},
	}
	f.registerTenant(cmd)
	cmd.Flags().StringVar(&f.key, "key", "", "label or public half of the key (default: the primary before the last rotation, or the current one)")
	cmd.Flags().StringVar(&f.since, "since", "", "entries recorded since: a time, a day, or how long ago (default: all)")
	cmd.Flags().Int64Var(&f.from, "from", 0, "entries from this position on, with --tenant")
	return cmd
}

// ask finds the key and looks at every timeline.
func (f *suspectFlags) ask(ctx context.Context, s *session) (*inQuestion, error) {
	info, err := s.client.Identity(ctx, s.keys.ID())
	if err != nil {
		return nil, err
	}
	events, err := checkIdentity(info)
	if err != nil {
		return nil, err
	}
	q := &inQuestion{Identity: info.Id, Since: f.since, events: events, Tenants: []tenantQuestion{}}
	if q.Key, err = suspectKey(events, f.key); err != nil {
		return nil, err
	}
	if end := endOf(events, q.Key); end != nil {
		q.Ended = end.Kind
	}
	tenants, err := f.tenants(ctx, s)
	if err != nil {
		return nil, err
	}
	for i := range tenants {
		one, err := f.look(ctx, s, q, &tenants[i])
		if err != nil {
			return nil, err
		}
		q.Tenants = append(q.Tenants, *one)
	}
	return q, nil
}

func (f *suspectFlags) tenants(ctx context.Context, s *session) ([]client.Tenant, error) {
	if f.tenant == "" {
		return s.client.Tenants(ctx)
	}
	t, err := s.client.Tenant(ctx, f.tenant)
	if err != nil {
		return nil, err
	}
	return []client.Tenant{*t}, nil
}

// suspectKey is the public key that a name stands for: a label, a public key, or ""
// for the primary that the last rotation replaced, and where none has, the current one.
func suspectKey(events []*id.Event, name string) (string, error) {
	var primaries, found []string
	for _, e := range events {
		if e.Kind == id.KindInception || e.Kind == id.KindRotation {
			primaries = append(primaries, e.Key)
		}
		if e.Key == name || e.Kind == id.KindDelegate && e.Label == name {
			found = append(found, e.Key)
		}
	}
	found = slices.Compact(found)
	switch {
	case name == "":
		return primaries[max(0, len(primaries)-2)], nil
	case len(found) == 0:
		return "", fault.Newf(fault.NotFound, "key_unknown", "no key of yours was ever called %q; `logline identity show` lists them", ui.Clean(name))
	case len(found) > 1:
		return "", usagef("several keys were labelled %q; name one by its public half: logline identity show", ui.Clean(name))
	}
	return found[0], nil
}

// endOf is the event that ended a key, nil while it is good.
func endOf(events []*id.Event, key string) *id.Event {
	held := false
	for _, e := range events {
		switch e.Kind {
		case id.KindInception, id.KindDelegate:
			held = held || e.Key == key
		case id.KindUndelegate:
			if held && e.Key == key {
				return e
			}
		case id.KindRotation:
			if held {
				return e
			}
			held = e.Key == key
		case id.KindRevocation, id.KindClaim:
			if held {
				return e
			}
		}
	}
	return nil
}

// look finds, in one timeline, where the key ended and what it signed.
func (f *suspectFlags) look(ctx context.Context, s *session, q *inQuestion, t *client.Tenant) (*tenantQuestion, error) {
	one := &tenantQuestion{Tenant: t.Id, Slug: t.Slug, Entries: []spanQuestion{}}
	keys := map[string]bool{q.Key: true}
	end := endOf(q.events, q.Key)
	for raw, err := range s.client.All(ctx, t.Id, client.Filter{Types: []string{span.TypeIdentity}, Limit: maxPage}) {
		entry, e, own, err := q.event(raw, err)
		if err != nil {
			return nil, err
		}
		switch {
		case !own:
		case end != nil && bytes.Equal(e.Raw, end.Raw):
			one.Ended = &entry.Seq
		case e.Kind == id.KindDelegate && e.Signature.Key == q.Key && f.covers(entry):
			keys[e.Key] = true
		}
	}
	for raw, err := range s.client.All(ctx, t.Id, client.Filter{Author: q.Identity, Since: f.since, Limit: maxPage}) {
		if err != nil {
			return nil, err
		}
		entry, err := entryOf(raw)
		if err != nil {
			return nil, err
		}
		if key := entry.Span.Signature.Key; keys[key] && f.covers(entry) {
			after := one.Ended != nil && entry.Seq > *one.Ended
			one.Entries = append(one.Entries, spanQuestion{entry.Seq, entry.RecordedAt, entry.Span.ID, entry.Span.Type, key, after})
			if after {
				one.After++
			}
		}
	}
	return one, nil
}

// suspected is what this command reads of an entry.
type suspected struct {
	Seq        uint64
	RecordedAt string `json:"recorded_at"`
	Span       struct {
		ID        string
		Type      string
		Signature span.Signature
		Payload   json.RawMessage
	}
}

func entryOf(raw json.RawMessage) (*suspected, error) {
	e := &suspected{}
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, fault.New(fault.Invalid, "answer_malformed", "the node's answer is no entry").Because(err)
	}
	return e, nil
}

// event is the key event in an entry, and whether it is one of the identity's.
func (q *inQuestion) event(raw json.RawMessage, failed error) (entry *suspected, e *id.Event, own bool, err error) {
	if failed != nil {
		return nil, nil, false, failed
	}
	if entry, err = entryOf(raw); err != nil || entry.Span.Payload == nil {
		return entry, nil, false, err
	}
	payload, err := span.Canonicalize(entry.Span.Payload)
	if err != nil {
		return nil, nil, false, err
	}
	p, err := span.ParseIdentity(payload)
	if err != nil {
		return nil, nil, false, err
	}
	if e, err = id.ParseEvent(p.Event); err != nil {
		return nil, nil, false, err
	}
	own = slices.ContainsFunc(q.events, func(known *id.Event) bool { return bytes.Equal(known.Raw, e.Raw) })
	return entry, e, own, nil
}

// covers says whether an entry lies in what is asked about.
func (f *suspectFlags) covers(e *suspected) bool {
	return e.Seq >= uint64(max(0, f.from)) && e.RecordedAt >= f.since
}

// tell prints what was found, and fails for what an honest node does not hold.
func (f *suspectFlags) tell(s *session, q *inQuestion) error {
	after := 0
	for _, t := range q.Tenants {
		after += t.After
	}
	if f.json {
		if err := printJSON(s.env.Stdout, q); err != nil {
			return err
		}
	} else if err := q.print(s.env); err != nil {
		return err
	}
	if after > 0 {
		return fault.Newf(fault.Invalid, "key_used_after_end", "the node holds %s signed by the key after its end: it does not keep to the protocol, and `logline verify` of an export says where",
			ui.Plural(int64(after), "entry", "entries"))
	}
	return nil
}

func (q *inQuestion) print(env *environment) error {
	state := "still good: logline identity rotate, undelegate or revoke ends it"
	if q.Ended != "" {
		state = "ended: " + map[string]string{
			id.KindRotation: "a rotation replaced it", id.KindUndelegate: "it was withdrawn", id.KindRevocation: "the identity was revoked", id.KindClaim: "the identity was claimed",
		}[q.Ended]
	}
	facts(env.Stdout, "identity", q.Identity, "key", q.Key, "state", state, "since", q.Since)
	for _, t := range q.Tenants {
		position := "the key is good there"
		if t.Ended != nil {
			position = fmt.Sprintf("the key ends with entry %d: what it signs from there on is refused", *t.Ended)
		} else if q.Ended != "" {
			position = "its end is not there yet, and enters before the identity's next span"
		}
		fmt.Fprintf(env.Stdout, "\n%s  %s\n%s; %s in question\n", ui.Clean(t.Slug), t.Tenant, position, ui.Plural(int64(len(t.Entries)), "entry", "entries"))
		if len(t.Entries) == 0 {
			continue
		}
		table := ui.NewTable(">SEQ", "RECORDED", "SPAN", "TYPE", "KEY")
		for _, e := range t.Entries {
			key := e.Key
			if e.After {
				key += " AFTER ITS END"
			}
			table.Row(fmt.Sprint(e.Seq), e.RecordedAt, e.Span, e.Type, key)
		}
		if err := writeTable(env, table); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

const maxDrafts = 8 << 20 // bytes of a file of them

func newSimulateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var key string
	cmd := &cobra.Command{
		Use:   "simulate FILE|-",
		Short: "Say all that would happen if spans were appended together, and append none",
		Long: `Sign the spans in FILE as simulated, and have the node try them in order on the
timeline as it is, each seeing those before it: what would be decided, every effect
(transitions, quotas, trust, votes asked for, spans emitted, webhooks called, tasks),
what the node would record at once, and what time would bring if nothing else
happened. Nothing is recorded or done.

FILE has a JSON object a line, at most 100: {"type": …, "payload": {…}}, and where they
matter title, subject, tags, visibility, occurred_at, on_behalf_of, causes, id. For one
span, logline append --simulate does.

The exit code is 0 where all of them would be recorded, and 6 where some would not.`,
		Example: `  logline simulate payments.ndjson
  echo '{"type": "payment.requested", "payload": {"payment_id": "p1", "amount": 1500}}' | logline simulate - --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := readInput(env, args[0], maxDrafts)
			if err != nil {
				return err
			}
			drafts, err := parseDrafts(raw)
			if err != nil {
				return &usageError{err}
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			spans := make([][]byte, len(drafts))
			for i, d := range drafts {
				d.key, d.simulate = key, true
				sealed, err := d.seal(cmd, s, d.canonical)
				if err != nil {
					return err
				}
				spans[i] = sealed.Canonical()
			}
			body, err := s.client.Simulate(cmd.Context(), s.profile.Tenant, spans)
			if err != nil {
				return err
			}
			return printSimulation(env, body, flags.json)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&key, "key", "", "sign with a delegated key of your key file: its label or public key (default: the primary key)")
	return cmd
}

// draft is a span before it is signed.
type draft struct {
	appendFlags
	canonical []byte // payload
}

// parseDrafts reads spans to be, a JSON object a line.
func parseDrafts(raw []byte) ([]draft, error) {
	var out []draft
	for n, line := range bytes.Split(raw, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		d, err := parseDraft(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.Invalid, "drafts_missing", "there is no span in it: write one JSON object a line")
	}
	return out, nil
}

func parseDraft(line []byte) (d draft, err error) {
	var doc struct {
		ID         string          `json:"id"`
		Type       string          `json:"type"`
		Title      string          `json:"title"`
		Subject    string          `json:"subject"`
		Tags       []string        `json:"tags"`
		Visibility string          `json:"visibility"`
		OccurredAt string          `json:"occurred_at"`
		OnBehalfOf string          `json:"on_behalf_of"`
		Causes     []string        `json:"causes"`
		Payload    json.RawMessage `json:"payload"`
	}
	canonical, err := span.Canonicalize(line) // the rules of the protocol: no member twice, no odd numbers
	if err != nil {
		return d, err
	}
	decoder := json.NewDecoder(bytes.NewReader(canonical))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		return d, err
	}
	if doc.Payload == nil {
		doc.Payload = json.RawMessage("{}")
	}
	if doc.Visibility == "" {
		doc.Visibility = span.VisibilityOrganization
	}
	d.appendFlags = appendFlags{
		spanID: doc.ID, typ: doc.Type, title: doc.Title, subject: doc.Subject, occurredAt: doc.OccurredAt, onBehalfOf: doc.OnBehalfOf,
		visibility: doc.Visibility, tags: doc.Tags, causes: doc.Causes,
	}
	if d.canonical, err = span.Canonicalize(doc.Payload); err != nil {
		return d, err
	}
	if d.canonical[0] != '{' {
		return d, fault.New(fault.Invalid, "payload_invalid", "the payload is a JSON object")
	}
	return d, d.check()
}

// simulationView is a simulation as the node answers it.
type simulationView struct {
	Size  uint64 `json:"size"`
	At    string `json:"at"`
	Spans []struct {
		Line    int `json:"line"`
		Status  int `json:"status"`
		Problem *struct {
			Detail string `json:"detail"`
		} `json:"problem"`
		Decision struct {
			Outcome string   `json:"outcome"`
			Rules   []string `json:"rules"`
			Tags    []string `json:"tags"`
		} `json:"decision"`
		Effects []simulatedEffect `json:"effects"`
		Follows []simulatedEntry  `json:"follows"`
	} `json:"spans"`
	Later []simulatedEntry `json:"later"`
	More  bool             `json:"more"`
}

type simulatedEntry struct {
	At      string            `json:"at"`
	Type    string            `json:"type"`
	Effects []simulatedEffect `json:"effects"`
}

type simulatedEffect struct {
	Kind     string          `json:"kind"`
	Waits    bool            `json:"waits"`
	Name     string          `json:"name"`
	Key      string          `json:"key"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Identity string          `json:"identity"`
	Score    *float64        `json:"score"`
	Add      *float64        `json:"add"`
	Used     *int64          `json:"used"`
	Limit    *float64        `json:"limit"`
	Voters   []string        `json:"voters"`
	Count    float64         `json:"count"`
	Due      string          `json:"due"`
	Span     string          `json:"span"`
	Endpoint string          `json:"endpoint"`
	Body     json.RawMessage `json:"body"`
	Number   *float64        `json:"number"`
}

func printSimulation(env *environment, body []byte, asJSON bool) error {
	var sim simulationView
	if err := json.Unmarshal(body, &sim); err != nil {
		return fault.New(fault.Internal, "answer_unreadable", "the node answered something else than a simulation").Because(err)
	}
	refused := 0
	for _, s := range sim.Spans {
		if s.Problem != nil {
			refused++
		}
	}
	if asJSON {
		if err := printJSON(env.Stdout, json.RawMessage(body)); err != nil {
			return err
		}
	} else if err := sim.print(env); err != nil {
		return err
	}
	if refused > 0 {
		return &exitError{code: exitRejects}
	}
	return nil
}

func (v *simulationView) print(env *environment) error {
	fmt.Fprintf(env.Stdout, "%s tried on %s; nothing was recorded\n\n", ui.Plural(int64(len(v.Spans)), "span", "spans"), ui.Plural(int64(v.Size), "entry", "entries"))
	t := ui.NewTable("SPAN", "WHAT", "HOW")
	for _, s := range v.Spans {
		how := strings.Join(s.Decision.Rules, ", ")
		if s.Problem != nil {
			how = s.Problem.Detail
			if s.Decision.Outcome == "" {
				s.Decision.Outcome = "refused"
			}
		}
		t.Row(strconv.Itoa(s.Line), s.Decision.Outcome, how)
		for _, e := range s.Effects {
			t.Row("", "  "+e.Kind, e.words())
		}
		for _, f := range s.Follows {
			f.rows(t)
		}
	}
	for _, f := range v.Later {
		f.rows(t)
	}
	if v.More {
		t.Row("", "…", "and more later")
	}
	return writeTable(env, t)
}

func (f *simulatedEntry) rows(t *ui.Table) {
	t.Row("then", f.Type, f.At)
	for _, e := range f.Effects {
		t.Row("", "  "+e.Kind, e.words())
	}
}

// words are an effect in one line.
func (e *simulatedEffect) words() string {
	var w []string
	say := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	for _, s := range []string{e.Name, e.Key, e.Identity, e.Span} {
		if s != "" {
			say("%s", s)
		}
	}
	switch {
	case e.From != "":
		say("%s -> %s", e.From, e.To)
	case e.To != "":
		say("-> %s", e.To)
	}
	switch {
	case e.Score != nil:
		say("= %s", number(*e.Score))
	case e.Add != nil:
		say("+ %s", number(*e.Add))
	case e.Used != nil && e.Limit != nil:
		say("%d of %s", *e.Used, number(*e.Limit))
	case e.Number != nil:
		say("+ %s", number(*e.Number))
	}
	if len(e.Voters) > 0 {
		say("%s of %s", number(e.Count), strings.Join(e.Voters, " or "))
	}
	if e.Endpoint != "" {
		say("to %s", e.Endpoint)
	}
	if e.Due != "" {
		say("at %s", e.Due)
	}
	if e.Body != nil {
		say("%s", e.Body)
	}
	if e.Waits {
		say("(once it has its votes)")
	}
	return strings.Join(w, " ")
}

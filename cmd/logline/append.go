package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// appendFlags describe one span on the command line.
type appendFlags struct {
	spanID, typ, payload, title, subject, occurredAt string
	onBehalfOf, visibility, key                      string
	tags, causes                                     []string
	simulate                                         bool
	expected                                         uint64
	outbox                                           outboxFlags
}

func newAppendCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var f appendFlags
	cmd := &cobra.Command{
		Use:   "append --type TYPE",
		Short: "Sign a span, append it and check its receipt",
		Long: `Sign a span with the profile's key, append it to the timeline and check the
receipt here. The header (type, title, subject, tags, causes) can never be
erased: put personal data only into the payload.

When no node can be reached, or with --offline, the signed span is kept in an
outbox on this machine, and the next command of this profile that reaches the
node sends it before its own work; "logline append --flush" does only that.
A full outbox makes the command fail (--outbox-full error), or lets go of the
new span (reject-new) or of the oldest (drop-oldest) and says which.`,
		Example: `  logline append --type payment.requested --payload '{"amount": "120.00"}' --subject order-17
  logline append --type note.written --payload @note.json --cause 019…
  logline append --type build.done --key build-agent
  echo '{"ok": true}' | logline append --type check.done --payload - --simulate`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, env, &flags) },
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&f.typ, "type", "", "type of the span, such as payment.requested (required)")
	cmd.Flags().StringVar(&f.payload, "payload", "{}", "JSON object, @file, or - for standard input")
	cmd.Flags().StringVar(&f.title, "title", "", "one line for people; no personal data")
	cmd.Flags().StringVar(&f.subject, "subject", "", "what it is about, an opaque reference")
	cmd.Flags().StringArrayVar(&f.tags, "tag", nil, "tag; may be repeated")
	cmd.Flags().StringArrayVar(&f.causes, "cause", nil, "span id that led to this; may be repeated")
	cmd.Flags().StringVar(&f.visibility, "visibility", span.VisibilityOrganization, "private, organization or public")
	cmd.Flags().StringVar(&f.occurredAt, "occurred-at", "", "when it happened, if not now")
	cmd.Flags().StringVar(&f.onBehalfOf, "on-behalf-of", "", "LogLine ID or @handle it is recorded for")
	cmd.Flags().StringVar(&f.spanID, "id", "", "span id, a UUIDv7 (default: a new one); with one, the same command again appends nothing twice")
	cmd.Flags().StringVar(&f.key, "key", "", "sign with a delegated key of your key file: its label or public key (default: the primary key)")
	cmd.Flags().BoolVar(&f.simulate, "simulate", false, "ask what would be decided, and append nothing")
	cmd.Flags().Uint64Var(&f.expected, "expected-seq", 0, "append only if the timeline has exactly this many entries")
	f.outbox.register(cmd)
	return cmd
}

func (f *appendFlags) run(cmd *cobra.Command, env *environment, flags *clientFlags) error {
	if f.outbox.flush {
		return flushOutbox(cmd, env, flags)
	}
	if f.typ == "" {
		return usagef("--type is needed, such as --type payment.requested")
	}
	payload, err := f.readPayload(env)
	if err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	conditional := f.simulate || cmd.Flags().Changed("expected-seq")
	if conditional && f.outbox.offline {
		return usagef("--offline cannot be combined with --simulate or --expected-seq, which ask the node")
	}
	s, err := flags.openTenant(env)
	if err != nil {
		return err
	}
	if f.outbox.offline {
		if err := s.tenantOffline(); err != nil {
			return err
		}
	}
	sealed, err := f.seal(cmd, s, payload)
	if err != nil {
		return err
	}
	reason, err := s.mustKeep(&f.outbox, conditional)
	if err != nil {
		return err
	}
	if reason != "" {
		return s.keep(cmd.Context(), &f.outbox, sealed, reason, flags.json)
	}
	var options []client.AppendOption
	if cmd.Flags().Changed("expected-seq") {
		options = append(options, client.ExpectSize(f.expected))
	}
	answer, err := s.client.Append(cmd.Context(), sealed.Tenant, sealed.Canonical(), options...)
	if f.spanID != "" && client.CodeOf(err) == codeIDConflict {
		answer, err = s.earlier(cmd.Context(), sealed, err)
	}
	if err != nil && !conditional && outOfReach(err) {
		return s.keepAfter(cmd.Context(), &f.outbox, sealed, err, flags.json)
	}
	if err != nil {
		return err
	}
	return s.printAppended(cmd, sealed, answer, flags.json)
}

// maxPayload is more than any node takes; the node has the last word.
const maxPayload = 16 << 20

// readPayload gives the payload as canonical JSON.
func (f *appendFlags) readPayload(env *environment) ([]byte, error) {
	raw := []byte(f.payload)
	var err error
	if file, ok := strings.CutPrefix(f.payload, "@"); ok {
		raw, err = readInput(env, file, maxPayload)
	} else if f.payload == "-" {
		raw, err = readInput(env, "-", maxPayload)
	}
	if err != nil {
		return nil, err
	}
	canonical, err := span.Canonicalize(raw)
	if err != nil {
		return nil, &usageError{err: err}
	}
	return canonical, nil
}

// check refuses before anything is unlocked or sent what no node would take.
func (f *appendFlags) check() error {
	if err := checkVisibility(f.visibility); err != nil {
		return err
	}
	switch {
	case !span.ValidType(f.typ):
		return usagef("--type %q is not a type; write lower-case words with dots, such as payment.requested", f.typ)
	case f.spanID != "" && !span.IsUUIDv7(f.spanID):
		return usagef("--id %q is not a UUIDv7", f.spanID)
	}
	for i, cause := range f.causes {
		id, err := spanArg(cause)
		if err != nil {
			return err
		}
		f.causes[i] = id
	}
	return nil
}

func checkVisibility(v string) error {
	switch v {
	case span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic:
		return nil
	}
	return usagef("--visibility %q must be private, organization or public", v)
}

// seal builds and signs the span.
func (f *appendFlags) seal(cmd *cobra.Command, s *session, payload []byte) (*span.Span, error) {
	now := s.env.Now()
	tenant, err := s.tenantID(cmd.Context())
	if err != nil {
		return nil, err
	}
	h := span.Header{
		ID: f.spanID, Tenant: tenant, Author: s.keys.ID(), Type: f.typ, Title: f.title, Subject: f.subject,
		Tags: f.tags, Time: span.FormatTime(now), Status: span.StatusExecuted, Visibility: f.visibility, Causes: f.causes,
	}
	if f.simulate {
		h.Status = span.StatusSimulated
	}
	if h.OccurredAt, err = timeArg("--occurred-at", f.occurredAt, now); err != nil {
		return nil, err
	}
	if f.onBehalfOf != "" {
		if h.OnBehalfOf, err = s.identityID(cmd.Context(), f.onBehalfOf); err != nil {
			return nil, err
		}
	}
	if h.ID == "" {
		if h.ID, err = span.RandomID(now, rand.Reader); err != nil {
			return nil, err
		}
	}
	signer, err := signerOf(s.keys, f.key)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails (crypto/rand)
	if f.spanID != "" {
		salt = importer.Salt(s.keys.Secret(), h.ID) // the same again, for the same payload hash
	}
	return id.SealSpan(signer, h, payload, salt)
}

// signerOf is the key of the key file that a label or a public key names; the
// primary one without a name.
func signerOf(keys *id.Keys, name string) (id.Signer, error) {
	if name == "" {
		return keys.Signer(), nil
	}
	key, err := delegatedKey(keys, name)
	if err != nil {
		return nil, err
	}
	if signer := keys.Delegated(key); signer != nil {
		return signer, nil
	}
	return nil, usagef("the key file does not hold the secret of %s: it was delegated to somebody else", key)
}

// delegatedKey is the public key of the standing delegation with this label or key.
func delegatedKey(keys *id.Keys, name string) (string, error) {
	var found []string
	for _, g := range keys.Chain().Keys() {
		if !g.Primary && (g.Key == name || g.Label == name) {
			found = append(found, g.Key)
		}
	}
	switch len(found) {
	case 0:
		return "", usagef("no key %q is delegated; `logline identity show` lists the delegations", ui.Clean(name))
	case 1:
		return found[0], nil
	}
	return "", usagef("%d keys are labelled %q; name one of them: %s", len(found), ui.Clean(name), strings.Join(found, ", "))
}

const codeIDConflict = "id_conflict"

// earlier is the first receipt of a span that an earlier run of the same command
// appended: all of its header but time and signature is that of sealed, which
// becomes it. Otherwise the answer is conflict, the error that led here.
func (s *session) earlier(ctx context.Context, sealed *span.Span, conflict error) (*client.Appended, error) {
	receipt, err := s.client.Receipt(ctx, s.profile.Tenant, sealed.ID)
	if err != nil {
		return nil, conflict
	}
	entry, err := span.ParseLine(receipt.Entry)
	if err != nil {
		return nil, conflict
	}
	again := sealed.Header
	again.Time, again.Signature = entry.Span.Time, entry.Span.Signature
	if again.Hash() != entry.Span.Hash() {
		return nil, conflict
	}
	sealed.Header = again
	return &client.Appended{Status: http.StatusOK, Receipt: receipt}, nil
}

func (s *session) printAppended(cmd *cobra.Command, sealed *span.Span, answer *client.Appended, asJSON bool) error {
	if answer.Receipt == nil {
		if asJSON {
			return printJSON(s.env.Stdout, struct {
				Simulated bool            `json:"simulated"`
				Decision  json.RawMessage `json:"decision"`
				client.Foresight
			}{true, answer.Decision, answer.Foresight})
		}
		d, err := parseDecision(answer.Decision)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.env.Stdout, "Simulated, nothing was appended. It would be %s.\n", decisionWords(d))
		printForesight(s.env.Stdout, &d, &answer.Foresight)
		return nil
	}
	logKey, err := s.logKey(cmd.Context())
	if err != nil {
		return err
	}
	checked, err := checkReceipt(*answer.Receipt, sealed.ID, sealed.Header.Hash(), logKey)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(s.env.Stdout, checked.json())
	}
	switch {
	case answer.Repeat():
		fmt.Fprintln(s.env.Stdout, "It was there already; this is its first receipt.")
	case answer.Status == http.StatusAccepted:
		fmt.Fprintf(s.env.Stdout, "Appended; it waits for approval: `logline why %s` says by whom.\n", sealed.ID)
	default:
		fmt.Fprintln(s.env.Stdout, "Appended.")
	}
	checked.print(s.env, "")
	return nil
}

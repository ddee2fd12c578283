// Package remote hands an import's spans to a node over HTTP, and makes what a
// node answers the errors that everything else here speaks. It holds no keys
// and decides nothing about retries; the importer does.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
)

// CodeIdentityConflict is a node's answer where an identity is registered with
// another handle or name, or with other events.
const CodeIdentityConflict = "identity_conflict"

// Appender is a node over HTTP. Safe for concurrent use.
type Appender struct {
	node   *client.Client
	tenant string
	as     func(*id.Keys) (*client.Client, error)
}

var _ importer.Appender = (*Appender)(nil)

// New makes an appender to a tenant (its id). as makes a client that signs in
// with other keys: a ghost registers as itself, so that its name is accepted
// also where registration is closed to strangers.
func New(node *client.Client, tenant string, as func(*id.Keys) (*client.Client, error)) *Appender {
	return &Appender{node: node, tenant: tenant, as: as}
}

// Append submits the lines in one request.
func (a *Appender) Append(ctx context.Context, lines [][]byte) ([]importer.Result, error) {
	answers, err := a.node.AppendMany(ctx, a.tenant, lines)
	if err != nil {
		return nil, mayHavePersisted(err)
	}
	results := make([]importer.Result, len(answers))
	for i, answer := range answers {
		if answer.Problem != nil {
			results[i].Err = problemFault(answer.Problem)
		} else {
			results[i].Repeat = answer.Repeat()
		}
	}
	return results, nil
}

// Register makes a ghost known at the node. A ghost that is known by another
// name keeps it: people sign with several, and the first one seen stands.
func (a *Appender) Register(ctx context.Context, ghost *id.Keys, name string) error {
	c, err := a.as(ghost)
	if err != nil {
		return err
	}
	_, _, err = c.Register(ctx, Registration(ghost, "", name))
	if name != "" && client.CodeOf(err) == CodeIdentityConflict {
		_, _, err = c.Register(ctx, Registration(ghost, "", ""))
	}
	return mayHavePersisted(err)
}

// Registration is what registers an identity; handle and name may be empty.
func Registration(keys *id.Keys, handle, name string) client.Registration {
	r := client.Registration{Handle: handle, Name: name}
	for _, event := range keys.Events() {
		r.Events = append(r.Events, event)
	}
	return r
}

// mayHavePersisted classifies what is neither an answer of the node nor the
// end of the context as a broken connection, which is worth trying again.
func mayHavePersisted(err error) error {
	err = Fault(err)
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, new(*fault.Error)) {
		return err
	}
	return fault.New(fault.Unavailable, "connection_lost", "the connection to the node broke off").Because(err)
}

// Fault classifies what came of talking to a node: what the node described
// keeps its code, no answer at all is node_unreachable. Errors that are already
// classified, or not about a node, stay as they are.
func Fault(err error) error {
	var problem *client.Problem
	var bad *client.BadAnswer
	var network *url.Error
	switch {
	case errors.As(err, &bad):
		return badAnswerFault(bad)
	case errors.As(err, &problem):
		return problemFault(problem)
	case errors.Is(err, context.Canceled), errors.As(err, new(*fault.Error)):
		return err
	case errors.As(err, &network):
		host := network.URL
		if u, parseErr := url.Parse(network.URL); parseErr == nil {
			host = u.Scheme + "://" + u.Host
		}
		return fault.Newf(fault.Unavailable, "node_unreachable",
			"no node answers at %s (%v); start one with `logline serve`, or name another with --url", host, network.Err)
	default:
		return err
	}
}

// badAnswerFault is the error of an answer that no honest node gives; one that
// did not come to its end is like none.
func badAnswerFault(b *client.BadAnswer) *fault.Error {
	kind := fault.Invalid
	if b.Lost() {
		kind = fault.Unavailable
	}
	f := fault.New(kind, b.Code, printable(b.Detail))
	if b.Err != nil {
		return f.Because(errors.New(printable(b.Err.Error())))
	}
	return f
}

// problemFault is the error that the node described. Its text may be shown on
// a terminal, so it cannot control one.
func problemFault(p *client.Problem) *fault.Error {
	f := fault.New(kindOf(p.Status), p.Code, printable(p.Detail))
	for _, field := range p.Fields {
		f.Fields = append(f.Fields, fault.Field{Pointer: printable(field.Pointer), Detail: printable(field.Detail)})
	}
	if p.Code == client.CodeRefused {
		f.Fields = append(f.Fields, fault.Field{Detail: printable(refusedBy(p))})
	}
	f.Meta, f.RetryAfter = p.Meta, p.RetryAfter
	if p.Instance != "" && f.Kind == fault.Internal {
		f.Detail += fmt.Sprintf(" (request %s)", printable(p.Instance))
	}
	return f
}

// refusedBy says which contract refused, and where the attempt is kept.
func refusedBy(p *client.Problem) string {
	rule, _ := p.Meta["rule"].(string)
	contract, _ := p.Meta["contract"].(string)
	said := "refused by " + rule
	if name, _, _ := strings.Cut(contract, "#"); name != "" {
		said += " of " + name
	}
	if entry, ok := p.Meta["decision"].(string); ok {
		said += "; logline why " + entry
	}
	return said
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// kindOf is the kind behind an HTTP status, as internal/httpapi maps them.
func kindOf(status int) fault.Kind {
	switch status {
	case 401:
		return fault.Unauthenticated
	case 403:
		return fault.Forbidden
	case 404:
		return fault.NotFound
	case 409:
		return fault.Conflict
	case 410:
		return fault.Gone
	case 429:
		return fault.Limited
	case 502, 503, 504:
		return fault.Unavailable
	}
	if status >= 500 {
		return fault.Internal
	}
	return fault.Invalid
}

package tasks

import (
	"context"
	"encoding/json"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/webhook"
)

// AlertWebhook is the name of the setting that says where a tenant is alerted:
// one that has no such webhook is not.
const AlertWebhook = "alerts"

// KindAlert is the kind of the tasks that alert.
const KindAlert = "alert"

// Alerter tells tenants, by a webhook of theirs, of what waits for somebody: a
// follower that is parked, a task that failed for good. Each alert is a task, so
// that it is tried again until it is taken, in whatever process.
type Alerter struct {
	store     Requests
	scribe    *Scribe
	endpoints Endpoints
	postman   Postman
	wake      func()
	now       func() time.Time
}

// NewAlerter makes an alerter; wake is called after an alert was made a task, and
// now is the time that workers go by.
func NewAlerter(store Requests, scribe *Scribe, endpoints Endpoints, postman Postman, wake func(), now func() time.Time) *Alerter {
	return &Alerter{store, scribe, endpoints, postman, wake, now}
}

// Kind is how alerts are run: before anything else, and for about a day.
func (a *Alerter) Kind() Kind {
	return Kind{Name: KindAlert, Queue: KindAlert, Priority: Urgent, Run: a.run, Attempts: 30, Most: 2}
}

// alert is the input of a task, and the body of its message.
type alert struct {
	Type      string          `json:"type"` // of the entry that says so in the timeline
	Timestamp string          `json:"timestamp"`
	Tenant    string          `json:"tenant"`
	Data      json.RawMessage `json:"data"` // that entry's payload
}

// Alert makes the task, once for the same of and at; nothing where the tenant has
// set no webhook for alerts.
func (a *Alerter) Alert(ctx context.Context, tenant, typ string, payload []byte, at time.Time, of ...string) error {
	_, err := a.endpoints.Endpoint(ctx, tenant, AlertWebhook)
	switch fault.KindOf(err) {
	case "":
	case fault.NotFound, fault.Gone: // it wants none
		return nil
	default:
		return err
	}
	input, err := span.Canonical(alert{typ, span.FormatTime(at), tenant, payload})
	if err != nil {
		return err
	}
	k := NewKinds(a.Kind())[KindAlert]
	d := k.Draft(derivedID(a.scribe.secret, at, append(of, tenant, "alert")...), 0, AlertWebhook, a.now())
	d.AskedBy, d.Input = a.scribe.node, input
	if err := a.store.Add(ctx, a.now(), tenant, d); err != nil {
		return err
	}
	a.wake()
	return nil
}

// run is the Handler.
func (a *Alerter) run(ctx context.Context, t *Task) ([]byte, error) {
	to, err := a.endpoints.Endpoint(ctx, t.Tenant, AlertWebhook)
	if err != nil {
		return nil, err
	}
	return deliver(ctx, a.endpoints, a.postman, t, AlertWebhook, to, webhook.Message{ID: MessageID(t.Key), Body: t.Input})
}

package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	sdkhttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
)

// eventer is an identity in custody with a role, and an API key of it.
func (w *world) eventer(role string, types ...string) (identity, key string) {
	w.t.Helper()
	made := w.held(w.owner, role)
	return made.Id, w.apiKey(w.owner, made.Id, map[string]any{"types": types, "rights": []string{"append", "read"}}).Key
}

func (w *world) event(key, contentType, body string, headers ...string) reply {
	w.t.Helper()
	req := w.request(http.MethodPost, w.at("/events"), key, contentType, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return w.do(req)
}

func eventText(id, typ, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/shop","type":%q,"time":"2026-02-28T23:59:59.1234Z","subject":"Ana","data":%s}`, id, typ, data)
}

const structured = "application/cloudevents+json"

func TestEventsAreSignedForWhoCannot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	identity, key := w.eventer(span.RoleAgent, "orders.*")
	size := w.size()
	first := w.event(key, structured, eventText("1", "Orders.Paid", `{"n":1}`)).want(t, http.StatusCreated)
	var receipt client.Receipt
	first.decode(t, &receipt)

	var record openapi.Record
	entry, err := span.ParseLine(receipt.Entry)
	require.NoError(t, err)
	h := entry.Span
	require.Equal(t, identity, h.Author)
	require.Equal(t, "orders.paid", h.Type)
	require.Empty(t, h.Subject, "a header holds no personal data, and nobody knows what a subject is")
	require.Equal(t, "2026-02-28T23:59:59.123Z", h.OccurredAt)
	w.get(w.at("/spans/"+h.ID), w.token(w.owner)).want(t, http.StatusOK).decode(t, &record)
	var shown struct {
		Span struct{ Payload json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(record.Entry, &shown))
	require.JSONEq(t, eventText("1", "Orders.Paid", `{"n":1}`), string(shown.Span.Payload))

	// The same again, later and with a rotated key, is the first receipt.
	w.clock.advance(time.Minute)
	w.post(pathOf(identity, "/rotate"), w.token(w.owner), nil).want(t, http.StatusCreated)
	again := w.event(key, structured, eventText("1", "Orders.Paid", `{"n": 1}`)).want(t, http.StatusOK)
	require.Equal(t, string(first.body), string(again.body))
	require.Equal(t, size+2, w.size(), "the event and the rotation")

	// Another event under the same source and id is none, whatever differs.
	w.event(key, structured, eventText("1", "Orders.Paid", `{"n":2}`)).problem(t, http.StatusConflict, "event_conflict")
	w.event(key, structured, eventText("1", "orders.refunded", `{"n":1}`)).problem(t, http.StatusConflict, "event_conflict")
	other := strings.Replace(eventText("1", "Orders.Paid", `{"n":1}`), "2026-02-28", "2026-02-27", 1)
	w.event(key, structured, other).problem(t, http.StatusConflict, "event_conflict")
	require.Equal(t, size+2, w.size())

	// And where the first was erased, a repeat is still its receipt.
	redaction, err := span.Canonical(map[string]any{"spans": []any{map[string]any{"span": h.ID, "header_hash": h.Hash().String()}}, "reason": "asked"})
	require.NoError(t, err)
	w.append(w.seal(w.owner, redaction, func(h *span.Header) { h.Type = span.TypeRedaction })).want(t, http.StatusCreated)
	w.event(key, structured, eventText("1", "Orders.Paid", `{"n":1}`)).want(t, http.StatusOK)
	w.event(key, structured, eventText("1", "Orders.Paid", `{"n":2}`)).problem(t, http.StatusConflict, "event_conflict")
}

func TestWhoseEventsAreTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	identity, key := w.eventer(span.RoleAgent, "orders.*")
	paid := eventText("1", "orders.paid", "1")
	size := w.size()
	w.event("", structured, paid).problem(t, http.StatusUnauthorized, "credential_required")
	w.event(w.token(w.owner), structured, paid).problem(t, http.StatusForbidden, "events_unsigned")
	own := w.apiKey(w.owner, w.owner.ID(), map[string]any{"rights": []string{"append"}})
	w.event(own.Key, structured, paid).problem(t, http.StatusForbidden, "events_unsigned")
	p := w.event(key, structured, eventText("1", "notes.written", "1")).problem(t, http.StatusForbidden, "api_key_type_not_allowed")
	require.Equal(t, "/type", p.Fields[0].Pointer)
	all := w.apiKey(w.owner, identity, map[string]any{"rights": []string{"append"}})
	w.event(all.Key, structured, eventText("2", "logline.member", "1")).want(t, http.StatusCreated) // as event.logline.member

	outsider := w.held(w.owner)
	w.event(w.apiKey(w.owner, outsider.Id, map[string]any{"rights": []string{"append"}}).Key, structured, paid).problem(t, http.StatusNotFound, "tenant_unknown")
	_, auditor := w.eventer(span.RoleAuditor)
	w.event(auditor, structured, paid).problem(t, http.StatusForbidden, "append_forbidden")
	require.Equal(t, size+3, w.size(), "one event, and one grant with the identity that it names")

	w.post(pathOf(identity, "/revoke"), w.token(w.owner), map[string]string{}).want(t, http.StatusCreated)
	w.event(key, structured, paid).problem(t, http.StatusUnauthorized, "credential_invalid")
}

func TestEventModes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.eventer(span.RoleAgent)
	headers := []string{"ce-specversion", "1.0", "ce-id", "b1", "ce-source", "/shop", "ce-type", "orders.paid", "ce-ext", "caf%C3%A9"}
	w.event(key, "application/json", `{"n":1}`, headers...).want(t, http.StatusCreated)
	w.event(key, "application/json", `{"n":1}`, headers...).want(t, http.StatusOK)
	w.event(key, "text/plain", `{"n":1}`, headers...).problem(t, http.StatusConflict, "event_conflict")
	w.event(key, "application/json", `{"n":1`, headers...).problem(t, http.StatusBadRequest, "json_syntax")

	for _, typ := range []string{"application/json", "application/cloudevents+xml", structured + "; charset=utf-16", ""} {
		w.event(key, typ, eventText("m", "orders.paid", "1")).problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	}
	w.event(key, structured, eventText("m", "orders.paid", "1"), "Content-Encoding", "gzip").problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	w.event(key, structured, `{"specversion":"1.0","id":"1"}`).problem(t, http.StatusBadRequest, "event_malformed")
}

func TestEventBatches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.eventer(span.RoleAgent, "orders.*")
	const batch = "application/cloudevents-batch+json"
	a, b, c := eventText("a", "orders.paid", "1"), eventText("b", "orders.paid", "2"), eventText("c", "orders.paid", "3")
	var out struct {
		Results []struct {
			Index, Status int
			Receipt       json.RawMessage
			Problem       *client.Problem
		}
		Index int
	}
	w.event(key, batch, "["+a+","+b+","+a+"]").want(t, http.StatusOK).decode(t, &out)
	require.Len(t, out.Results, 3)
	require.Equal(t, []int{201, 201, 200}, []int{out.Results[0].Status, out.Results[1].Status, out.Results[2].Status})
	require.JSONEq(t, string(out.Results[0].Receipt), string(out.Results[2].Receipt))

	// One that is malformed or not allowed stops all, before anything is recorded.
	size := w.size()
	p := w.event(key, batch, "["+c+`,{"id":"1"}]`).problem(t, http.StatusBadRequest, "event_malformed")
	require.Equal(t, "/1/source", p.Fields[0].Pointer)
	p = w.event(key, batch, "["+c+","+eventText("d", "notes.written", "1")+"]").problem(t, http.StatusForbidden, "api_key_type_not_allowed")
	require.Equal(t, "/1/type", p.Fields[0].Pointer)
	require.Equal(t, size, w.size())

	// One that is refused as it is recorded leaves the others, and the status says so.
	reply := w.event(key, batch, "["+c+","+strings.Replace(a, `"data":1`, `"data":9`, 1)+","+b+"]")
	reply.problem(t, http.StatusConflict, "event_conflict")
	out.Results = nil
	reply.decode(t, &out)
	require.Equal(t, 1, out.Index)
	require.Equal(t, []int{201, 409, 200}, []int{out.Results[0].Status, out.Results[1].Status, out.Results[2].Status})
	require.NotNil(t, out.Results[1].Problem)
	require.Equal(t, size+1, w.size())
	w.event(key, batch, "[]").want(t, http.StatusOK).decode(t, &out)
}

// bearerOf sends every request with a credential.
type bearerOf struct {
	key  string
	next http.RoundTripper
}

func (b bearerOf) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+b.key)
	return b.next.RoundTrip(req)
}

// TestCloudEventsSDK sends events with the CloudEvents Go SDK, in its encodings.
func TestCloudEventsSDK(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, key := w.eventer(span.RoleAgent, "com.example.**")
	protocol, err := sdk.NewHTTP(sdk.WithTarget(w.url+w.at("/events")), sdkhttp.WithRoundTripper(bearerOf{key, w.http.Transport}))
	require.NoError(t, err)
	sender, err := sdk.NewClient(protocol)
	require.NoError(t, err)
	event := sdk.NewEvent()
	event.SetID("sdk-1")
	event.SetSource("example/uri")
	event.SetType("com.example.Sample")
	event.SetTime(w.clock.now())
	event.SetSubject("näme")
	event.SetExtension("retries", 3)
	require.NoError(t, event.SetData(sdk.ApplicationJSON, map[string]string{"hello": "world"}))
	status := func(result sdk.Result) int {
		t.Helper()
		var answer *sdkhttp.Result
		require.True(t, sdk.ResultAs(result, &answer), "%v", result)
		return answer.StatusCode
	}
	require.Equal(t, http.StatusCreated, status(sender.Send(binding.WithForceBinary(t.Context()), event)))
	require.Equal(t, http.StatusOK, status(sender.Send(binding.WithForceBinary(t.Context()), event)))
	event.SetID("sdk-2")
	require.Equal(t, http.StatusCreated, status(sender.Send(binding.WithForceStructured(t.Context()), event)))
	require.NoError(t, event.SetData("application/octet-stream", []byte{0, 1, 0xff}))
	event.SetID("sdk-3")
	require.Equal(t, http.StatusCreated, status(sender.Send(binding.WithForceBinary(t.Context()), event)))
	event.SetID("sdk-4")
	require.Equal(t, http.StatusCreated, status(sender.Send(binding.WithForceStructured(t.Context()), event)))

	second := event.Clone()
	second.SetID("sdk-5")
	req, err := sdkhttp.NewHTTPRequestFromEvents(t.Context(), w.url+w.at("/events"), []sdk.Event{event, second})
	require.NoError(t, err)
	resp, err := bearerOf{key, w.http.Transport}.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var out struct{ Results []struct{ Status int } }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
	require.Equal(t, []int{200, 201}, []int{out.Results[0].Status, out.Results[1].Status})
}

package httpapi_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
)

// FuzzEvents: any body, sent as an event or as an event's data, is recorded as
// what it is, once, or changes nothing.
func FuzzEvents(f *testing.F) {
	w := newWorld(f)
	_, key := w.eventer(span.RoleAgent)
	w.event(key, structured, eventText("0", "orders.paid", "1")).want(f, http.StatusCreated)
	for _, body := range []string{eventText("1", "orders.paid", `{"n":1}`), eventText("0", "orders.paid", "2"), "", "{}", "[]", "null", `{"a":1}`, `{"specversion":"1.0"}`} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, whole bool) {
		w := w.in(t)
		send := func() reply {
			if whole {
				return w.event(key, structured, string(body))
			}
			return w.event(key, "application/json", string(body), "ce-specversion", "1.0", "ce-id", span.Sum(body).String(), "ce-source", "/fuzz", "ce-type", "fuzz.sent")
		}
		size := w.size()
		first := send()
		if !first.refusedOr(t, http.StatusCreated, http.StatusOK) {
			require.Equal(t, size, w.size())
			return
		}
		again := send().want(t, http.StatusOK)
		require.Equal(t, string(first.body), string(again.body))
		require.LessOrEqual(t, w.size(), size+1)
		var receipt client.Receipt
		first.decode(t, &receipt)
		entry, err := span.ParseLine(receipt.Entry)
		require.NoError(t, err)
		var record struct {
			Entry struct {
				Span struct{ Payload json.RawMessage }
			}
		}
		w.get(w.at("/spans/"+entry.Span.ID), w.token(w.owner)).want(t, http.StatusOK).decode(t, &record)
		var recorded struct{ ID, Source, Data json.RawMessage }
		require.NoError(t, json.Unmarshal(record.Entry.Span.Payload, &recorded))
		require.NotEmpty(t, recorded.ID)
		require.NotEmpty(t, recorded.Source)
		if !whole && len(body) > 0 {
			require.JSONEq(t, string(body), string(recorded.Data))
		}
	})
}

// FuzzVerifySignatures: any body gets a verdict or a problem, and only what was
// signed is valid.
func FuzzVerifySignatures(f *testing.F) {
	w := newNode(f)
	k := w.identity()
	good, err := json.Marshal(checkOf(k, "m"))
	require.NoError(f, err)
	for _, body := range []string{string(good), `{"items":[` + string(good) + `]}`, "", "{}", "[]", "null", `{"items":null}`, `{"message":"m","key":"x"}`} {
		f.Add([]byte(body))
	}
	signature := signed(k, "m")
	f.Fuzz(func(t *testing.T, body []byte) {
		w := w.in(t)
		r := w.post(verifyPath, "", body)
		if !r.refusedOr(t, http.StatusOK) {
			return
		}
		var asked openapi.SignatureChecks
		var got struct {
			openapi.Verdict
			Items []openapi.Verdict
		}
		require.NoError(t, json.Unmarshal(body, &asked))
		r.decode(t, &got)
		require.Len(t, got.Items, len(asked.Items))
		for i, v := range got.Items {
			require.Equal(t, v.Valid && v.Reason == "current", v.Valid && asked.Items[i].Signature == signature && asked.Items[i].Identity == k.ID())
		}
		if len(asked.Items) == 0 && got.Valid {
			require.Equal(t, signature, asked.Signature)
		}
	})
}

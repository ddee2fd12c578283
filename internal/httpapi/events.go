package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/cloudevents"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

var errEventType = fault.New(fault.Invalid, "content_type_unsupported",
	"send an event as application/cloudevents+json, several as application/cloudevents-batch+json, or its data with ce- headers, not compressed, in UTF-8")

// AppendEvents records CloudEvents for a caller that cannot sign.
func (s *Server) AppendEvents(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.lookKnown(c, tenant)
	if err != nil {
		return err
	}
	who := seen.who
	events, batch, err := s.eventsOf(c)
	if err == nil { // one was counted as the request
		err = errors.Join(s.countAddress(c, len(events)-1), s.countCaller(c, who, len(events)-1))
	}
	if err != nil {
		return err
	}
	results, err := s.deps.Events.Record(c.Request().Context(), who, seen.ID, events, batch)
	if err != nil {
		return err
	}
	for i := range results {
		s.countAppend(&results[i])
	}
	if batch {
		return s.answerBatch(c, results)
	}
	r := &results[0]
	if r.Err != nil {
		return r.Err
	}
	return c.Blob(appendStatus(r), typeJSON, appendReceipt(make([]byte, 0, len(r.Receipt.Line)+2048), r.Receipt))
}

// eventsOf reads the events of a request in whichever of the three modes.
func (s *Server) eventsOf(c echo.Context) (events []*cloudevents.Event, batch bool, err error) {
	req := c.Request()
	contentType := req.Header.Get(echo.HeaderContentType)
	typ := mediaType(req)
	structured, binary := strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "application/cloudevents"), cloudevents.IsBinary(req.Header)
	if encoding := req.Header.Get(echo.HeaderContentEncoding); encoding != "" && encoding != "identity" ||
		structured && typ != cloudevents.TypeStructured && typ != cloudevents.TypeBatch || !structured && !binary {
		return nil, false, errEventType
	}
	body, err := s.readBody(c, s.limits.Line)
	if err != nil {
		return nil, false, err
	}
	if typ == cloudevents.TypeBatch {
		events, err = cloudevents.ParseBatch(body)
		return events, true, err
	}
	var event *cloudevents.Event
	if structured {
		event, err = cloudevents.ParseStructured(body)
	} else {
		event, err = cloudevents.ParseBinary(req.Header, contentType, body)
	}
	return []*cloudevents.Event{event}, false, err
}

// answerBatch is 200 only for a batch that was recorded whole: whoever looks at
// the status alone must not take a part for it. Otherwise it is the first
// problem, with every result beside it.
func (s *Server) answerBatch(c echo.Context, results []engine.Result) error {
	var first *fault.Error
	body := []byte{'['}
	for i := range results {
		body = appendComma(body, i)
		if results[i].Err != nil && first == nil {
			first = classify(results[i].Err)
		}
		body = s.appendEventResult(c, body, i, &results[i])
	}
	body = append(body, ']')
	if first != nil {
		return first.With("results", json.RawMessage(body)).With("index", firstFailed(results))
	}
	return c.Blob(http.StatusOK, typeJSON, append(append([]byte(`{"results":`), body...), '}'))
}

func firstFailed(results []engine.Result) int {
	for i := range results {
		if results[i].Err != nil {
			return i
		}
	}
	return -1
}

func (s *Server) appendEventResult(c echo.Context, dst []byte, index int, r *engine.Result) []byte {
	dst = append(dst, `{"index":`...)
	dst = strconv.AppendInt(dst, int64(index), 10)
	dst = append(dst, `,"status":`...)
	if r.Err != nil {
		problem := classify(r.Err)
		dst = strconv.AppendInt(dst, int64(statusOf(problem)), 10)
		dst = s.appendProblem(c.Request().Context(), append(dst, `,"problem":`...), problem, idOf(c))
		return append(dst, '}')
	}
	dst = strconv.AppendInt(dst, int64(appendStatus(r)), 10)
	dst = appendReceipt(append(dst, `,"receipt":`...), r.Receipt)
	return append(dst, '}')
}

package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/rules"
)

const (
	problemType    = "application/problem+json"
	problemPrefix  = "urn:logline:problem:"
	defaultRetry   = time.Second
	authentication = `Bearer realm="logline"`
)

// Problems of HTTP itself, which no module knows.
var (
	errRoute      = fault.New(fault.NotFound, "route_unknown", "there is nothing at this address; see the API's document for what there is")
	errMethod     = fault.New(fault.Invalid, "method_not_allowed", "this address does not take this method; the Allow header lists those it takes")
	errMediaType  = fault.New(fault.Invalid, "content_type_unsupported", "send the body as application/json, not compressed, and say so in Content-Type")
	errSpanType   = fault.New(fault.Invalid, "content_type_unsupported", "send one span as application/json or many as application/x-ndjson, not compressed, and say so in Content-Type")
	errIncomplete = fault.New(fault.Invalid, "body_incomplete", "the body ended, or stopped coming, before its end; send the request again")
	errCancelled  = fault.New(fault.Unavailable, "request_cancelled", "the request ended before its answer; send it again")

	errAddressLong = fault.Newf(fault.Invalid, "address_too_long", "path and query have more than the %d bytes taken here", maxAddress)
	errFields      = fault.Newf(fault.Invalid, "header_too_many", "the header has more than the %d names taken here", maxFields)

	// errCut ends a streamed answer that cannot be completed: the connection
	// breaks off, so that nobody takes a part for the whole.
	errCut = errors.New("the answer was cut off")
)

// statusByKind is the HTTP status of each kind of failure.
var statusByKind = map[fault.Kind]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Gone:            http.StatusGone,
	fault.Limited:         http.StatusTooManyRequests,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Internal:        http.StatusInternalServerError,
}

// titleByKind is the short name of each kind, which never varies (RFC 9457 §3.1.3).
var titleByKind = map[fault.Kind]string{
	fault.Invalid:         "Invalid input",
	fault.Unauthenticated: "Not authenticated",
	fault.Forbidden:       "Not permitted",
	fault.NotFound:        "Not found",
	fault.Conflict:        "Conflict",
	fault.Gone:            "Gone",
	fault.Limited:         "Too much",
	fault.Unavailable:     "Not available now",
	fault.Internal:        "Internal error",
}

func titleOf(e *fault.Error) string {
	if e.Code == rules.CodeRefused {
		return "Refused by a contract"
	}
	return titleByKind[e.Kind]
}

// statusOf is the kind's status, but where HTTP has a finer one for the code.
func statusOf(e *fault.Error) int {
	switch {
	case e.Code == errMethod.Code:
		return http.StatusMethodNotAllowed
	case e.Code == errMediaType.Code:
		return http.StatusUnsupportedMediaType
	case e.Code == errAddressLong.Code:
		return http.StatusRequestURITooLong
	case e.Code == errFields.Code:
		return http.StatusRequestHeaderFieldsTooLarge
	case e.Code == rules.CodeRefused:
		return http.StatusUnprocessableEntity
	case e.Kind == fault.Invalid && strings.HasSuffix(e.Code, "_too_large"):
		return http.StatusRequestEntityTooLarge
	}
	if status, ok := statusByKind[e.Kind]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// classify turns whatever a handler or echo returned into a classified error.
func classify(err error) *fault.Error {
	var e *fault.Error
	if errors.As(err, &e) {
		return e
	}
	var http4 *echo.HTTPError
	switch {
	case errors.As(err, &http4):
		return fromEcho(http4)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errCancelled.Because(err)
	}
	return fault.From(err)
}

// fromEcho classifies what the router and the generated binding refuse.
func fromEcho(err *echo.HTTPError) *fault.Error {
	switch err.Code {
	case http.StatusNotFound:
		return errRoute
	case http.StatusMethodNotAllowed:
		return errMethod
	case http.StatusBadRequest:
		detail, _ := err.Message.(string)
		return badParameter(detail)
	}
	return fault.From(err)
}

// bound is how the generated binding says which parameter it refuses, and why.
var bound = regexp.MustCompile(`^Invalid format for parameter ([A-Za-z0-9_-]+): (.*)`)

// badParameter says what the generated binding refused in words that hold
// nothing of its code. Of what it parses, all but texts are whole numbers.
func badParameter(said string) *fault.Error {
	m := bound.FindStringSubmatch(said)
	if m == nil {
		return fault.New(fault.Invalid, "parameter_invalid", "a parameter is missing or malformed")
	}
	reason := "must be a whole number within the range that the API's document gives"
	switch {
	case strings.Contains(m[2], "is required"):
		reason = "is missing"
	case strings.Contains(m[2], "multiple values"):
		reason = "is given more than once"
	case !strings.Contains(m[2], "strconv."):
		reason = "is malformed"
	}
	return fault.Newf(fault.Invalid, "parameter_invalid", "the parameter %s %s", m[1], reason)
}

// renderError is echo's error handler.
func (s *Server) renderError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	e := classify(err)
	header := c.Response().Header()
	status := statusOf(e)
	switch status {
	case http.StatusUnauthorized:
		header.Set(echo.HeaderWWWAuthenticate, authentication)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(retrySeconds(e)))
		if limited := (*quota.Refusal)(nil); errors.As(e, &limited) {
			writeLevel(header, limited.Level)
		}
	}
	header.Set(echo.HeaderContentType, problemType) // a handler may have meant to answer otherwise
	// A client that went away cannot be told so: the error is of no use.
	_ = c.Blob(status, problemType, s.appendProblem(c.Request().Context(), nil, e, idOf(c)))
}

// retrySeconds is the Retry-After of e, rounded up: whole seconds, at least one.
func retrySeconds(e *fault.Error) int {
	after := e.RetryAfter
	if after <= 0 {
		after = defaultRetry
	}
	return int(math.Ceil(after.Seconds()))
}

// appendProblem appends the problem document (RFC 9457) of e.
func (s *Server) appendProblem(ctx context.Context, dst []byte, e *fault.Error, requestID string) []byte {
	doc := make(map[string]any, 6+len(e.Meta))
	maps.Copy(doc, e.Meta)
	doc["type"] = problemPrefix + e.Code
	doc["title"] = titleOf(e)
	doc["status"] = statusOf(e)
	doc["detail"] = e.Detail
	doc["instance"] = requestID
	if len(e.Fields) > 0 {
		doc["errors"] = e.Fields
	}
	if e.Kind == fault.Limited || e.Kind == fault.Unavailable {
		doc["retry_after"] = retrySeconds(e) // a line of many has no header of its own
	}
	body, err := json.Marshal(doc)
	if err != nil {
		s.log.ErrorContext(ctx, "members of a problem cannot be written", slog.String("code", e.Code), slog.Any("error", err))
		for k := range e.Meta {
			delete(doc, k)
		}
		body, _ = json.Marshal(doc) // strings and numbers always marshal
	}
	return append(dst, body...)
}

// notReady keeps the reason of err and makes it Unavailable whatever its kind.
func notReady(err error) error {
	e := fault.From(err)
	if e.Kind == fault.Unavailable {
		return e
	}
	return fault.New(fault.Unavailable, "not_ready", "this process cannot append and sign now; its log says why").Because(err)
}

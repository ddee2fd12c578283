package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var (
	errExpectedMany = fault.New(fault.Invalid, "parameter_invalid",
		"Logline-Expected-Seq is for one span; leave it out with many")
	errWait = fault.New(fault.Invalid, "parameter_invalid",
		"the query parameter wait must be durable, witnessed or left out; nothing was appended")
	errWaitAlone = fault.New(fault.Invalid, "parameter_invalid",
		"the query parameter wait must be durable or left out: this node has no witnesses to wait for; nothing was appended")
	errDryMany = fault.New(fault.Invalid, "parameter_invalid",
		"dry_run is for one span; with many, sign those with status simulated that are to be tried; nothing was appended")
	errWaitMany = fault.New(fault.Invalid, "parameter_invalid",
		"wait=witnessed is for one span; leave it out with many, and ask for receipts with cosigned=true later; nothing was appended")
)

// AppendSpans takes one span, or many as NDJSON. The signature of a span is its
// credential; an Authorization header is not looked at.
func (s *Server) AppendSpans(c echo.Context, tenant api.TenantParameter, params api.AppendSpansParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	witnessed := given(params.Wait) == api.Witnessed
	switch {
	case params.Wait != nil && *params.Wait != api.Durable && !witnessed:
		return errWait
	case witnessed && !s.deps.Log.Witnessed():
		return errWaitAlone
	}
	dry := given(params.DryRun)
	switch mediaType(c.Request()) {
	case typeJSON:
		return s.appendOne(c, tenant, engine.Options{ExpectedSize: params.LoglineExpectedSeq, DryRun: dry}, witnessed)
	case typeNDJSON:
		if witnessed {
			return errWaitMany
		}
		if dry {
			return errDryMany
		}
		if params.LoglineExpectedSeq != nil {
			return errExpectedMany
		}
		return s.appendMany(c, tenant)
	}
	return errSpanType
}

func (s *Server) appendOne(c echo.Context, tenant string, opt engine.Options, witnessed bool) error {
	raw, err := s.readBody(c, s.limits.Line)
	if err != nil {
		return err
	}
	r := s.deps.Engine.Submit(c.Request().Context(), tenant, raw, opt)
	s.hide(c.Request().Context(), tenant, raw, &r)
	s.countAppend(&r)
	if r.Err != nil {
		return r.Err
	}
	if r.Outcome == engine.Simulated {
		return c.Blob(http.StatusOK, typeJSON, append(appendSimulation([]byte{'{'}, &r), '}'))
	}
	status := appendStatus(&r)
	if witnessed && !s.awaitWitnesses(c, tenant, &r) {
		status = http.StatusAccepted
	}
	body := s.bodies.get()
	defer s.bodies.put(body)
	*body = appendReceipt(*body, r.Receipt)
	return s.sendJSON(c, status, *body)
}

// appendStatus is the HTTP status of a span that was not refused.
func appendStatus(r *engine.Result) int {
	switch {
	case pending(r):
		return http.StatusAccepted
	case r.Outcome == engine.Created:
		return http.StatusCreated
	}
	return http.StatusOK // a repeat or a simulation
}

// hide makes a slug that leads to no tenant and one that leads to a tenant the
// sender may know nothing of answer alike. Ids are open (checkpoints), so whoever
// knows one may sign a span for it; which name it has is not theirs to learn. What
// is wrong with the form and the signature of a span comes first in both cases.
func (s *Server) hide(ctx context.Context, tenant string, raw []byte, r *engine.Result) {
	if r.Err == nil {
		return
	}
	unknown := fault.CodeOf(r.Err) == errTenant.Code
	if span.IsUUID(tenant) {
		if unknown {
			r.Err = errTenant
		}
		return
	}
	sp, err := span.Parse(raw, s.limits.Span)
	switch {
	case err != nil:
		r.Err = err
	case !engine.Signed(s.verify, &sp.Header):
		r.Err = engine.ErrSignature
	case unknown:
		_, _ = s.deps.Log.Knows(ctx, "", sp.Author) // as where there is such a tenant, so that the time it takes tells nothing
		r.Err = errTenant
	case slices.Contains([]string{"tenant_mismatch", standing.ErrAuthorUnknown.Code}, fault.CodeOf(r.Err)) || !s.mayHear(ctx, tenant, sp.Author):
		r.Err = errTenant
	}
}

// heard says whether a line is a span whose author may be told of the tenant.
func (s *Server) heard(ctx context.Context, tenant string, line []byte) bool {
	sp, err := span.Parse(line, s.limits.Span)
	return err == nil && engine.Signed(s.verify, &sp.Header) && s.mayHear(ctx, tenant, sp.Author)
}

// mayHear says whether an author may be told that there is a tenant of this name.
func (s *Server) mayHear(ctx context.Context, slug, author string) bool {
	t, err := s.deps.Log.Tenant(ctx, slug)
	if err != nil || t.PublicReading {
		return err == nil
	}
	if known, err := s.deps.Log.Knows(ctx, t.ID, author); err != nil || !known {
		return false
	}
	view, err := s.deps.Log.Standing(ctx, t.ID)
	return err == nil && mayLook(view, author, false)
}

func (s *Server) countAppend(r *engine.Result) {
	outcome := r.Outcome
	switch {
	case r.Err != nil:
		outcome = outcomeRefused
	case pending(r):
		outcome = outcomePending
	}
	s.metrics.appends.WithLabelValues(outcome).Inc()
}

// appendResult appends the result line of one NDJSON line.
func (s *Server) appendResult(ctx context.Context, dst []byte, line int, r *engine.Result, requestID string) []byte {
	status := 0
	var problem *fault.Error
	if r.Err != nil {
		problem = classify(r.Err)
		status = statusOf(problem)
	} else {
		status = appendStatus(r)
	}
	dst = append(dst, `{"line":`...)
	dst = strconv.AppendInt(dst, int64(line), 10)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	switch {
	case problem != nil:
		if problem.Kind == fault.Internal {
			s.log.ErrorContext(ctx, "line not appended", slog.Int("line", line),
				slog.String("request_id", requestID), slog.Any("error", problem))
		}
		dst = append(dst, `,"problem":`...)
		dst = s.appendProblem(ctx, dst, problem, requestID)
	case r.Outcome == engine.Simulated:
		dst = append(dst, ',')
		dst = appendSimulation(dst, r)
	default:
		dst = append(dst, `,"receipt":`...)
		dst = appendReceipt(dst, r.Receipt)
	}
	return append(dst, "}\n"...)
}

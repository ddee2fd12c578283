package httpapi

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine/backtests"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules/backtest"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var (
	errTasks      = fault.New(fault.Forbidden, "role_forbidden", "tasks are for the tenant's owners, admins and auditors")
	errTasksAdmin = fault.New(fault.Forbidden, "role_forbidden", "only the tenant's owners and admins may do this to a task")
)

// operator is a caller who looks at what the engine does.
type operator struct{ sight }

// operate finds the tenant for such a caller.
func (s *Server) operate(c echo.Context, tenant string) (operator, error) {
	seen, err := s.lookKnown(c, tenant)
	return operator{seen}, err
}

// admin says whether it may change any task. Keys that are limited to some
// types are not for this, but API keys that were given the right to it are.
func (o *operator) admin() bool {
	may := o.who.Manages() || o.who.APIKey != nil && o.who.Has(id.RightTasks)
	return may && o.view.Can(o.who.Identity, standing.RightAdminister)
}

// overlooks says whether it may see any task: they tell of private spans too.
func (o *operator) overlooks() bool { return o.admin() || o.reader.Private }

// asked says whether it requested the task.
func (o *operator) asked(t *tasks.Task) bool { return t.AskedBy != "" && t.AskedBy == o.who.Identity }

// ListTasks lists tasks.
func (s *Server) ListTasks(c echo.Context, tenant api.TenantParameter, params api.ListTasksParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	o, err := s.operate(c, tenant)
	if err != nil {
		return err
	}
	if !o.overlooks() {
		return errTasks
	}
	limit, err := pageLimit(params.Limit)
	if err != nil {
		return err
	}
	l := tasks.List{Tenant: o.ID, Queue: given(params.Queue), Limit: limit + 1}
	if !clean(l.Queue) {
		return wrong("queue", "the name of a queue")
	}
	if params.State != nil {
		state, ok := tasks.ParseState(string(*params.State))
		if !ok {
			return wrong("state", "queued, running, completed, failed or cancelled")
		}
		l.State = &state
	}
	if params.Cursor != nil {
		raw, err := base64.RawURLEncoding.DecodeString(*params.Cursor)
		before, bad := tasks.ParseID(o.ID, string(raw))
		if err != nil || bad != nil {
			return fault.New(fault.Invalid, "cursor_invalid", "cursor is not the next of an earlier page")
		}
		l.Before = &before
	}
	found, err := s.deps.Tasks.List(c.Request().Context(), l)
	if err != nil {
		return err
	}
	page := api.TaskPage{Items: []api.Task{}}
	for i := range found {
		if i == limit {
			next := cursorOf(found[limit-1].ID())
			page.Next = &next
			break
		}
		page.Items = append(page.Items, o.shown(&found[i]))
	}
	return answer(c, http.StatusOK, page)
}

// GetTask shows one task.
func (s *Server) GetTask(c echo.Context, tenant api.TenantParameter, task api.TaskParameter) error {
	o, t, err := s.task(c, tenant, task)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, o.shown(&t))
}

// task finds a task for a caller who may see it. For anybody else who may read
// the tenant there is none.
func (s *Server) task(c echo.Context, tenant, name string) (o operator, t tasks.Task, err error) {
	if o, err = s.operate(c, tenant); err != nil {
		return o, t, err
	}
	if !o.reader.Organization && !o.overlooks() {
		return o, t, errTasks
	}
	k, err := tasks.ParseID(o.ID, name)
	if err == nil {
		t, err = s.deps.Tasks.Get(c.Request().Context(), k)
	}
	if err == nil && !o.overlooks() && !o.asked(&t) {
		err = tasks.ErrUnknown
	}
	return o, t, err
}

// CancelTask cancels a task.
func (s *Server) CancelTask(c echo.Context, tenant api.TenantParameter, task api.TaskParameter) error {
	o, t, err := s.task(c, tenant, task)
	if err != nil {
		return err
	}
	if !o.admin() && !o.asked(&t) {
		return errTasksAdmin
	}
	if t, err = s.deps.Tasks.Cancel(c.Request().Context(), s.now(), t.Key); err != nil {
		return err
	}
	return answer(c, http.StatusOK, o.shown(&t))
}

// requeuedAttempts is how often a task that is queued again may run.
const requeuedAttempts = 20

// RequeueTask lets a task run again.
func (s *Server) RequeueTask(c echo.Context, tenant api.TenantParameter, task api.TaskParameter) error {
	o, t, err := s.task(c, tenant, task)
	if err != nil {
		return err
	}
	if !o.admin() {
		return errTasksAdmin
	}
	if t, err = s.deps.Tasks.Requeue(c.Request().Context(), s.now(), t.Key, requeuedAttempts); err != nil {
		return err
	}
	return answer(c, http.StatusOK, o.shown(&t))
}

// ListQueues gives the counts of every queue.
func (s *Server) ListQueues(c echo.Context, tenant api.TenantParameter) error {
	o, err := s.operate(c, tenant)
	if err != nil {
		return err
	}
	if !o.overlooks() {
		return errTasks
	}
	counts, err := s.deps.Tasks.Counts(c.Request().Context(), o.ID)
	if err != nil {
		return err
	}
	now := s.now()
	tallies, err := s.deps.Tasks.Recent(c.Request().Context(), o.ID, now.Add(-recentMinutes*time.Minute+time.Minute))
	if err != nil {
		return err
	}
	page := api.QueuePage{Items: make([]api.Queue, len(counts))}
	for i, q := range counts {
		page.Items[i] = api.Queue{
			Queue: q.Queue, Limit: q.Most, Queued: q.Queued, Running: q.Running, Completed: q.Completed, Failed: q.Failed, Cancelled: q.Cancelled,
			DueAt: formatTime(q.DueAt), Recent: recent(tallies, q.Queue, now),
		}
		if !q.DueAt.IsZero() {
			page.Items[i].WaitSeconds = s.age(q.DueAt)
		}
	}
	return answer(c, http.StatusOK, page)
}

// recentMinutes is how far back statistics look: the minute that it is, and
// those before.
const recentMinutes = 5

// recent is how a queue's runs ended lately.
func recent(tallies []tasks.Tally, queue string, now time.Time) api.QueueRecent {
	r := api.QueueRecent{Minutes: recentMinutes}
	for i := range tallies {
		if t := &tallies[i]; t.Queue == queue {
			r.Completed, r.Retried, r.Failed = r.Completed+t.Completed, r.Retried+t.Retried, r.Failed+t.Failed
		}
	}
	elapsed := (recentMinutes-1)*time.Minute + now.Sub(now.Truncate(time.Minute))
	r.PerMinute = float64(r.Completed) / elapsed.Minutes()
	if runs := r.Completed + r.Retried + r.Failed; runs > 0 {
		r.FailureRate = float64(r.Retried+r.Failed) / float64(runs)
	}
	return r
}

// errReadsAll is for who asks about entries that it may not see.
var errReadsAll = fault.New(fault.Forbidden, "role_forbidden", "backtests and replays read every entry, so they are for who may see them all: an auditor")

// RequestBacktest makes a task of a backtest.
func (s *Server) RequestBacktest(c echo.Context, tenant api.TenantParameter) error {
	o, err := s.operate(c, tenant)
	if err != nil {
		return err
	}
	if !o.reader.ReadsAll() {
		return errReadsAll
	}
	var body api.BacktestRequest
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if err := s.deps.Quotas.Task(c.Request().Context(), o.ID); err != nil {
		return err
	}
	t, err := s.deps.Backtests.Ask(c.Request().Context(), o.ID, o.who.Identity,
		backtests.Request{Source: body.Source, Clock: backtest.Clock(body.Clock), Show: body.Show})
	if err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, o.shown(&t))
}

// RequestReplay makes a task of a replay.
func (s *Server) RequestReplay(c echo.Context, tenant api.TenantParameter) error {
	o, err := s.operate(c, tenant)
	if err != nil {
		return err
	}
	if !o.reader.ReadsAll() {
		return errReadsAll
	}
	var body api.ReplayRequest
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if err := s.deps.Quotas.Task(c.Request().Context(), o.ID); err != nil {
		return err
	}
	t, err := s.deps.Backtests.AskReplay(c.Request().Context(), o.ID, o.who.Identity, backtests.ReplayRequest{
		From: body.From, To: body.To, Mode: replay.Mode(body.Mode), Select: body.Select, Sources: body.Sources, Show: body.Show,
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, o.shown(&t))
}

// shown is a task as the caller sees it: what came of a request is for whoever
// made it, as long as it may see what it is made of.
func (o *operator) shown(t *tasks.Task) api.Task {
	out := taskOf(t)
	if t.Seq == nil && (!o.asked(t) || !o.reader.ReadsAll()) {
		out.Output = nil
	}
	return out
}

func taskOf(t *tasks.Task) api.Task {
	out := api.Task{
		Id: t.ID(), AskedBy: t.AskedBy, Queue: t.Queue, Kind: t.Kind, Name: t.Name, Priority: t.Priority, State: api.TaskState(t.State.String()),
		Cancelling: t.Cancelling, Attempt: t.Attempt, Attempts: t.Attempts, RunAt: span.FormatTime(t.RunAt), Worker: t.Worker,
		MadeAt: span.FormatTime(t.MadeAt), ChangedAt: span.FormatTime(t.ChangedAt), Code: t.Code, Error: t.Error, Output: t.Output,
	}
	if t.Seq != nil {
		out.Span, out.Seq = t.Origin, t.Seq
	}
	if !t.LeaseUntil.Equal(time.Time{}) {
		out.LeaseUntil = span.FormatTime(t.LeaseUntil)
	}
	return out
}

package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

var (
	errSchedules      = fault.New(fault.Forbidden, "role_forbidden", "schedules are for the tenant's owners, admins and auditors")
	errSchedulesAdmin = fault.New(fault.Forbidden, "role_forbidden", "only the tenant's owners and admins may do this to a schedule")
)

// ListSchedules lists schedules.
func (s *Server) ListSchedules(c echo.Context, tenant api.TenantParameter) error {
	all, err := s.schedules(c, tenant, "")
	if err != nil {
		return err
	}
	page := api.SchedulePage{Items: make([]api.Schedule, len(all))}
	for i := range all {
		page.Items[i] = scheduleOf(&all[i])
	}
	return answer(c, http.StatusOK, page)
}

// GetSchedule shows one schedule.
func (s *Server) GetSchedule(c echo.Context, tenant api.TenantParameter, contract api.ContractParameter, schedule api.ScheduleParameter) error {
	all, err := s.schedules(c, tenant, contract+"/"+schedule)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return rules.ErrNoSchedule
	}
	return answer(c, http.StatusOK, scheduleOf(&all[0]))
}

// schedules finds schedules for a caller who may see them.
func (s *Server) schedules(c echo.Context, tenant, only string) ([]rules.Scheduled, error) {
	o, err := s.operate(c, tenant)
	if err != nil {
		return nil, err
	}
	if !o.overlooks() {
		return nil, errSchedules
	}
	return s.deps.Engine.Schedules(c.Request().Context(), o.ID, only)
}

// PauseSchedule lets a schedule rest.
func (s *Server) PauseSchedule(c echo.Context, tenant api.TenantParameter, contract api.ContractParameter, schedule api.ScheduleParameter) error {
	return s.changeSchedule(c, tenant, contract, schedule, rules.SchedulePause)
}

// ResumeSchedule lets a schedule go on.
func (s *Server) ResumeSchedule(c echo.Context, tenant api.TenantParameter, contract api.ContractParameter, schedule api.ScheduleParameter) error {
	return s.changeSchedule(c, tenant, contract, schedule, rules.ScheduleResume)
}

// RunSchedule lets a schedule run now.
func (s *Server) RunSchedule(c echo.Context, tenant api.TenantParameter, contract api.ContractParameter, schedule api.ScheduleParameter) error {
	return s.changeSchedule(c, tenant, contract, schedule, rules.ScheduleRun)
}

func (s *Server) changeSchedule(c echo.Context, tenant, contract, schedule, action string) error {
	o, err := s.operate(c, tenant)
	if err != nil {
		return err
	}
	if !o.admin() {
		return errSchedulesAdmin
	}
	changed, err := s.deps.Engine.ChangeSchedule(c.Request().Context(), o.ID, contract+"/"+schedule, action, o.who.Identity)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, scheduleOf(&changed))
}

// dueTimesShown is how many due times a schedule is shown with.
const dueTimesShown = 5

func scheduleOf(sc *rules.Scheduled) api.Schedule {
	out := api.Schedule{
		Contract: sc.Contract.Name, Schedule: sc.Name, Version: sc.Contract.Version, Cron: sc.Cron, Timezone: sc.Timezone, Foreach: sc.Foreach,
		Missed: api.ScheduleMissed(sc.Missed), Paused: sc.Paused, Due: shownTime(sc.Due), At: shownTime(sc.At), Tries: sc.Tried, Running: sc.Running, Next: []string{},
	}
	if sc.Every > 0 {
		out.Every = sc.Every.String()
	}
	for _, at := range engine.Upcoming(sc, dueTimesShown) {
		out.Next = append(out.Next, span.FormatTime(at))
	}
	if sc.Outcome != "" {
		out.Last = &api.ScheduleRun{At: shownTime(sc.Last), Due: shownTime(sc.For), Outcome: api.ScheduleRunOutcome(sc.Outcome), Span: sc.Span}
	}
	return out
}

// shownTime is a time, "" for none.
func shownTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span.FormatTime(t)
}

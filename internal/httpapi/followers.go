package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/words"
)

var (
	errFollowers      = fault.New(fault.Forbidden, "role_forbidden", "followers are for the tenant's owners, admins and auditors")
	errFollowersAdmin = fault.New(fault.Forbidden, "role_forbidden", "only the tenant's owners and admins may hold a follower or let it go")
)

// overseer finds the tenant for a caller who may see its followers.
func (s *Server) overseer(c echo.Context, tenant string) (operator, error) {
	o, err := s.operate(c, tenant)
	if err == nil && !o.overlooks() {
		err = errFollowers
	}
	return o, err
}

// ListFollowers lists followers.
func (s *Server) ListFollowers(c echo.Context, tenant api.TenantParameter) error {
	o, err := s.overseer(c, tenant)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	list, err := s.deps.Followers.List(ctx, o.ID)
	if err != nil {
		return err
	}
	page := api.FollowerPage{Items: make([]api.Follower, len(list))}
	for i := range list {
		if page.Items[i], err = s.followerOf(ctx, &o, &list[i]); err != nil {
			return err
		}
	}
	return answer(c, http.StatusOK, page)
}

// GetFollower shows one follower.
func (s *Server) GetFollower(c echo.Context, tenant api.TenantParameter, name api.FollowerParameter) error {
	o, err := s.overseer(c, tenant)
	if err != nil {
		return err
	}
	f, err := s.deps.Followers.Get(c.Request().Context(), o.ID, name)
	return s.showFollower(c, &o, &f, err)
}

// PauseFollower holds a follower.
func (s *Server) PauseFollower(c echo.Context, tenant api.TenantParameter, name api.FollowerParameter) error {
	return s.changeFollower(c, tenant, name, s.deps.Followers.Pause)
}

// ResumeFollower lets one go on.
func (s *Server) ResumeFollower(c echo.Context, tenant api.TenantParameter, name api.FollowerParameter) error {
	return s.changeFollower(c, tenant, name, s.deps.Followers.Resume)
}

// RequeueFollower lets one try again.
func (s *Server) RequeueFollower(c echo.Context, tenant api.TenantParameter, name api.FollowerParameter) error {
	return s.changeFollower(c, tenant, name, s.deps.Followers.Requeue)
}

// SkipEntry lets one go on behind an entry.
func (s *Server) SkipEntry(c echo.Context, tenant api.TenantParameter, name api.FollowerParameter) error {
	return s.changeFollower(c, tenant, name, func(ctx context.Context, tenant, name, by string) (followers.Status, error) {
		var body api.SkipRequest
		if err := s.bind(c, &body); err != nil {
			return followers.Status{}, err
		}
		return s.deps.Followers.Skip(ctx, tenant, name, body.Entry, by)
	})
}

func (s *Server) changeFollower(c echo.Context, tenant, name string, change func(ctx context.Context, tenant, name, by string) (followers.Status, error)) error {
	o, err := s.overseer(c, tenant)
	if err != nil {
		return err
	}
	if !o.admin() {
		return errFollowersAdmin
	}
	f, err := change(c.Request().Context(), o.ID, name, o.who.Identity)
	return s.showFollower(c, &o, &f, err)
}

func (s *Server) showFollower(c echo.Context, o *operator, f *followers.Status, err error) error {
	if err != nil {
		return err
	}
	shown, err := s.followerOf(c.Request().Context(), o, f)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, shown)
}

// followerOf adds to how a follower stands how much it has not read.
func (s *Server) followerOf(ctx context.Context, o *operator, f *followers.Status) (api.Follower, error) {
	out := api.Follower{
		Follower: f.Name, About: followers.About(f.Name), State: api.FollowerState(f.State.String()), Tries: f.Tries, Code: f.Code, Error: f.Error,
		FailingSince: formatTime(f.FailingSince), ChangedAt: formatTime(f.ChangedAt), ChangedBy: f.ChangedBy, SeenAt: formatTime(f.SeenAt),
	}
	if f.Entry != followers.Nowhere {
		out.Entry = &f.Entry
	}
	if f.Name == followers.Teller {
		changes, oldest, err := s.deps.Tasks.Backlog(ctx, o.ID)
		if changes > 0 {
			out.Lag, out.LagSeconds = uint64(changes), s.age(oldest)
		}
		return out, err
	}
	head := o.Size
	if f.Name == followers.Words {
		head -= head % words.Size
	}
	cursor := min(f.Cursor, head)
	out.Cursor, out.Head, out.Lag = &cursor, &head, head-cursor
	if out.Lag == 0 {
		return out, nil
	}
	first, _, err := s.deps.Log.Entries(ctx, o.ID, cursor, cursor+1, standing.Everything())
	if err != nil || len(first) == 0 {
		return out, err
	}
	at, err := span.ParseTime(first[0].Entry.RecordedAt)
	out.LagSeconds = s.age(at)
	return out, err
}

// age is how long ago something was, in seconds.
func (s *Server) age(at time.Time) float64 { return max(0, s.now().Sub(at).Seconds()) }

// formatTime is a time in the form of recorded_at, "" for none.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span.FormatTime(t)
}

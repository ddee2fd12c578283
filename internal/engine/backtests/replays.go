package backtests

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/replay"
)

// ReplayKind is the kind of tasks that are replays. They share the queue of
// backtests: of a tenant one of both runs at a time.
const ReplayKind = "replay"

// maxSources bounds the contracts of a replay.
const maxSources = 16

// ReplayRequest is what is asked for, and the input of the task.
type ReplayRequest struct {
	From    uint64      `json:"from"`
	To      uint64      `json:"to"` // 0: to the end
	Mode    replay.Mode `json:"mode"`
	Select  []string    `json:"select,omitempty"`
	Sources []string    `json:"sources,omitempty"` // of contracts that decide in the place of those of the same name
	Show    int         `json:"show"`              // differences that the report lists
}

// ReplayKind is how these tasks run.
func (s *Service) ReplayKind() tasks.Kind {
	k := s.TaskKind()
	k.Name, k.Queue, k.Run = ReplayKind, Kind, s.runReplay
	return k
}

// AskReplay checks a request by identity by and makes a task of it.
func (s *Service) AskReplay(ctx context.Context, tenant, by string, r ReplayRequest) (tasks.Task, error) {
	if r.Show < 0 || r.Show > MaxShow {
		return tasks.Task{}, fault.Newf(fault.Invalid, "parameter_invalid", "show is 0 to %d", MaxShow).At("/show", "out of range")
	}
	if _, err := s.replay(r); err != nil {
		return tasks.Task{}, err
	}
	now, err := s.log.Tenant(ctx, tenant)
	if err != nil {
		return tasks.Task{}, err
	}
	if max(r.From, r.To) > now.Size {
		return tasks.Task{}, fault.Newf(fault.Invalid, "range_invalid", "the timeline has %d entries, and the range goes beyond them", now.Size)
	}
	return s.queue(ctx, tenant, by, ReplayKind, string(cmp.Or(r.Mode, replay.Validate)), r)
}

// replay is the one that is asked for, at its beginning.
func (s *Service) replay(r ReplayRequest) (*replay.Replay, error) {
	if len(r.Sources) > maxSources {
		return nil, fault.Newf(fault.Invalid, "parameter_invalid", "at most %d contracts are given", maxSources).At("/sources", "too many")
	}
	chosen, err := replay.ParseSelection(r.Select)
	if err != nil {
		return nil, err
	}
	o := replay.Options{
		Mode: r.Mode, From: r.From, To: r.To, Select: chosen, Keep: r.Show,
		Compile: s.contracts.Compile, NextCron: cron.NextIn, CronBetween: cron.BetweenIn,
	}
	for _, source := range r.Sources {
		c, err := s.contracts.Compile(source)
		if err != nil {
			return nil, err
		}
		o.Contracts = append(o.Contracts, c)
	}
	return replay.New(o)
}

func (s *Service) runReplay(ctx context.Context, t *tasks.Task) ([]byte, error) {
	var r ReplayRequest
	if err := json.Unmarshal(t.Input, &r); err != nil {
		return nil, tasks.Final(err)
	}
	again, err := s.replay(r)
	if err != nil {
		return nil, err
	}
	if err := s.decide(ctx, t, again, r.To); err != nil {
		return nil, err
	}
	return json.Marshal(Output{Replay: again.Report()})
}

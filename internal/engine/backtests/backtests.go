// Package backtests runs backtests and replays as tasks: somebody asks what a contract would
// have decided about a timeline, and a worker lets it decide all of it again,
// tells how far it is, and leaves the report. What they are is
// internal/rules/backtest's and internal/rules/replay's to say; this package finds the entries and contracts
// and decides nothing.
package backtests

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules/backtest"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Kind is the kind of these tasks, and their queue.
const Kind = "backtest"

// Log is what is asked of the timelines. *timeline.Log implements it.
type Log interface {
	Tenant(ctx context.Context, idOrSlug string) (timeline.Tenant, error)
	Standing(ctx context.Context, tenant string) (standing.View, error)
	Opened(ctx context.Context, tenant string, from, to uint64, r standing.Reader) iter.Seq2[[]*span.Opened, error]
}

// Contracts are those that a timeline has. *rulebook.Book implements it.
type Contracts interface {
	Versions(ctx context.Context, tenant string) ([]rulebook.Version, error)
	Compile(source string) (*contract.Contract, error)
}

// Store is what is asked of the store of tasks.
type Store interface {
	Note(ctx context.Context, l tasks.Lease, output []byte) error
}

// Functions run tasks that are asked for. *tasks.Functions implements it, which
// has to have TaskKind.
type Functions interface {
	Ask(ctx context.Context, tenant, by, kind, name string, input []byte) (tasks.Task, error)
}

// Service takes requests for backtests and runs them. It is safe for concurrent
// use.
type Service struct {
	log       Log
	contracts Contracts
	store     Store
	functions Functions
}

// New makes a service.
func New(log Log, contracts Contracts, store Store, functions Functions) *Service {
	return &Service{log, contracts, store, functions}
}

// Request is what is asked for, and the input of the task.
type Request struct {
	Source string         `json:"source"` // of the contract
	Clock  backtest.Clock `json:"clock"`
	Show   int            `json:"show"` // differences that the report lists
}

// Output is that of the task: the report, and before it how far it is.
type Output struct {
	Progress *Progress        `json:"progress,omitempty"`
	Report   *backtest.Report `json:"report,omitempty"`
	Replay   *replay.Report   `json:"replay,omitempty"`
}

// Progress counts entries.
type Progress struct {
	Done uint64 `json:"done"`
	Of   uint64 `json:"of"`
}

const (
	// MaxShow bounds the differences of a report.
	MaxShow = 1000
	// every is how often progress is told.
	every = time.Second
)

// TaskKind is how these tasks run: one of a tenant at a time, behind all others.
func (s *Service) TaskKind() tasks.Kind {
	return tasks.Kind{Name: Kind, Run: s.run, Priority: tasks.Idle, Timeout: time.Hour, Attempts: 3, Most: 1}
}

// Ask checks a request by identity by and makes a task of it.
func (s *Service) Ask(ctx context.Context, tenant, by string, r Request) (tasks.Task, error) {
	if r.Show < 0 || r.Show > MaxShow {
		return tasks.Task{}, fault.Newf(fault.Invalid, "parameter_invalid", "show is 0 to %d", MaxShow).At("/show", "out of range")
	}
	all, err := s.together(ctx, tenant, r.Source)
	if err != nil {
		return tasks.Task{}, err
	}
	if _, err := backtest.New(all, backtest.Options{Clock: r.Clock, NextCron: cron.NextIn}); err != nil {
		return tasks.Task{}, err
	}
	return s.queue(ctx, tenant, by, Kind, all[0].Name, r)
}

// queue makes a task of a request by identity by.
func (s *Service) queue(ctx context.Context, tenant, by, kind, name string, request any) (tasks.Task, error) {
	input, err := json.Marshal(request)
	if err != nil {
		return tasks.Task{}, err
	}
	return s.functions.Ask(ctx, tenant, by, kind, name, input)
}

// together is the contract and those that it requires, as they are in force.
func (s *Service) together(ctx context.Context, tenant, source string) ([]*contract.Contract, error) {
	first, err := s.contracts.Compile(source)
	if err != nil {
		return nil, err
	}
	all := []*contract.Contract{first}
	if len(first.Requires) == 0 {
		return all, nil
	}
	versions, err := s.contracts.Versions(ctx, tenant)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(all); i++ {
	next:
		for _, need := range all[i].Requires {
			for _, c := range all {
				if c.Name == need.Name {
					continue next
				}
			}
			for _, v := range versions {
				if v.Name != need.Name || v.Mode != rulebook.Enforced {
					continue
				}
				c, err := s.contracts.Compile(v.Source)
				if err != nil {
					return nil, err
				}
				all = append(all, c)
				continue next
			}
			return nil, fault.Newf(fault.Invalid, "contract_missing", "the contract requires %s, of which no version is in force here", need.Name).At("/source", "requires what is not in force")
		}
	}
	return all, nil
}

// run is the handler. Who asked must still be allowed to see everything.
func (s *Service) run(ctx context.Context, t *tasks.Task) ([]byte, error) {
	var r Request
	if err := json.Unmarshal(t.Input, &r); err != nil {
		return nil, tasks.Final(err)
	}
	all, err := s.together(ctx, t.Tenant, r.Source)
	if err != nil {
		return nil, err
	}
	b, err := backtest.New(all, backtest.Options{Clock: r.Clock, Keep: r.Show, NextCron: cron.NextIn})
	if err != nil {
		return nil, err
	}
	if err := s.decide(ctx, t, b, 0); err != nil {
		return nil, err
	}
	return json.Marshal(Output{Report: b.Report()})
}

// decider decides a timeline again while it is read.
type decider interface {
	Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) error
}

// decide has a timeline decided again up to an entry, 0 for all of it, as whoever
// asked for the task sees it, and tells how far that is.
func (s *Service) decide(ctx context.Context, t *tasks.Task, b decider, to uint64) error {
	view, err := s.log.Standing(ctx, t.Tenant)
	if err != nil {
		return err
	}
	reader := standing.ReaderFor(view, t.AskedBy, false)
	if !reader.ReadsAll() {
		return fault.New(fault.Forbidden, "entries_withheld", "who asked for it may not see every entry any more")
	}
	timelineNow, err := s.log.Tenant(ctx, t.Tenant)
	if err != nil {
		return err
	}
	if to == 0 {
		to = timelineNow.Size
	}
	last := time.Now()
	return b.Run(ctx, s.log.Opened(ctx, t.Tenant, 0, min(to, timelineNow.Size), reader), func(done uint64) {
		if time.Since(last) < every {
			return
		}
		last = time.Now()
		if out, err := json.Marshal(Output{Progress: &Progress{done, to}}); err == nil {
			_ = s.store.Note(ctx, t.Lease(), out) // for people: the next one comes soon
		}
	})
}

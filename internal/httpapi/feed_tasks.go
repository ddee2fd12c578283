package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Types of messages about tasks: a client's, which the server repeats where it
// holds, and the server's.
const (
	messageTasks = "tasks"
	messageTask  = "task"
)

// maxTaskNames bounds each list of a task filter.
const maxTaskNames = 100

// taskFilter says which changes of tasks a feed shows beside entries. An empty
// list asks nothing.
type taskFilter struct {
	Type   string   `json:"type"`
	States []string `json:"states"`
	Kinds  []string `json:"kinds"`
	Queues []string `json:"queues"`
	Tasks  []string `json:"tasks"`
}

// parseTaskFilter reads a client's message where it is one about tasks; mine is
// false for any other. Refusals are invalid: message_malformed, message_too_large.
func parseTaskFilter(raw []byte) (f taskFilter, mine bool, err error) {
	var kind struct {
		Type string `json:"type"`
	}
	if len(raw) > feed.MaxClientMessage || jsonv2.Unmarshal(raw, &kind) != nil || kind.Type != messageTasks {
		return f, false, nil
	}
	if err := jsonv2.Unmarshal(raw, &f, jsonv2.RejectUnknownMembers(true)); err != nil {
		return f, true, fault.New(fault.Invalid, "message_malformed", `send {"type":"tasks"} with states, kinds, queues or tasks, each a list of texts`).Because(err)
	}
	for _, state := range f.States {
		if !slices.Contains(tasks.States[:], state) {
			return f, true, fault.Newf(fault.Invalid, "message_malformed", "states are %s", strings.Join(tasks.States[:], ", "))
		}
	}
	if max(len(f.States), len(f.Kinds), len(f.Queues), len(f.Tasks)) > maxTaskNames {
		return f, true, fault.Newf(fault.Invalid, "message_malformed", "a list in a filter of tasks has at most %d texts", maxTaskNames)
	}
	return f, true, nil
}

// lets says whether a task is to be shown.
func (f *taskFilter) lets(t *tasks.Task) bool {
	in := func(list []string, name string) bool { return len(list) == 0 || slices.Contains(list, name) }
	return in(f.States, t.State.String()) && in(f.Kinds, t.Kind) && in(f.Queues, t.Queue) && in(f.Tasks, t.ID())
}

// taskFeed shows changes of tasks in a feed: at once those of this process, and
// those of others when the timeline tells of them.
type taskFeed struct {
	*feeding
	filters chan taskFilter
	filter  taskFilter
	shown   map[tasks.Key]int // what was shown last of a task, in order; of the last few
}

// maxShown bounds what a feed remembers of tasks, so that none is shown twice.
const maxShown = 4096

// tasksForbidden ends the feed of one who may not see tasks.
func tasksForbidden() *feed.Closed {
	return &feed.Closed{Code: feed.CodeForbidden, Why: errTasks.Detail}
}

// showTasks sets which tasks are shown; the first time it begins. It is for the
// goroutine that reads what the client sends.
func (f *feeding) showTasks(filter taskFilter) {
	if o := f.seen.Load(); o == nil || !o.overlooks() {
		f.cancel(tasksForbidden())
		return
	}
	if f.tasks == nil {
		f.tasks = &taskFeed{feeding: f, filters: make(chan taskFilter), shown: map[tasks.Key]int{}}
		f.others.Go(f.tasks.run)
	}
	select {
	case f.tasks.filters <- filter:
	case <-f.ctx.Done():
	}
}

// run shows tasks until the feed ends.
func (t *taskFeed) run() {
	listener := t.server.deps.News.Listen(t.tenant)
	defer listener.Close()
	hints := make(chan tasks.ToldTask)
	t.others.Go(func() { t.follow(hints) })
	for {
		var err error
		select {
		case <-t.ctx.Done():
			return
		case t.filter = <-t.filters:
			err = t.say(`{"type":"tasks"}`)
		case task := <-listener.C:
			err = t.show(&task)
		case hint := <-hints:
			err = t.look(&hint)
		}
		if err == nil && listener.Missed() {
			err = t.missed()
		}
		if err != nil {
			t.cancel(err)
			return
		}
	}
}

// say sends a message in its turn.
func (t *taskFeed) say(text string) error {
	if !t.sub.Aside(t.ctx, messageTask, []byte(text)) {
		return t.ctx.Err()
	}
	return nil
}

// missed says that some changes were left out.
func (t *taskFeed) missed() error { return t.say(`{"type":"tasks","missed":true}`) }

// show shows a task unless it was shown as it is, or later.
func (t *taskFeed) show(task *tasks.Task) error {
	o := t.seen.Load()
	if !o.overlooks() {
		return tasksForbidden()
	}
	order := 2 * task.Step
	if task.Cancelling {
		order++
	}
	if last, ok := t.shown[task.Key]; ok && last >= order {
		return nil
	}
	if len(t.shown) >= maxShown {
		clear(t.shown)
	}
	t.shown[task.Key] = order
	if !t.filter.lets(task) {
		return nil
	}
	text, err := json.Marshal(o.shown(task))
	if err != nil {
		return err
	}
	return t.say(fmt.Sprintf(`{"type":"task","task":%s}`, text))
}

// look shows how a task stands that the timeline tells of.
func (t *taskFeed) look(hint *tasks.ToldTask) error {
	k, err := tasks.ParseID(t.tenant, hint.Task)
	if err != nil {
		return nil // of another kind
	}
	if last, ok := t.shown[k]; ok && last >= 2*hint.Step {
		return nil
	}
	task, err := t.server.deps.Tasks.Get(t.ctx, k)
	switch {
	case err == nil:
		return t.show(&task)
	case fault.KindOf(err) == fault.NotFound:
		return nil // forgotten
	case fault.KindOf(err) == fault.Unavailable && t.ctx.Err() == nil:
		return t.missed()
	}
	return err
}

// follow gives what entries tell of tasks, from now on, until the feed ends.
func (t *taskFeed) follow(hints chan<- tasks.ToldTask) {
	for t.ctx.Err() == nil {
		err := t.followOnce(hints)
		if closed := (*feed.Closed)(nil); t.ctx.Err() == nil && (!errors.As(err, &closed) || closed.Code != feed.CodeBehind) {
			t.cancel(err)
		}
	}
}

func (t *taskFeed) followOnce(hints chan<- tasks.ToldTask) error {
	sub, err := t.server.hub.Subscribe(t.ctx, feed.Request{
		Tenant: t.tenant, From: feed.Now, Query: timeline.Query{Types: []string{tasks.TypePrefix + "*"}},
		Authorize: func(context.Context) (standing.Reader, error) { return standing.Everything(), nil }, // who sees what comes of it is asked at each
	})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		m, err := sub.Next(t.ctx)
		if err != nil {
			return err
		}
		if m.Type != feed.TypeEntry {
			continue
		}
		var told struct {
			Entry struct {
				Span struct {
					Payload tasks.Told `json:"payload"`
				} `json:"span"`
			} `json:"entry"`
		}
		if json.Unmarshal(m.JSON, &told) != nil {
			continue // of another kind: the payload has another form
		}
		for _, hint := range told.Entry.Span.Payload.Tasks {
			select {
			case hints <- hint:
			case <-t.ctx.Done():
				return t.ctx.Err()
			}
		}
	}
}

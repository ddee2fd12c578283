package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/ui"
)

// shade is how a line of top stands out.
type shade int

const (
	plain shade = iota
	heading
	warning
	alarm
)

// topLine is one line of top.
type topLine struct {
	text  string
	shade shade
}

// section is one of top's tables, with a shade for each row.
type section struct {
	table  *ui.Table
	shades []shade
	none   string // what stands there where it has no rows
}

func (s *section) row(sh shade, cells ...string) {
	s.table.Row(cells...)
	s.shades = append(s.shades, sh)
}

// lines are the section's, cut to most lines, at least two (0: all of them).
func (s *section) lines(width, most int) []topLine {
	if len(s.shades) == 0 {
		return []topLine{{ui.Cut(s.none, lineWidth(width)), plain}}
	}
	var b strings.Builder
	_ = s.table.Write(&b, width) // a Builder takes everything
	texts := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	out := make([]topLine, len(texts))
	for i, text := range texts {
		if width > 0 {
			text = ui.Cut(text, width)
		}
		if out[i] = (topLine{text, heading}); i > 0 {
			out[i].shade = s.shades[i-1]
		}
	}
	if most > 0 && len(out) > most {
		left := len(out) - most + 1
		out = append(out[:max(1, most-1)], topLine{fmt.Sprintf("… and %d more", left), plain})
	}
	return out
}

func lineWidth(width int) int {
	if width <= 0 {
		return 1 << 10
	}
	return width
}

// Widths that keep a table within 80 columns, most of the time.
const (
	slugWidth   = 10
	queueWidth  = 10
	workerWidth = 16
)

// render draws a look into so many columns and rows; 0 bounds nothing.
func (l *topLook) render(width, height int) []topLine {
	out := []topLine{{ui.Cut(l.title(), lineWidth(width)), heading}}
	if l.err != nil {
		out = append(out, topLine{ui.Cut(ui.Clean("cannot look: "+l.err.Error()+"; trying again"), lineWidth(width)), alarm})
	}
	sections := []*section{l.queues(), l.running(), l.followers()}
	room := shares(sections, height-len(out)-len(sections), height > 0)
	for i, s := range sections {
		out = append(out, topLine{})
		out = append(out, s.lines(width, room[i])...)
	}
	if height > 0 && len(out) > height {
		out = out[:height]
	}
	return out
}

// shares divides lines among sections: those that need little get it, and the
// others the same of what is left.
func shares(sections []*section, lines int, bounded bool) []int {
	room := make([]int, len(sections))
	if !bounded {
		return room
	}
	order := []int{0, 1, 2}
	need := func(i int) int { return len(sections[i].shades) + 1 }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(need(a), need(b)) })
	for n, i := range order {
		room[i] = max(2, min(need(i), lines/(len(order)-n)))
		lines -= room[i]
	}
	return room
}

func (l *topLook) title() string {
	title := "logline top  " + l.Node + "  " + l.at.Format(time.TimeOnly)
	queued, running, parked := int64(0), int64(0), 0
	for i := range l.Tenants {
		for k := range l.Tenants[i].Queues {
			queued, running = queued+l.Tenants[i].Queues[k].Queued, running+l.Tenants[i].Queues[k].Running
		}
		for k := range l.Tenants[i].Followers {
			if l.Tenants[i].Followers[k].State == "parked" {
				parked++
			}
		}
	}
	title += fmt.Sprintf("  %s queued, %s running", ui.Count(queued), ui.Count(running))
	if parked > 0 {
		title += fmt.Sprintf(", %d PARKED", parked)
	}
	if l.More > 0 {
		title += fmt.Sprintf("  (%d more tenants: --tenant)", l.More)
	}
	return ui.Clean(title)
}

func (l *topLook) queues() *section {
	s := &section{table: ui.NewTable("TENANT", "QUEUE", ">QUEUED", ">RUN", ">DONE", ">FAILED", ">WAITS", ">/MIN", ">BAD"), none: "no queues: nothing was asked of the engine yet"}
	if len(l.Tenants) == 0 {
		s.none = "no tenant whose tasks you may see"
	}
	for i := range l.Tenants {
		for k := range l.Tenants[i].Queues {
			q := &l.Tenants[i].Queues[k]
			sh := plain
			if q.Recent.FailureRate >= 0.5 || q.Failed > 0 {
				sh = warning
			}
			s.row(sh, ui.Cut(l.Tenants[i].Slug, slugWidth), ui.Cut(q.Queue, queueWidth), ui.Count(q.Queued), fmt.Sprintf("%d/%d", q.Running, q.Limit),
				ui.Count(q.Completed), ui.Count(q.Failed), waitsFor(q), perMinute(q), failing(q))
		}
	}
	return s
}

func (l *topLook) running() *section {
	s := &section{table: ui.NewTable("RUNNING TASK", "KIND", ">RUN", ">FOR", "PROCESS", "NAME"), none: "no task runs"}
	for i := range l.Tenants {
		for k := range l.Tenants[i].Running {
			t := &l.Tenants[i].Running[k]
			s.row(plain, t.Id, ui.Cut(t.Kind, queueWidth), strconv.Itoa(t.Attempt), l.since(t.ChangedAt), ui.Cut(t.Worker, workerWidth), t.Name)
		}
	}
	return s
}

// since is how long ago something was.
func (l *topLook) since(at string) string {
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return "-"
	}
	return ui.Duration(l.at.Sub(t))
}

func (l *topLook) followers() *section {
	s := &section{table: ui.NewTable("TENANT", "FOLLOWER", "STATE", ">LAG", ">BEHIND", "WHY"), none: "no followers"}
	for i := range l.Tenants {
		for k := range l.Tenants[i].Followers {
			f := &l.Tenants[i].Followers[k]
			sh := plain
			switch f.State {
			case "parked":
				sh = alarm
			case "paused", "error":
				sh = warning
			}
			s.row(sh, ui.Cut(l.Tenants[i].Slug, slugWidth), f.Follower, string(f.State), ui.Count(int64(f.Lag)), behind(f), whyHeld(f))
		}
	}
	return s
}

package contract

import (
	"strings"

	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/lll"
)

func (b *builder) schedule(n *lll.Node) {
	name, at := b.named(n, "a schedule")
	if !b.declare("schedule", name, at) {
		return
	}
	s := &Schedule{Range: n.Range, Contract: b.c, Name: name, Every: b.duration(n.Value("every")), Delay: b.duration(n.Value("delay"))}
	for _, a := range n.Body.Attrs() {
		b.once(n, a)
	}
	if v := n.Value("cron"); v != nil {
		s.Cron = b.cron(v)
	}
	s.On = b.patterns(n.Attr("on"))
	if count(n.Attr("cron") != nil, n.Attr("every") != nil, n.Attr("on") != nil) != 1 {
		b.errorf(at, "write one of cron: \"0 3 * * *\", every: 1h, and on: \"type\" with delay: 1h", "the schedule %s runs at one kind of time", name)
	}
	if (n.Attr("on") == nil) != (n.Attr("delay") == nil) {
		b.errorf(at, "write on: \"type\" and delay: 1h", "on and delay go together")
	}
	s.Timezone = b.zone(n)
	if v := n.Value("every"); v != nil && s.Every > 0 && s.Every < LeastEvery {
		b.errorf(v.Range, "write every: 1m or the like", "a schedule runs every second at most")
	}
	b.missed(n, s)
	c := inSchedule
	if s.Foreach = b.text(n, "foreach"); s.Foreach != "" {
		c = inForeach
		if s.Foreach != ForeachIdentities {
			b.unknown(n.Value("foreach").Range, "source", s.Foreach, []string{ForeachIdentities})
		}
	}
	if v := n.Value("where"); v != nil {
		if s.Foreach == "" {
			b.errorf(v.Range, "write foreach: identities", "where without foreach chooses from nothing")
		} else {
			s.Where = b.condition(v, expr.Each, c.vars)
		}
	}
	if len(s.On) > 0 {
		c = inTask
	}
	s.Then = b.actions(b.block(n, "then"), c)
	if len(s.Then) == 0 {
		b.errorf(at, "write then { … }", "the schedule %s does nothing", name)
	}
	if retry := n.Child("retry"); retry != nil {
		if a := retry.Attr("max"); a != nil {
			s.Retry.Max = b.whole(a, 0, 100)
		}
		s.Retry.Backoff = b.duration(retry.Value("backoff"))
	}
	b.c.Schedules = append(b.c.Schedules, s)
}

// missed reads what becomes of due times at which no node ran.
func (b *builder) missed(n *lll.Node, s *Schedule) {
	s.Missed = MissedOnce
	a := n.Attr("missed")
	if a == nil {
		return
	}
	if n.Attr("on") != nil {
		b.errorf(valueRange(a), "leave missed out", "what follows a span is done late rather than missed")
		return
	}
	switch word := Missed(b.text(n, "missed")); word {
	case MissedOnce, MissedSkip, MissedAll:
		s.Missed = word
	default:
		b.unknown(valueRange(a), "policy", string(word), []string{string(MissedOnce), string(MissedSkip), string(MissedAll)})
	}
}

// zone reads the time zone of a cron line.
func (b *builder) zone(n *lll.Node) string {
	name := b.text(n, "timezone")
	switch v := n.Value("timezone"); {
	case name != "" && !zoneName(name):
		b.errorf(v.Range, "write a name such as \"Europe/Lisbon\"", "%q is no time zone", name)
	case name != "" && n.Attr("cron") == nil:
		b.errorf(v.Range, "leave timezone out", "a time zone is for cron lines alone")
	}
	return name
}

// zoneName says that name has the form of an IANA time zone. Which there are
// differs between machines, so whoever runs schedules asks.
func zoneName(name string) bool {
	return len(name) <= 64 && !strings.HasPrefix(name, "/") && !strings.Contains(name, "..") &&
		strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") == ""
}

// cron is the text of a cron line of five fields.
func (b *builder) cron(v *lll.Value) string {
	text, ok := v.Plain()
	if _, err := cron.Parse(text); !ok || err != nil {
		b.errorf(v.Range, "write minute, hour, day, month and weekday, such as \"0 3 * * *\"", "%s is no cron line", v.Source)
	}
	return text
}

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
	if s.Timezone = b.text(n, "timezone"); s.Timezone != "" && !zoneName(s.Timezone) {
		b.errorf(n.Value("timezone").Range, "write a name such as \"Europe/Lisbon\"", "%q is no time zone", s.Timezone)
	}
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

package contract

import (
	"slices"
	"strconv"
	"strings"

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
	if !ok || !validCron(text) {
		b.errorf(v.Range, "write minute, hour, day, month and weekday, such as \"0 3 * * *\"", "%s is no cron line", v.Source)
	}
	return text
}

func validCron(line string) bool {
	fields := strings.Fields(line)
	if len(fields) != 5 {
		return false
	}
	for i, limits := range [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}} {
		for _, part := range strings.Split(fields[i], ",") {
			if !validCronPart(part, limits[0], limits[1], cronNames[i]) {
				return false
			}
		}
	}
	return true
}

// cronNames are the words that may stand for numbers.
var cronNames = [5][]string{
	3: {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"},
	4: {"sun", "mon", "tue", "wed", "thu", "fri", "sat"},
}

func validCronPart(part string, least, most int, names []string) bool {
	part, step, stepped := strings.Cut(part, "/")
	if stepped {
		if n, err := strconv.Atoi(step); err != nil || n < 1 {
			return false
		}
	}
	if part == "*" {
		return true
	}
	from, to, ranged := strings.Cut(part, "-")
	a, ok := cronNumber(from, least, most, names)
	if !ok || !ranged {
		return ok
	}
	z, ok := cronNumber(to, least, most, names)
	return ok && a <= z
}

func cronNumber(s string, least, most int, names []string) (int, bool) {
	if i := slices.Index(names, strings.ToLower(s)); i >= 0 {
		return i + least, true
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= least && n <= most
}

package expr

import (
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/traits"
	"github.com/go-json-experiment/json/jsontext"
)

// String renders the value as texts show it: numbers in their shortest form,
// durations like 48h or 30d, times in RFC 3339, lists with commas, objects as
// JSON. An identity shows as its id.
func (v Value) String() string {
	var b strings.Builder
	v.render(&b, false)
	return b.String()
}

func (v Value) render(b *strings.Builder, inside bool) {
	switch x := v.v.(type) {
	case nil, types.Null:
		b.WriteString("null")
	case types.Bool:
		b.WriteString(strconv.FormatBool(bool(x)))
	case types.Double:
		b.Write(jsontext.AppendFloat(nil, float64(x), 64))
	case types.String:
		b.WriteString(string(x))
	case types.Duration:
		b.WriteString(FormatDuration(x.Duration))
	case types.Timestamp:
		b.WriteString(x.UTC().Format(time.RFC3339Nano))
	case *identityVal:
		b.WriteString(x.ID)
	case *tenantVal:
		b.WriteString(x.ID)
	case *spanVal:
		b.WriteString(x.header.ID)
	case *approvalVal:
		b.WriteString(x.By)
	case *object:
		renderObject(b, x)
	case traits.Lister:
		renderList(b, v, inside)
	}
}

func renderList(b *strings.Builder, v Value, inside bool) {
	if inside {
		b.WriteByte('[')
		defer b.WriteByte(']')
	}
	for i, item := range v.List() {
		if i > 0 {
			b.WriteString(", ")
		}
		item.render(b, true)
	}
}

func renderObject(b *strings.Builder, o *object) {
	b.WriteByte('{')
	for i, m := range o.members {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.name + ": ")
		Value{m.value}.render(b, true)
	}
	b.WriteByte('}')
}

// FormatDuration writes a duration as LLL does where one unit suffices: 30d,
// 48h, 90m, 15s, 250ms. It takes days from four on, so that 48h and 72h stay;
// what no unit measures is written like 1h30m5.5s.
func FormatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	size, name := time.Duration(0), ""
	switch {
	case d%day == 0 && d.Abs() >= 4*day:
		size, name = day, "d"
	case d == 0:
		return "0s"
	case d%time.Hour == 0:
		size, name = time.Hour, "h"
	case d%time.Minute == 0:
		size, name = time.Minute, "m"
	default:
		return d.String()
	}
	return strconv.FormatInt(int64(d/size), 10) + name
}

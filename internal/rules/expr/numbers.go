package expr

import (
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

func numbers() []cel.EnvOption {
	one := func(name string, f func(float64) float64) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_double", args(numT), numT, cel.UnaryBinding(func(v ref.Val) ref.Val {
			if x, ok := v.(types.Double); ok {
				return finite(f(float64(x)))
			}
			return mismatch(v)
		})))
	}
	two := func(name string, f func(a, b float64) float64) cel.EnvOption {
		return cel.Function(name, cel.Overload(name+"_double", args(numT, numT), numT,
			cel.BinaryBinding(func(a, b ref.Val) ref.Val { return onNumbers(a, b, f) })))
	}
	return []cel.EnvOption{
		one("abs", math.Abs), one("floor", math.Floor), one("ceil", math.Ceil), one("round", math.Round),
		two("min", math.Min), two("max", math.Max),
	}
}

// clocks are the parts of a time, in UTC or at a fixed offset, and the whole
// hours, minutes … of a duration.
func clocks() []cel.EnvOption {
	part := func(name string, of func(time.Time) int) []cel.FunctionOpt {
		return []cel.FunctionOpt{
			cel.MemberOverload("time_"+name, args(timeT), numT, cel.UnaryBinding(func(v ref.Val) ref.Val {
				if t, ok := v.(types.Timestamp); ok {
					return types.Double(of(t.UTC()))
				}
				return mismatch(v)
			})),
			cel.MemberOverload("time_"+name+"_offset", args(timeT, textT), numT, cel.BinaryBinding(func(v, offset ref.Val) ref.Val {
				t, ok := v.(types.Timestamp)
				o, ok2 := offset.(types.String)
				if !ok || !ok2 {
					return mismatch(v, offset)
				}
				zone, ok := parseOffset(string(o))
				if !ok {
					return undefined("a zone is an offset like +01:00 here: named zones change")
				}
				return types.Double(of(t.In(zone)))
			})),
		}
	}
	whole := func(name string, unit time.Duration) cel.FunctionOpt {
		return cel.MemberOverload("duration_"+name, args(durT), numT, cel.UnaryBinding(func(v ref.Val) ref.Val {
			if d, ok := v.(types.Duration); ok {
				return types.Double(d.Duration / unit)
			}
			return mismatch(v)
		}))
	}
	return []cel.EnvOption{
		cel.Function("getFullYear", part("getFullYear", time.Time.Year)...),
		cel.Function("getMonth", part("getMonth", func(t time.Time) int { return int(t.Month()) - 1 })...),
		cel.Function("getDate", part("getDate", time.Time.Day)...),
		cel.Function("getDayOfMonth", part("getDayOfMonth", func(t time.Time) int { return t.Day() - 1 })...),
		cel.Function("getDayOfWeek", part("getDayOfWeek", func(t time.Time) int { return int(t.Weekday()) })...),
		cel.Function("getDayOfYear", part("getDayOfYear", func(t time.Time) int { return t.YearDay() - 1 })...),
		cel.Function("getHours", append(part("getHours", time.Time.Hour), whole("getHours", time.Hour))...),
		cel.Function("getMinutes", append(part("getMinutes", time.Time.Minute), whole("getMinutes", time.Minute))...),
		cel.Function("getSeconds", append(part("getSeconds", time.Time.Second), whole("getSeconds", time.Second))...),
		cel.Function("getMilliseconds", append(part("getMilliseconds", func(t time.Time) int { return t.Nanosecond() / 1e6 }), whole("getMilliseconds", time.Millisecond))...),
	}
}

// parseOffset reads UTC, Z, +hh:mm or -hh:mm.
func parseOffset(s string) (*time.Location, bool) {
	if s == "UTC" || s == "Z" {
		return time.UTC, true
	}
	if len(s) != len("+00:00") || s[3] != ':' || !strings.ContainsAny(s[:1], "+-") {
		return nil, false
	}
	hours, err := strconv.ParseUint(s[1:3], 10, 8)
	minutes, err2 := strconv.ParseUint(s[4:], 10, 8)
	if err != nil || err2 != nil || hours > 14 || minutes > 59 {
		return nil, false
	}
	seconds := int(hours*3600 + minutes*60)
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds), true
}

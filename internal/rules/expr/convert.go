package expr

import (
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// conversions between the types.
func conversions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("dyn", cel.Overload(overloads.ToDyn, args(paramA), cel.DynType, cel.UnaryBinding(func(v ref.Val) ref.Val { return v }))),
		cel.Function("string",
			cel.Overload(overloads.StringToString, args(textT), textT),
			cel.Overload(overloads.DoubleToString, args(numT), textT),
			cel.Overload(overloads.BoolToString, args(boolT), textT),
			cel.Overload(overloads.DurationToString, args(durT), textT),
			cel.Overload(overloads.TimestampToString, args(timeT), textT),
			cel.SingletonUnaryBinding(toText)),
		cel.Function("double",
			cel.Overload(overloads.DoubleToDouble, args(numT), numT),
			cel.Overload(overloads.StringToDouble, args(textT), numT),
			cel.SingletonUnaryBinding(toNumber)),
		cel.Function("int",
			cel.Overload("double_to_whole", args(numT), numT),
			cel.Overload("string_to_whole", args(textT), numT),
			cel.Overload("timestamp_to_seconds", args(timeT), numT),
			cel.Overload("duration_to_seconds_whole", args(durT), numT),
			cel.SingletonUnaryBinding(toWhole)),
		cel.Function("bool",
			cel.Overload(overloads.BoolToBool, args(boolT), boolT),
			cel.Overload(overloads.StringToBool, args(textT), boolT),
			cel.SingletonUnaryBinding(toBool)),
		cel.Function("duration",
			cel.Overload(overloads.DurationToDuration, args(durT), durT),
			cel.Overload(overloads.StringToDuration, args(textT), durT),
			cel.SingletonUnaryBinding(toDuration)),
		cel.Function("timestamp",
			cel.Overload(overloads.TimestampToTimestamp, args(timeT), timeT),
			cel.Overload(overloads.StringToTimestamp, args(textT), timeT),
			cel.SingletonUnaryBinding(toTime)),
	}
}

func toText(v ref.Val) ref.Val {
	switch v.(type) {
	case types.String, types.Double, types.Bool, types.Duration, types.Timestamp:
		return types.String(Value{v}.String())
	}
	return mismatch(v)
}

func toNumber(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Double:
		return v
	case types.String:
		if f, ok := parseNumber(string(v)); ok {
			return types.Double(f)
		}
		return undefined("the text is no number")
	}
	return mismatch(v)
}

// parseNumber reads a number as JSON writes it, blanks around it allowed.
func parseNumber(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func toWhole(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Double:
		return types.Double(math.Trunc(float64(v)))
	case types.Timestamp:
		return types.Double(v.Unix())
	case types.Duration:
		return types.Double(v.Duration / time.Second)
	case types.String:
		if f, ok := parseNumber(string(v)); ok {
			return types.Double(math.Trunc(f))
		}
		return undefined("the text is no number")
	}
	return mismatch(v)
}

func toBool(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Bool:
		return v
	case types.String:
		switch v {
		case "true":
			return types.True
		case "false":
			return types.False
		}
		return undefined("the text is neither true nor false")
	}
	return mismatch(v)
}

func toDuration(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Duration:
		return v
	case types.String:
		if d, ok := parseDuration(string(v)); ok {
			return types.Duration{Duration: d}
		}
		return undefined("the text is no duration")
	}
	return mismatch(v)
}

// parseDuration reads 48h, 1h30m, and LLL's days and weeks.
func parseDuration(s string) (time.Duration, bool) {
	if d, err := time.ParseDuration(s); err == nil {
		return d, true
	}
	if s == "" {
		return 0, false
	}
	days, err := strconv.ParseInt(s[:len(s)-1], 10, 32)
	switch unit := s[len(s)-1]; {
	case err != nil:
		return 0, false
	case unit == 'd' && days <= math.MaxInt64/units["d"]:
		return time.Duration(days * units["d"]), true
	case unit == 'w' && days <= math.MaxInt64/units["w"]:
		return time.Duration(days * units["w"]), true
	}
	return 0, false
}

func toTime(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.Timestamp:
		return v
	case types.String:
		if t, ok := parseTime(string(v)); ok {
			return types.Timestamp{Time: t}
		}
		return undefined("the text is no time; write it as 2026-01-31T12:00:00Z or 2026-01-31")
	}
	return mismatch(v)
}

// parseTime reads RFC 3339, and a date alone as the beginning of its day in UTC.
func parseTime(s string) (time.Time, bool) {
	for _, form := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(form, s); err == nil && 1 <= t.UTC().Year() && t.UTC().Year() <= 9999 {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

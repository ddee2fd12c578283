package expr

import (
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// texts are the functions on texts. Positions count code points from 0.
func texts() []cel.EnvOption {
	test := func(name, overload string, f func(s, part string) bool) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload(overload, args(textT, textT), boolT, cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			s, part, ok := twoTexts(a, b)
			if !ok {
				return mismatch(a, b)
			}
			return types.Bool(f(s, part))
		})))
	}
	change := func(name string, f func(string) string) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("text_"+name, args(textT), textT, cel.UnaryBinding(func(v ref.Val) ref.Val {
			if s, ok := v.(types.String); ok {
				return types.String(f(string(s)))
			}
			return mismatch(v)
		})))
	}
	return []cel.EnvOption{
		test("contains", overloads.ContainsString, strings.Contains),
		test("startsWith", overloads.StartsWithString, strings.HasPrefix),
		test("endsWith", overloads.EndsWithString, strings.HasSuffix),
		cel.Function(overloads.Matches, cel.MemberOverload(overloads.MatchesString, args(textT, textT), boolT, cel.BinaryBinding(matches))),
		change("lowerAscii", lowerASCII), change("upperAscii", upperASCII), change("trim", strings.TrimSpace),
		cel.Function("replace", cel.MemberOverload("text_replace", args(textT, textT, textT), textT, cel.FunctionBinding(replaceText))),
		cel.Function("split", cel.MemberOverload("text_split", args(textT, textT), cel.ListType(textT), cel.BinaryBinding(splitText))),
		cel.Function("join",
			cel.MemberOverload("list_join", args(cel.ListType(textT)), textT, cel.UnaryBinding(func(l ref.Val) ref.Val { return joinTexts(l, types.String("")) })),
			cel.MemberOverload("list_join_text", args(cel.ListType(textT), textT), textT, cel.BinaryBinding(joinTexts))),
		cel.Function("indexOf", cel.MemberOverload("text_index_of", args(textT, textT), numT, cel.BinaryBinding(indexOf))),
		cel.Function("substring",
			cel.MemberOverload("text_substring_from", args(textT, numT), textT, cel.BinaryBinding(func(s, from ref.Val) ref.Val { return substring(s, from) })),
			cel.MemberOverload("text_substring", args(textT, numT, numT), textT, cel.FunctionBinding(substring))),
	}
}

func twoTexts(a, b ref.Val) (string, string, bool) {
	s, ok := a.(types.String)
	t, ok2 := b.(types.String)
	return string(s), string(t), ok && ok2
}

// matches is planned with the compiled pattern (see patterns.go); only a call
// that escaped the check for a literal pattern comes here.
func matches(ref.Val, ref.Val) ref.Val {
	return types.WrapErr(&failure{Defect, "the pattern was not compiled", nil})
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - ('a' - 'A')
		}
		return r
	}, s)
}

func replaceText(v ...ref.Val) ref.Val {
	s, ok := v[0].(types.String)
	old, with, ok2 := twoTexts(v[1], v[2])
	if !ok || !ok2 {
		return mismatch(v...)
	}
	if n := strings.Count(string(s), old); len(s)+n*max(0, len(with)-len(old)) > MaxData {
		return tooLong()
	}
	return types.String(strings.ReplaceAll(string(s), old, with))
}

func tooLong() ref.Val {
	return types.WrapErr(&failure{TooCostly, "the text becomes longer than a payload may be", nil})
}

func splitText(a, b ref.Val) ref.Val {
	s, separator, ok := twoTexts(a, b)
	if !ok {
		return mismatch(a, b)
	}
	return textList(strings.Split(s, separator))
}

func joinTexts(a, b ref.Val) ref.Val {
	list, ok := a.(traits.Lister)
	separator, ok2 := b.(types.String)
	if !ok || !ok2 {
		return mismatch(a, b)
	}
	var out strings.Builder
	for it := list.Iterator(); it.HasNext() == types.True; {
		item, ok := it.Next().(types.String)
		if !ok {
			return mismatch(a)
		}
		if out.Len() > 0 {
			out.WriteString(string(separator))
		}
		out.WriteString(string(item))
		if out.Len() > MaxData {
			return tooLong()
		}
	}
	return types.String(out.String())
}

func indexOf(a, b ref.Val) ref.Val {
	s, part, ok := twoTexts(a, b)
	if !ok {
		return mismatch(a, b)
	}
	at := strings.Index(s, part)
	if at < 0 {
		return types.Double(-1)
	}
	return types.Double(utf8.RuneCountInString(s[:at]))
}

func substring(v ...ref.Val) ref.Val {
	s, ok := v[0].(types.String)
	if !ok {
		return mismatch(v...)
	}
	runes := []rune(string(s))
	from, to := types.Double(0), types.Double(len(runes))
	for i, place := range []*types.Double{&from, &to} {
		if i+1 < len(v) {
			d, ok := v[i+1].(types.Double)
			if !ok {
				return mismatch(v...)
			}
			*place = d
		}
	}
	if !(0 <= from && from <= to && to <= types.Double(len(runes))) || from != types.Double(int(from)) || to != types.Double(int(to)) {
		return undefined("the positions are not within the text")
	}
	return types.String(runes[int(from):int(to)])
}

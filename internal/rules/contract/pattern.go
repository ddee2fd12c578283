package contract

import (
	"strings"

	"github.com/danvoulez/logline/internal/span"
)

// ValidPattern reports whether pattern is a type in which segments may be `*`
// or end in `*`, and the last one may be `**`.
func ValidPattern(pattern string) bool {
	plain := strings.Split(pattern, ".")
	for i, segment := range plain {
		if prefix, ok := strings.CutSuffix(segment, "*"); ok && prefix != "" && !strings.Contains(prefix, "*") {
			plain[i] = prefix
		}
	}
	return span.ValidPattern(strings.Join(plain, ".")) && len(pattern) <= 128
}

// MatchType reports whether typ matches pattern: `*` stands for one segment,
// `x*` for one that begins with x, a final `**` for the rest, which is at least
// one segment.
func MatchType(pattern, typ string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		if p == "**" && !pmore {
			return typ != ""
		}
		t, trest, tmore := strings.Cut(typ, ".")
		if !matchSegment(p, t) {
			return false
		}
		if !pmore || !tmore {
			return pmore == tmore
		}
		pattern, typ = prest, trest
	}
}

func matchSegment(pattern, segment string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return segment != "" && strings.HasPrefix(segment, prefix)
	}
	return pattern == segment
}

// isExact says that a pattern is one type.
func isExact(pattern string) bool { return !strings.Contains(pattern, "*") }

// names says that one of the patterns matches typ. A reserved type is matched
// only by its own name.
func names(patterns []string, typ string) bool {
	for _, p := range patterns {
		if p == typ || !span.IsReserved(typ) && MatchType(p, typ) {
			return true
		}
	}
	return false
}

// covers says that every type that matches inner matches outer too. A pattern
// with wildcards does not reach reserved types, so `**` does not cover them.
func covers(outer, inner string) bool {
	if span.IsReserved(inner) {
		return outer == inner
	}
	for {
		o, orest, omore := strings.Cut(outer, ".")
		if o == "**" && !omore {
			return inner != ""
		}
		i, irest, imore := strings.Cut(inner, ".")
		if i == "**" || !coversSegment(o, i) {
			return false
		}
		if !omore || !imore {
			return omore == imore
		}
		outer, inner = orest, irest
	}
}

func coversSegment(outer, inner string) bool {
	prefix, wild := strings.CutSuffix(outer, "*")
	if !wild {
		return outer == inner
	}
	return inner != "" && strings.HasPrefix(strings.TrimSuffix(inner, "*"), prefix)
}

// coversAll says that each of inner is covered by one of outer.
func coversAll(outer, inner []string) bool {
	for _, i := range inner {
		covered := false
		for _, o := range outer {
			covered = covered || covers(o, i)
		}
		if !covered {
			return false
		}
	}
	return true
}

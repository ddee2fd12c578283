package policy

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzPolicy holds what Parse accepts against a second reading of the same text,
// and checks that more signatures never lose a quorum.
func FuzzPolicy(f *testing.F) {
	log := newTestLog(f, "log")
	text := log.checkpoint.Text()
	vkeys := make(map[string]int)
	var witnesses, lines []string
	for i, name := range []string{"a", "b", "c", "d"} {
		c := newCosigner(name)
		vkeys[c.vkey()] = i
		witnesses = append(witnesses, "witness "+name+" "+c.vkey())
		lines = append(lines, c.line(text, march2023))
	}
	all := strings.Join(witnesses, "\n") + "\n"
	f.Add([]byte(all+"group g 2 a b c\ngroup h any g d\nquorum h\n"), byte(1), byte(8))
	f.Add([]byte(all+"group g all a b\ngroup h 1 g c\ngroup i all h d\nquorum i\n# end\n"), byte(3), byte(4))
	f.Add([]byte("log "+log.vkey(f)+"\n"+all+"quorum c\n"), byte(2), byte(4))
	f.Add([]byte(" \t#\nquorum none\n"), byte(0), byte(0))
	f.Fuzz(func(t *testing.T, src []byte, fewer, more byte) {
		p, err := Parse(src)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			return
		}
		few := p.Evaluate(log.with(t, chosen(lines, fewer)...))
		many := p.Evaluate(log.with(t, chosen(lines, fewer|more)...))
		require.True(t, !few.QuorumMet || many.QuorumMet, "signatures lost the quorum")
		require.Equal(t, few.QuorumMet, len(few.Missing) == 0)
		require.Equal(t, met(string(src), vkeys, fewer), few.QuorumMet)
		require.Empty(t, many.Invalid)
		require.Equal(t, len(chosen(lines, fewer|more)), len(many.Cosigned)+many.Unknown)
	})
}

func chosen(lines []string, which byte) []string {
	var out []string
	for i, line := range lines {
		if which&(1<<i) != 0 {
			out = append(out, line)
		}
	}
	return out
}

// met reads an accepted policy again, by recursion over the quorum's text.
func met(src string, vkeys map[string]int, signed byte) bool {
	defined := make(map[string][]string)
	var quorum string
	for line := range strings.SplitSeq(src, "\n") {
		items := strings.Split(strings.ReplaceAll(line, "\t", " "), " ")
		items = slices.DeleteFunc(items, func(s string) bool { return s == "" })
		switch {
		case len(items) == 0:
		case items[0] == "quorum":
			quorum = items[1]
		case items[0] == "witness" || items[0] == "group":
			defined[items[1]] = items
		}
	}
	var holds func(name string) bool
	holds = func(name string) bool {
		items := defined[name]
		if items[0] == "witness" {
			i, known := vkeys[items[2]]
			return known && signed&(1<<i) != 0
		}
		count := 0
		for _, m := range items[3:] {
			if holds(m) {
				count++
			}
		}
		switch items[2] {
		case "any":
			return count > 0
		case "all":
			return count == len(items)-3
		}
		k, err := strconv.Atoi(items[2])
		return err == nil && count >= k
	}
	return quorum == "none" || holds(quorum)
}

package contract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
)

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, typ string
		want         bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.b.c", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"a.**", "a.b.c", true},
		{"a.**", "a", false},
		{"**", "a", true},
		{"*.b", "a.b", true},
		{"identity.ghost_*", "identity.ghost_created", true},
		{"identity.ghost_*", "identity.ghost", false},
		{"identity.ghost_*", "identity.ghost_a.b", false},
		{"a*.c", "ab.c", true},
	} {
		assert.Equal(t, c.want, contract.MatchType(c.pattern, c.typ), "%s %s", c.pattern, c.typ)
	}
	for _, p := range []string{"a.b", "*", "**", "a.**", "a.*.b", "a.x_*", "a*"} {
		assert.True(t, contract.ValidPattern(p), p)
	}
	for _, p := range []string{"", "a..b", "**.a", "A", "a b", "a.***", "a.*b", "a.b**", ".a", strings.Repeat("a", 129)} {
		assert.False(t, contract.ValidPattern(p), p)
	}
}

// segments few enough for patterns and types to meet.
func pattern(t *rapid.T, label string) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab", "*", "a*"}), 1, 3).Draw(t, label)
	if rapid.Bool().Draw(t, label+" rest") {
		parts = append(parts, "**")
	}
	return strings.Join(parts, ".")
}

func typ(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "reserved") == 0 {
		return span.TypeMember
	}
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), 1, 4).Draw(t, "type"), ".")
}

// What the index finds is what each pattern matches by itself, in order.
func TestIndexFindsWhatPatternsMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var lines []string
		var on [][]string
		for i := range rapid.IntRange(1, 12).Draw(t, "rules") {
			patterns := []string{pattern(t, "pattern"), pattern(t, "other")}
			if rapid.IntRange(0, 5).Draw(t, "exact") == 0 {
				patterns[1] = span.TypeMember
			}
			on = append(on, patterns)
			lines = append(lines, fmt.Sprintf(`rule r%02d { on: ["%s", "%s"]  then { tag "x" } }`, i, patterns[0], patterns[1]))
		}
		file, all := lll.Parse("c.lll", inContract(lines...))
		require.Empty(t, all)
		c, _ := contract.Compile(file, contract.Options{})
		require.NotNil(t, c)
		set := contract.NewSet([]contract.InForce{{Contract: c}})
		for range 8 {
			asked := typ(t)
			var want, got []string
			for i, patterns := range on {
				for _, p := range patterns {
					if p == asked || asked != span.TypeMember && contract.MatchType(p, asked) {
						want = append(want, fmt.Sprintf("r%02d", i))
						break
					}
				}
			}
			for _, r := range set.Match(asked).Rules {
				got = append(got, r.Name)
			}
			require.Equal(t, want, got, asked)
		}
	})
}

func TestOrderAcrossContracts(t *testing.T) {
	t.Parallel()
	make := func(name, tenant string, rules ...string) contract.InForce {
		source := "contract " + name + " version \"1.0.0\" {\n" + tenant + "\n" + strings.Join(rules, "\n") + "\n}\n"
		return contract.InForce{Contract: compile(t, source, contract.Options{})}
	}
	rule := func(name string, priority int) string {
		return fmt.Sprintf(`rule %s { on: "a.b"  priority: %d  then { tag "x" } }`, name, priority)
	}
	set := contract.NewSet([]contract.InForce{
		make("b", "", rule("x", 100), rule("w", 5)),
		make("a", "", rule("z", 100), rule("y", 100)),
		make("node", `tenant: "*"`, rule("late", 900)),
	})
	var got []string
	for _, r := range set.Match("a.b").Rules {
		got = append(got, r.ID())
	}
	assert.Equal(t, []string{"node/late", "b/w", "a/y", "a/z", "b/x"}, got)
	assert.Empty(t, set.Match("a.c").Rules)
	assert.True(t, set.Match("a.c").Empty())
	require.NotNil(t, set.ByRef(set.Contracts()[0].Ref()))
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		needs, version string
		want           bool
	}{
		{"x", "9.9.9", true},
		{"x ^1.2", "1.2.0", true},
		{"x ^1.2", "1.9.3", true},
		{"x ^1.2", "1.1.9", false},
		{"x ^1.2", "2.0.0", false},
		{"x ^0.2", "0.2.9", true},
		{"x ^0.2", "0.3.0", false},
		{"x ~1.2", "1.2.7", true},
		{"x ~1.2", "1.3.0", false},
		{"x >=1.2", "7.0.0", true},
		{"x 1.2", "1.2.5", true},
		{"x 1.2", "1.20.0", false},
		{"x =1.2.3", "1.2.3", true},
		{"x 1.2.3", "1.2.4", false},
		{"x ^1.2", "1.3.0-rc.1", false},
		{"x ^1.3.0-rc.1", "1.3.0-rc.2", true},
		{"x ^1.2", "nonsense", false},
	} {
		r, ok := contract.ParseRequirement(c.needs)
		require.True(t, ok, c.needs)
		assert.Equal(t, c.want, r.Accepts(c.version), "%s %s", c.needs, c.version)
	}
	for _, s := range []string{"", "x ^", "x 1.a", "x@1 ^1", "x ^1.0 extra"} {
		_, ok := contract.ParseRequirement(s)
		assert.False(t, ok, s)
	}
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		inContract(flow, rejects),
		inContract(`params { a: 1  b: [1, 2]  c { d: 5h } }`, `policy p { on: "x"  when data.y > params.a { reject "no ${data.y}"  tag "t" } }`),
		inContract(`schedule s { cron: "0 3 * * *"  foreach: identities  where: it.trust > 1.0  then { trust it { add: -1.0 } } }`),
		inContract(`quota "q" { on: "a"  limit: 3  per: 1d  key: actor.id  warn_at: [80%]  exceeded { reject "x" } }`, `retain "a" 90d`, `trust { add "a" 1.0 }`),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		file, all := lll.Parse("c.lll", source)
		c, found := contract.Compile(file, contract.Options{})
		require.Equal(t, c == nil, lll.Failed(found))
		require.LessOrEqual(t, len(found), lll.MaxErrors)
		last := 0
		for _, d := range found {
			require.NotEmpty(t, d.Message)
			require.GreaterOrEqual(t, d.Offset, last, "in the order of the source")
			require.LessOrEqual(t, d.End, len(source))
			require.LessOrEqual(t, d.Offset, d.End)
			last = d.Offset
		}
		again, _ := contract.Compile(file, contract.Options{})
		require.Equal(t, c == nil, again == nil)
		if c == nil || lll.Failed(all) {
			return
		}
		require.Equal(t, c.Ref(), again.Ref())
		set := contract.NewSet([]contract.InForce{{Contract: c}})
		for _, r := range c.Rules {
			if !strings.Contains(r.On[0], "*") && r.Enabled {
				require.Contains(t, fmt.Sprint(names(set.Match(r.On[0]))), r.Name)
			}
		}
	})
}

func names(m *contract.Match) []string {
	var out []string
	for _, r := range m.Rules {
		out = append(out, r.Name)
	}
	return out
}

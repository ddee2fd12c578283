package hotpath

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// warm is how often a path runs before it is counted.
const warm = 80

// slack is how far above its ceiling's count a path may be: counts of
// instructions differ a little with addresses and hashes.
const slack = 0.05

// jitter is how many instructions more are no news either: one more probe in a
// few of Go's maps, which are seeded anew in each process.
const jitter = 250

//go:embed ceilings.txt
var table string

const tableFile = "ceilings.txt"

var update = flag.Bool("update", false, "write the counts of this run into "+tableFile)

// count is what one run of a path takes, for each span.
type count struct {
	allocs       float64
	instructions float64 // 0: not counted
}

// ceilings reads ceilings.txt.
func ceilings(t testing.TB) map[string]count {
	all := make(map[string]count)
	lines := bufio.NewScanner(strings.NewReader(table))
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "|")
		if len(fields) != 3 {
			continue // text
		}
		name := strings.TrimSpace(fields[0])
		allocs, err := strconv.ParseFloat(strings.TrimSpace(fields[1]), 64)
		if err != nil {
			continue // the head
		}
		instructions, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(fields[2]), "-", "0"), 64)
		require.NoError(t, err, name)
		all[name] = count{allocs, instructions}
	}
	return all
}

// attempts is how often a path is counted that takes more than its ceiling: now
// and then the runtime makes itself room within a run, which takes some ten
// thousand instructions. What the path does itself it does each time.
const attempts = 3

// instructions is what is counted step by step.
const instructions = "instructions"

// raised says that a path takes more than its ceiling, and what to do.
func raised(name, what string, was, is float64) error {
	most := was * (1 + slack)
	if what == instructions {
		most = max(most, was+jitter)
	}
	if is <= most {
		return nil
	}
	return fmt.Errorf("%s: %.4g %s a span, the ceiling is %.4g (+%.0f %%): find what was added and take it out; "+
		"where it is worth its price, say so in the commit and write the new counts with\n"+
		"  go test ./internal/hotpath -run 'Ceilings$' -update", name, is, what, was, 100*slack)
}

// measureAllocs counts the allocations of a path in this process.
func measureAllocs(t *testing.T, p hotPath) float64 {
	const runs = 100
	run := p.make(newWorld(t), warm+runs+1)
	for range warm {
		run()
	}
	each := testing.AllocsPerRun(runs, run) / float64(p.spans)
	return math.Ceil(each*10) / 10
}

// TestAllocationCeilings is exact but for the slack: Go's own maps grow now and then.
func TestAllocationCeilings(t *testing.T) {
	known := ceilings(t)
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			c, ok := known[p.name]
			require.True(t, ok || *update, "%s has no ceiling; write one with -update", p.name)
			is := measureAllocs(t, p)
			if *update {
				c.allocs = is
				known[p.name] = c
				return
			}
			require.NoError(t, raised(p.name, "allocations", c.allocs, is))
		})
	}
	if *update {
		write(t, known)
	}
}

// TestInstructionCeilings counts by letting a child run step by step.
func TestInstructionCeilings(t *testing.T) {
	if testing.Short() {
		t.Skip("short: counting takes a second for each path")
	}
	known := ceilings(t)
	for _, p := range paths {
		if p.steps == 0 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			was, is := known[p.name].instructions, math.Inf(1)
			for range attempts {
				steps, err := countSteps(t, p.name)
				if errors.Is(err, errors.ErrUnsupported) {
					t.Skipf("instructions cannot be counted here: %v", err)
				}
				require.NoError(t, err)
				is = min(is, float64(steps)/float64(p.steps*p.spans))
				t.Logf("%.0f instructions", is)
				if raised(p.name, instructions, was, is) == nil {
					break
				}
			}
			if *update {
				c := known[p.name]
				c.instructions = math.Round(is)
				known[p.name] = c
				return
			}
			require.NoError(t, raised(p.name, instructions, was, is))
		})
	}
	if *update {
		write(t, known)
	}
}

// TestRaisedCounts: the guard lets the slack pass and nothing above it.
func TestRaisedCounts(t *testing.T) {
	require.NoError(t, raised("a path", "allocations", 20, 21))
	require.ErrorContains(t, raised("a path", "allocations", 20, 22), "a path: 22 allocations a span, the ceiling is 20")
	require.ErrorContains(t, raised("a path", instructions, 0, 251), "-update")
	require.NoError(t, raised("a path", instructions, 2000, 2250))
	require.Error(t, raised("a path", instructions, 20_000, 21_001))
}

// write puts counts into the table.
func write(t *testing.T, counts map[string]count) {
	var b bytes.Buffer
	head, _, _ := strings.Cut(table, "\n\n")
	b.WriteString(head + "\n\n")
	fmt.Fprintf(&b, "%-48s | %9s | %12s\n", "path, each span", "allocs", "instructions")
	for _, p := range paths {
		c := counts[p.name]
		instructions := "-"
		if p.steps > 0 {
			instructions = strconv.FormatFloat(c.instructions, 'f', 0, 64)
		}
		fmt.Fprintf(&b, "%-48s | %9g | %12s\n", p.name, c.allocs, instructions)
	}
	table = b.String()
	require.NoError(t, os.WriteFile(tableFile, b.Bytes(), 0o644))
}

// TestMain is also the child whose steps are counted.
func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		os.Exit(child(name))
	}
	os.Exit(m.Run())
}

const childVariable = "LOGLINE_HOTPATH"

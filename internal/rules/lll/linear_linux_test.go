package lll

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile are texts that a careless parser reads in the square of their length.
var hostile = []string{
	"a ", "a: b ", "[", "{ ", "a { ", "a: [", `"${`, `"${"`, `'"${`, `"$a`, "$a", "a: x ? ", "a (", "a: a{", "x: a [", "/*", "/* */", `"""`, "<<'T'\n", "{{", "{{}} ",
	"a: b c d e { } ", "a: [ span { } ", "rule x { ", "}", ")", "a: ( ] ", "\\", "€", "a: b.c + ", "a\n+", "foo \"x\" ", `"x", `, `r"a" `, `"${a}" `, `"${"a"}" `,
	"a: {{}} ", "a: \"x\" ", "a; ", "state x {}\n", "state x  {}\nstate xyz {}\n", "a: \"", "/*x*/a\n", "a /*x*/b ", "clause 1.1: x\n", "when x y ", "a b:c ", "a: b c:d ",
}

// Reading and formatting take time in proportion to the text: eight times as
// much takes nothing like 64 times as long. It is the processor's time of this
// thread, and of several tries one is enough.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const small, factor, tries = 16 << 10, 8, 5
	for _, piece := range hostile {
		for _, before := range []string{"", "contract a { rule b { on: ", "contract a { params { x: "} {
			spent := func(size int) time.Duration {
				text := before + strings.Repeat(piece, size/len(piece))
				begin := processorTime(t)
				Format("a.lll", text)
				return processorTime(t) - begin
			}
			linear := false
			for try := 0; try < tries && !linear; try++ {
				long := spent(small * factor)
				linear = long < 25*time.Millisecond || long < 3*factor*spent(small)
			}
			require.True(t, linear, "%q behind %q", piece, before)
		}
	}
}

func processorTime(t *testing.T) time.Duration {
	t.Helper()
	const thread = 1 // RUSAGE_THREAD
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(thread, &usage))
	return time.Duration(usage.Utime.Nano())
}

package relay

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const (
	process = "00c0ffee00c0ffee"
	tenant  = "019b0000-0000-8000-8000-000000000000"
)

func TestMessageOfTheLargest(t *testing.T) {
	t.Parallel()
	m := message{process: process}
	for n := range maxAppended {
		m.appended = append(m.appended, bus.Appended{Tenant: fmt.Sprintf("019b0000-0000-8000-8000-%012x", n), Size: maxSize})
	}
	text := encode(m)
	require.LessOrEqual(t, len(text), MaxMessage)
	got, err := parse(text)
	require.NoError(t, err)
	require.Equal(t, m, got)
	m.appended = append(m.appended, bus.Appended{Tenant: tenant})
	_, err = parse(encode(m))
	require.Error(t, err)
}

func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	good := "1 " + process + " " + tenant + ":7"
	_, err := parse(good)
	require.NoError(t, err)
	for _, text := range []string{
		"", " ", "1", "1 " + process, good + " ", " " + good, good + "\n", "2" + good[1:],
		strings.Replace(good, "c0ffee", "C0FFEE", 1), strings.Replace(good, "c0", "", 1), strings.Replace(good, "c0", "zz", 1),
		strings.Replace(good, ":7", "", 1), strings.Replace(good, ":7", ":", 1), strings.Replace(good, ":7", ":07", 1),
		strings.Replace(good, ":7", ":-7", 1), strings.Replace(good, ":7", ":+7", 1), strings.Replace(good, ":7", ":7:7", 1),
		fmt.Sprintf("1 %s %s:%d", process, tenant, uint64(math.MaxUint64)), strings.ToUpper(good), good + strings.Repeat(" ", MaxMessage),
	} {
		_, err := parse(text)
		require.Equal(t, "relay_message_invalid", fault.CodeOf(err), "%q", text)
	}
}

// FuzzMessage: what is read is exactly what this build writes for it, and no
// more than a message may hold.
func FuzzMessage(f *testing.F) {
	f.Add("1 " + process + " " + tenant + ":7")
	f.Add("1 " + process + " " + tenant + ":7 " + tenant + ":0")
	f.Add("1 " + process + " ")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parse(text)
		if err != nil {
			require.Equal(t, "relay_message_invalid", fault.CodeOf(err))
			return
		}
		require.Equal(t, text, encode(m))
		require.LessOrEqual(t, len(text), MaxMessage)
		require.NotEmpty(t, m.appended)
		for _, a := range m.appended {
			require.True(t, span.IsUUID(a.Tenant))
			require.LessOrEqual(t, a.Size, uint64(maxSize))
		}
	})
}

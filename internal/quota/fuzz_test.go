package quota_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/quota"
)

// FuzzParseValue: a value is refused as the caller's mistake, or it is one that may
// be set, and is read again as it is shown.
func FuzzParseValue(f *testing.F) {
	for _, text := range []string{"off", "0", "100", "10GiB", "500MB", "8191PiB", "9223372036854775807", "8388608TiB", "-1", "1e3", " 1", "1 GiB", "+5", "٣", "1kB", "GiB"} {
		f.Add(quota.Storage, text)
		f.Add(quota.Spans, text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		value, err := quota.ParseValue(name, text)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			return
		}
		require.NoError(t, quota.Check(name, value))
		again, err := quota.ParseValue(name, quota.Format(name, value))
		require.NoError(t, err)
		require.Equal(t, value, again)
	})
}

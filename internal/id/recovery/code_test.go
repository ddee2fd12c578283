package recovery

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestDeviceCode(t *testing.T) {
	t.Parallel()
	code := DeviceCode(ana, counting())
	require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{4}-){17}[0-9A-HJKMNP-TV-Z]{4}$`, code)
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), strings.ReplaceAll(code, "0", "o")} {
		key, err := ParseDeviceCode(ana, typed)
		require.NoError(t, err)
		require.Equal(t, counting(), key)
	}
	for typed, says := range map[string]string{
		"":                                 "0 characters",
		code[:len(code)-1]:                 "71 characters",
		code[:5] + "0" + code[6:]:          "group 2 (row 1, number 2)",
		strings.Replace(code, "-", "U", 1): "none that a device has",
	} {
		_, err := ParseDeviceCode(ana, typed)
		require.Equal(t, "device_code", fault.CodeOf(err), typed)
		require.ErrorContains(t, err, says)
	}
	_, err := ParseDeviceCode(strings.Replace(ana, "5hjp", "5hjq", 1), code)
	require.ErrorContains(t, err, "another identity")
	sheet := strings.Join(newSheet(t, counting()).rows(), " ")
	_, err = ParseDeviceCode(ana, sheet)
	require.Equal(t, "device_code", fault.CodeOf(err), "a sheet's key is no code")
}

// FuzzDeviceCode: what is read as a code is the one that its key has.
func FuzzDeviceCode(f *testing.F) {
	f.Add(DeviceCode(ana, counting()))
	f.Add("0000-")
	f.Fuzz(func(t *testing.T, code string) {
		key, err := ParseDeviceCode(ana, code)
		if err != nil {
			require.Equal(t, "device_code", fault.CodeOf(err))
			return
		}
		back, err := ParseDeviceCode(ana, DeviceCode(ana, key))
		require.NoError(t, err)
		require.Equal(t, key, back)
	})
}

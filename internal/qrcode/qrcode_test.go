package qrcode_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/qrcode"
)

// What every reader looks for is where it belongs (ISO/IEC 18004 §6.3): a finder in
// three corners, timing between them, and the one module that is always dark.
func TestModules(t *testing.T) {
	t.Parallel()
	finder := []string{"1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"}
	for _, text := range []string{"a", "otpauth://totp/LogLine:ana?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=LogLine&algorithm=SHA1&digits=6&period=30", strings.Repeat("long ", 200)} {
		rows, err := qrcode.Modules(text)
		require.NoError(t, err)
		n := len(rows)
		require.Equal(t, 1, n%4, "17 and four for each version")
		for _, row := range rows {
			require.Len(t, row, n)
		}
		corner := func(x, y int) []string {
			var out []string
			for _, row := range rows[y : y+7] {
				out = append(out, row[x:x+7])
			}
			return out
		}
		require.Equal(t, finder, corner(0, 0))
		require.Equal(t, finder, corner(n-7, 0))
		require.Equal(t, finder, corner(0, n-7))
		require.NotEqual(t, finder, corner(n-7, n-7))
		require.True(t, strings.HasPrefix(strings.Repeat("10", n), rows[6][8:n-8]), "timing")
		require.Equal(t, byte('1'), rows[n-8][8], "column 8, above the finder below")
	}
	_, err := qrcode.Modules(strings.Repeat("x", 5000))
	require.Equal(t, "qr_too_long", fault.CodeOf(err))
}

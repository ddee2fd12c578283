// Package qrcode makes QR codes (ISO/IEC 18004) of texts that phones read from paper
// or a screen. It gives modules; whoever shows them draws them.
package qrcode

import (
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"

	"github.com/danvoulez/logline/internal/fault"
)

// Modules are the rows of a text's code, the upper first: a character a module, 1 for
// a dark one and 0 for a light one. Four light modules belong around it. Some 15 % of
// the code may be unreadable (level M). invalid qr_too_long.
func Modules(text string) ([]string, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return nil, fault.New(fault.Invalid, "qr_too_long", "the text is too long for a QR code").Because(err)
	}
	rows := make([]string, code.Bounds().Dy())
	for y := range rows {
		var row strings.Builder
		for x := range code.Bounds().Dx() {
			module := byte('0')
			if code.At(x, y) == color.Black {
				module = '1'
			}
			row.WriteByte(module)
		}
		rows[y] = row.String()
	}
	return rows, nil
}

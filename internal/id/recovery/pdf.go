package recovery

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/qrcode"
	"github.com/danvoulez/logline/internal/span"
)

// Millimetres on a page of A4; all of it is within a page of US Letter too.
const (
	margin  = 20.0
	width   = 210 - 2*margin
	qrSide  = 62.0
	lineGap = 6.0
)

// PDF is the sheet as one page to print: the text of the sheet, the key in numbered
// rows, the same as a QR code, and what to do with it. The same sheet gives the
// same bytes. It is secret.
func (s *Sheet) PDF() ([]byte, error) {
	code, err := qrcode.Modules(s.Text())
	if err != nil {
		return nil, unprintable(err)
	}
	doc := fpdf.New("P", "mm", "A4", "")
	doc.SetCatalogSort(true)
	made, err := span.ParseTime(s.Made)
	if err != nil {
		made = time.Unix(0, 0)
	}
	doc.SetCreationDate(made.UTC())
	doc.SetModificationDate(made.UTC())
	doc.SetTitle("LogLine recovery sheet", true)
	doc.SetLang("en")
	doc.SetMargins(margin, margin, margin)
	doc.SetAutoPageBreak(false, 0)
	doc.AddPage()

	doc.SetFont("Helvetica", "B", 18)
	doc.CellFormat(width, 10, header+" "+version, "", 1, "L", false, 0, "")
	say(doc, "Whoever has this sheet can take this identity over, with no passphrase and no other key. Keep it as you keep a passport: on paper, away from your computer, and not as a photograph.")
	doc.Ln(3)
	fact(doc, "identity", s.Identity)
	if s.Node != "" {
		fact(doc, "node", s.Node)
	}
	if s.Made != "" {
		fact(doc, "made", s.Made)
	}
	doc.Ln(4)
	for i, row := range s.rows() {
		doc.SetFont("Helvetica", "", 9)
		doc.CellFormat(18, 10, fmt.Sprintf("key, row %d", i+1), "", 0, "L", false, 0, "")
		doc.SetFont("Courier", "B", 16)
		doc.CellFormat(width-18, 10, row, "", 1, "L", false, 0, "")
	}
	doc.Ln(4)
	top := doc.GetY()
	drawCode(doc, code, margin, top)
	doc.SetLeftMargin(margin + qrSide + 8)
	doc.SetXY(margin+qrSide+8, top+2)
	howTo(doc)
	var out bytes.Buffer
	if err := doc.Output(&out); err != nil {
		return nil, unprintable(err)
	}
	return out.Bytes(), nil
}

func unprintable(err error) error {
	return fault.New(fault.Internal, "recovery_sheet_pdf", "the sheet cannot be made a PDF; print its text instead").Because(err)
}

func fact(doc *fpdf.Fpdf, name, value string) {
	doc.SetFont("Helvetica", "", 9)
	doc.CellFormat(18, lineGap, name, "", 0, "L", false, 0, "")
	doc.SetFont("Courier", "", 9)
	doc.CellFormat(width-18, lineGap, value, "", 1, "L", false, 0, "")
}

func say(doc *fpdf.Fpdf, text string) {
	doc.SetFont("Helvetica", "", 10)
	doc.MultiCell(0, 5, text, "", "L", false)
}

// howTo says what the sheet is for, beside the code.
func howTo(doc *fpdf.Fpdf) {
	doc.SetFont("Helvetica", "B", 10)
	doc.MultiCell(0, 6, "When your key is lost or stolen", "", "L", false)
	say(doc, "On any computer with the program logline, type this sheet into a file, or read the code with a phone and copy its text, and run")
	doc.Ln(1)
	doc.SetFont("Courier", "B", 10)
	doc.MultiCell(0, 6, "logline identity recover --sheet FILE", "", "L", false)
	doc.Ln(1)
	say(doc, "Your identity stays the same; the key of this sheet takes the place of the lost one, and all other keys end. You get a new sheet: this one is then spent, destroy it.")
	doc.Ln(1)
	say(doc, "When typing: capital and small letters are alike, O is 0, I and l are 1, spaces do not matter. The last character of each group checks it, so that a mistake is found where it is.")
}

// drawCode draws a code's modules as squares, with nothing to be resampled.
func drawCode(doc *fpdf.Fpdf, code []string, x, y float64) {
	side := qrSide / float64(len(code))
	doc.SetFillColor(0, 0, 0)
	for row, modules := range code {
		for col := 0; col < len(modules); col++ {
			run := len(modules[col:]) - len(strings.TrimLeft(modules[col:], "1"))
			if run > 0 {
				doc.Rect(x+float64(col)*side, y+float64(row)*side, float64(run)*side, side, "F")
				col += run
			}
		}
	}
}

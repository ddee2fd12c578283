package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/ui"
)

// figure is one thing measured, beside its target.
type figure struct {
	Group    string  `json:"group"`
	Name     string  `json:"name"`
	Store    string  `json:"store,omitempty"` // "" for all
	Measured float64 `json:"measured"`
	Unit     unit    `json:"unit"`
	Target   *target `json:"target,omitempty"` // nil for floors, and what has none
	Note     string  `json:"note,omitempty"`
	Met      *bool   `json:"met,omitempty"` // nil without a target; filled in by judge
}

// unit is what a figure counts in.
type unit string

// The units: seconds are shown in µs, ms or s, and bytes in MiB.
const (
	inSeconds unit = "s"
	perSecond unit = "/s"
	inBytes   unit = "B"
	ratio     unit = "×"
	plain     unit = ""
)

// target is the bound that a figure has to keep.
type target struct {
	Text  string    `json:"text"` // how the bound was made: "0.7 C"
	Bound float64   `json:"bound"`
	Sense direction `json:"sense"`
}

// direction is on which side of its bound a figure has to be.
type direction string

const (
	atLeast direction = "≥"
	atMost  direction = "≤"
)

func (t target) met(measured float64) bool {
	if t.Sense == atLeast {
		return measured >= t.Bound
	}
	return measured <= t.Bound
}

// judge says of each figure whether it keeps its bound.
func judge(figures []figure) {
	for i := range figures {
		if f := &figures[i]; f.Target != nil {
			met := f.Target.met(f.Measured)
			f.Met = &met
		}
	}
}

// printTable prints every figure in one table, and how many targets are met.
func printTable(w io.Writer, figures []figure) error {
	t := ui.NewTable("GROUP", "FIGURE", "STORE", ">MEASURED", ">TARGET", "", "MET", "NOTE")
	met, targets := 0, 0
	for _, f := range figures {
		bound, how, verdict := "", "", ""
		if f.Target != nil {
			bound, how, verdict = string(f.Target.Sense)+" "+f.Unit.show(f.Target.Bound), f.Target.Text, "no"
			targets++
			if *f.Met {
				verdict = "yes"
				met++
			}
		}
		t.Row(f.Group, f.Name, f.Store, f.Unit.show(f.Measured), bound, how, verdict, f.Note)
	}
	if err := t.Write(w, 0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d of %d targets met\n", met, targets)
	return err
}

// show is a value in this unit for people.
func (u unit) show(v float64) string {
	switch u {
	case inSeconds:
		if v >= 1 {
			return fmt.Sprintf("%.2f s", v)
		}
		if v < 100e-6 {
			return fmt.Sprintf("%.1f µs", v*1e6)
		}
		return loadgen.Show(time.Duration(v * float64(time.Second)))
	case perSecond:
		return ui.Count(int64(v)) + "/s"
	case inBytes:
		if v < 1<<20 {
			return ui.Count(int64(v)) + " B"
		}
		return fmt.Sprintf("%.0f MiB", v/(1<<20))
	case ratio:
		return fmt.Sprintf("%.2f ×", v)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

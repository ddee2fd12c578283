package quota

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// units are those in which bytes may be written.
var units = []struct {
	name string
	is   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
}

// ParseValue reads the value of a quota: off, or a number; storage also as 500MB
// or 10GiB. invalid quota_unknown, quota_value.
func ParseValue(name, text string) (int64, error) {
	if err := Check(name, 0); err != nil {
		return 0, err
	}
	if text == "off" {
		return None, nil
	}
	number, unit := text, int64(1)
	if name == Storage {
		for _, u := range units {
			if before, ok := strings.CutSuffix(text, u.name); ok {
				number, unit = before, u.is
			}
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		as := "100"
		if name == Storage {
			as = "10GiB"
		}
		return 0, fault.Newf(fault.Invalid, "quota_value", "%.40q is no value of the quota %s: write off or a number, as %s", text, name, as)
	}
	value := int64(n) * unit
	return value, Check(name, value)
}

// Format is a value as ParseValue reads it, in the largest unit that divides it.
func Format(name string, value int64) string {
	if value < 0 {
		return "off"
	}
	if name == Storage {
		for i := 3; i >= 0; i-- {
			if u := units[i]; value > 0 && value%u.is == 0 {
				return fmt.Sprint(value/u.is, u.name)
			}
		}
	}
	return strconv.FormatInt(value, 10)
}

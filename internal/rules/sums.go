package rules

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// decimal is an exact number, units × 10^-scale. Running totals are decimals:
// doubles added in another order give another sum, and a total from which an
// older one is taken away loses what both rounded.
type decimal struct {
	units *big.Int
	scale int // never negative
}

// decimalOf is the number that the shortest decimal form of f writes, as JSON
// does: 0.1 is a tenth, not the double nearest to it. f is finite.
func decimalOf(f float64) decimal {
	d, _ := parseDecimal(strconv.FormatFloat(f, 'f', -1, 64))
	return d
}

// parseDecimal reads what String writes.
func parseDecimal(s string) (decimal, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	units, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return decimal{new(big.Int), 0}, fault.Newf(fault.Internal, "decimal_invalid", "%q is no decimal number", s)
	}
	return decimal{units, len(fraction)}.short(), nil
}

// short drops zeros at the end of the fraction.
func (d decimal) short() decimal {
	ten, rest := big.NewInt(10), new(big.Int)
	for d.scale > 0 {
		q, r := new(big.Int).QuoRem(d.units, ten, rest)
		if r.Sign() != 0 {
			break
		}
		d = decimal{q, d.scale - 1}
	}
	return d
}

func (d decimal) at(scale int) *big.Int {
	by := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-d.scale)), nil)
	return by.Mul(by, d.units)
}

func (d decimal) plus(e decimal) decimal {
	scale := max(d.scale, e.scale)
	sum := d.at(scale)
	return decimal{sum.Add(sum, e.at(scale)), scale}.short()
}

func (d decimal) minus(e decimal) decimal {
	return d.plus(decimal{new(big.Int).Neg(e.units), e.scale})
}

// String writes the number in full, without an exponent.
func (d decimal) String() string {
	s := d.units.String()
	if d.scale == 0 {
		return s
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	if len(s) <= d.scale {
		s = strings.Repeat("0", d.scale-len(s)+1) + s
	}
	return sign + s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
}

// float is the double nearest to the number, rounded once.
func (d decimal) float() float64 {
	f, _ := strconv.ParseFloat(d.String(), 64)
	return f
}

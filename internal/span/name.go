package span

import (
	"encoding/hex"
	"io"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// IdentityScheme starts every LogLine ID; the rest is 52 base32 characters.
const IdentityScheme = "logline-id://"

// timeLayout is the only form of a time in the protocol, always UTC.
const timeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime renders t in UTC as YYYY-MM-DDTHH:MM:SS.mmmZ, truncated to the
// millisecond. Years outside 0 to 9999 have no protocol form.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// ParseTime reads exactly YYYY-MM-DDTHH:MM:SS.mmmZ; no offset, no other
// precision, no leap second. Fails with time_invalid.
func ParseTime(s string) (time.Time, error) {
	if isTime(s) {
		if t, err := time.Parse(timeLayout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "time_invalid", "the time is not of the form YYYY-MM-DDTHH:MM:SS.mmmZ (UTC, milliseconds)")
}

// isTime is ParseTime's check alone, without the parse: submit needs it three
// times a span.
func isTime(s string) bool {
	const form = "dddd-dd-ddTdd:dd:dd.dddZ"
	if len(s) != len(form) {
		return false
	}
	for i := range len(form) {
		if form[i] == 'd' {
			if s[i] < '0' || s[i] > '9' {
				return false
			}
		} else if s[i] != form[i] {
			return false
		}
	}
	two := func(i int) int { return int(s[i]-'0')*10 + int(s[i+1]-'0') }
	year, month, day := two(0)*100+two(2), two(5), two(8)
	if month < 1 || month > 12 || day < 1 || two(11) > 23 || two(14) > 59 || two(17) > 59 {
		return false
	}
	last := 31
	switch month {
	case 4, 6, 9, 11:
		last = 30
	case 2:
		last = 28
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			last = 29
		}
	}
	return day <= last
}

// IsUUID reports whether s is a UUID in lower-case 8-4-4-4-12 form, whatever
// its version.
func IsUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// IsUUIDv7 reports whether s is a lower-case UUID of version 7 and the RFC
// 9562 variant.
func IsUUIDv7(s string) bool { return isUUIDOf(s, '7') }

func isUUIDOf(s string, version byte) bool {
	return IsUUID(s) && s[14] == version && (s[19] == '8' || s[19] == '9' || s[19] == 'a' || s[19] == 'b')
}

// IsIdentity reports whether s is a LogLine ID: the scheme and base32 of 32
// bytes in lower case, its spare bits zero.
func IsIdentity(s string) bool {
	rest, ok := strings.CutPrefix(s, IdentityScheme)
	if !ok || len(rest) != 52 {
		return false
	}
	for i := range len(rest) {
		if c := rest[i]; !(c >= 'a' && c <= 'z' || c >= '2' && c <= '7') {
			return false
		}
	}
	return rest[51] == 'a' || rest[51] == 'q' // 260 bits for 256: the last 4 are zero
}

// NewID makes a UUIDv7 (RFC 9562 §5.7) of t's milliseconds and 74 bits of
// random; the same arguments give the same id.
func NewID(t time.Time, random [10]byte) string {
	ms := uint64(t.UnixMilli())
	b := [16]byte{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms)}
	copy(b[6:], random[:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b)
}

// RandomID is NewID with bits read from rand. Fails with random_unavailable.
func RandomID(t time.Time, rand io.Reader) (string, error) {
	var r [10]byte
	if _, err := io.ReadFull(rand, r[:]); err != nil {
		return "", fault.New(fault.Internal, "random_unavailable", "the source of randomness failed").Because(err)
	}
	return NewID(t, r), nil
}

func formatUUID(b [16]byte) string {
	var d [36]byte
	hex.Encode(d[0:8], b[0:4])
	hex.Encode(d[9:13], b[4:6])
	hex.Encode(d[14:18], b[6:8])
	hex.Encode(d[19:23], b[8:10])
	hex.Encode(d[24:36], b[10:16])
	d[8], d[13], d[18], d[23] = '-', '-', '-', '-'
	return string(d[:])
}

package recovery

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Parse reads a sheet that may have been typed from paper: capital and small
// letters are alike, O is 0, I and l are 1; spaces, hyphens and line ends within
// the key do not matter; nor do the order of lines, or lines of other names. The
// first line and `made` may be missing. Every failure is Invalid and repeats nothing
// of the key. Codes: recovery_sheet_large, recovery_sheet_other (not a sheet, or of
// a later form), recovery_identity, recovery_group (which groups are wrong),
// recovery_length, recovery_character, recovery_checksum.
func Parse(src []byte) (*Sheet, error) {
	if len(src) > MaxSheetBytes {
		return nil, fault.Newf(fault.Invalid, "recovery_sheet_large", "a recovery sheet has at most %d bytes", MaxSheetBytes)
	}
	fields, err := readLines(string(src))
	if err != nil {
		return nil, err
	}
	if fields["key"] == "" || fields["identity"] == "" {
		return nil, other("the lines `identity:` and `key:` are not both there")
	}
	s := &Sheet{Identity: typedIdentity(fields["identity"])}
	if !span.IsIdentity(s.Identity) {
		return nil, fault.New(fault.Invalid, "recovery_identity", "the line `identity:` is not a LogLine ID: logline-id:// and 52 of the characters a-z and 2-7; compare it with the sheet")
	}
	digits, err := typedKey(fields["key"])
	if err != nil {
		return nil, err
	}
	if s.seed, err = judgeKey(sheetDomain, s.Identity, digits); err != nil {
		return nil, err
	}
	made := strings.ToUpper(dense(fields["made"]))
	if _, err := span.ParseTime(made); err == nil {
		s.Made = made
	}
	if node := dense(fields["node"]); isNode(node) {
		s.Node = node
	}
	return s, nil
}

func other(why string) error {
	return fault.Newf(fault.Invalid, "recovery_sheet_other", "this is not a recovery sheet of the form %s: %s", version, why)
}

// readLines takes the text apart into what stands behind the names of its lines.
// A line without a name goes on with the one before.
func readLines(text string) (map[string]string, error) {
	fields, name := make(map[string]string), ""
	for line := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\ufeff", "").Replace(text)) {
		if form, isHeader := headerOf(line); isHeader {
			if form != version {
				return nil, other("it is of a later form; use a newer version of this program")
			}
			name = ""
			continue
		}
		before, rest, named := strings.Cut(line, ":")
		if before = strings.ToLower(strings.TrimSpace(before)); named && isName(before) {
			name, line = before, rest
		}
		fields[name] += line
	}
	return fields, nil
}

// headerOf is the version that a sheet's first line names.
func headerOf(line string) (form string, ok bool) {
	words := strings.Fields(strings.ToUpper(line))
	n := len(strings.Fields(header))
	if len(words) != n+1 || strings.Join(words[:n], " ") != header {
		return "", false
	}
	return words[n], true
}

func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < 'a' || r > 'z' })
}

// dense is text without spaces and the like.
func dense(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}

// typedIdentity is a LogLine ID as somebody typed it. Its alphabet has no 0, 1 and
// 8, so that these stand for what they look like.
func typedIdentity(text string) string {
	text = strings.NewReplacer("0", "o", "1", "l", "8", "b").Replace(strings.ToLower(dense(text)))
	return span.IdentityScheme + strings.TrimPrefix(text, span.IdentityScheme)
}

// typedKey is the digits of a key as somebody typed it.
func typedKey(text string) ([]byte, error) {
	var digits []byte
	for _, r := range strings.ToUpper(dense(text)) {
		switch {
		case r == 'O':
			r = '0'
		case r == 'I' || r == 'L':
			r = '1'
		case strings.ContainsRune("-–—_.·,", r):
			continue
		}
		at := strings.IndexRune(alphabet, r)
		if at < 0 {
			return nil, fault.Newf(fault.Invalid, "recovery_character", "a character in %s of the key is none that a sheet has: digits, and letters without U", place(len(digits)/perGroup))
		}
		if len(digits) > 2*allChars {
			break
		}
		digits = append(digits, byte(at))
	}
	return digits, nil
}

// judgeKey is the seed that digits are, beside its identity.
func judgeKey(domain, identity string, digits []byte) (seed [32]byte, err error) {
	var wrong []int
	for at := range min(len(digits)/perGroup, groups) {
		group := digits[at*perGroup:][:perGroup]
		if group[perGroup-1] != checkDigit(at, group[:perGroup-1]) {
			wrong = append(wrong, at)
		}
	}
	if len(digits) != allChars {
		// Behind a character too few or too many every group is another.
		first := min(len(digits)/perGroup, groups)
		if len(wrong) > 0 {
			first = wrong[0]
		}
		return seed, fault.Newf(fault.Invalid, "recovery_length", "the key has %s characters, and %d on the sheet; compare from %s on", counted(len(digits)), allChars, place(min(first, groups-1)))
	}
	if len(wrong) > 0 {
		places := make([]string, len(wrong))
		for i, at := range wrong {
			places[i] = place(at)
		}
		return seed, fault.Newf(fault.Invalid, "recovery_group", "the key is not as it was printed in %s; compare with the sheet", strings.Join(places, ", "))
	}
	var bits [34]byte
	n := 0
	for at, d := range digits {
		if at%perGroup == perGroup-1 {
			continue
		}
		for i := 4; i >= 0; i, n = i-1, n+1 {
			bits[n/8] |= d >> i & 1 << (7 - n%8)
		}
	}
	seed = [32]byte(bits[:32])
	check := checkBits(domain, identity, seed)
	if check[1] &= 0xfc; check != [2]byte(bits[32:]) {
		return [32]byte{}, fault.New(fault.Invalid, "recovery_checksum", "the key and the identity do not belong together: compare the line `identity:` with the sheet, then each group of the key")
	}
	return seed, nil
}

// counted is how many there are, as far as anybody counts.
func counted(n int) string {
	if n > 2*allChars {
		return fmt.Sprintf("more than %d", 2*allChars)
	}
	return fmt.Sprint(n)
}

// place names a group, counted from 0, as one finds it on paper.
func place(at int) string {
	at = min(at, groups-1)
	return fmt.Sprintf("group %d (row %d, number %d)", at+1, at/inRow+1, at%inRow+1)
}

// Package words says what a word is, which entries a question of words finds,
// and how an index of the words of many entries is laid out. It is pure: no
// store, no I/O, no tenant.
//
// A word is a run of Unicode letters and digits with the marks that belong to
// them, compared without case, without compatibility forms and without the
// accents that scripts share: "É" is "e", "ß" is "ss", "ﬁ" is "fi". Scripts that
// put no space between words (Han, Kana, Thai …) have a word beginning at each
// character, which reaches over the next one. Only the first MaxBytes of a word
// count.
//
// An entry's words are those of its title, subject and type, and of the strings
// and numbers in its payload; the names of members are not among them. A
// question finds an entry when each of its words begins one of the entry's.
package words

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxBytes is how much of a word counts, in UTF-8.
const MaxBytes = 64

// Split gives the words of a question, without repeats.
func Split(text string) []string {
	var out []string
	seen := map[string]bool{}
	each([]byte(text), func(w []byte) bool {
		if !seen[string(w)] {
			seen[string(w)] = true
			out = append(out, string(w))
		}
		return true
	})
	return out
}

// Match says whether each of the wanted words begins a word of an entry with
// these texts and this payload, which is JSON or nothing. The wanted words are
// as Split gives them.
func Match(wanted []string, title, subject, typ string, payload []byte) bool {
	left := append([]string(nil), wanted...)
	if len(left) == 0 {
		return true
	}
	return !ofEntry(title, subject, typ, payload, func(w []byte) bool {
		for i := 0; i < len(left); i++ {
			if len(w) >= len(left[i]) && string(w[:len(left[i])]) == left[i] {
				left[i] = left[len(left)-1]
				left = left[:len(left)-1]
				i--
			}
		}
		return len(left) > 0
	})
}

// ofEntry yields the words of an entry until yield says that it has enough;
// then it is false.
func ofEntry(title, subject, typ string, payload []byte, yield func(w []byte) bool) bool {
	for _, text := range []string{title, subject, typ} {
		if !each([]byte(text), yield) {
			return false
		}
	}
	return texts(payload, func(text []byte) bool { return each(text, yield) })
}

// each yields the words of a text; w is only good until yield returns.
func each(text []byte, yield func(w []byte) bool) bool {
	for i := range text {
		if text[i] >= utf8.RuneSelf {
			return eachRune(normal(text), yield)
		}
	}
	var word [MaxBytes]byte
	n := 0
	for i := 0; i <= len(text); i++ {
		c := byte(0)
		if i < len(text) {
			c = text[i]
		}
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			if n > 0 && !yield(word[:n]) {
				return false
			}
			n = 0
			continue
		}
		if n < MaxBytes {
			word[n] = c
			n++
		}
	}
	return true
}

// normal is a text in the form in which words are compared. Marks are taken
// off where any script may have them, as the accents of Latin, Greek and
// Cyrillic are, and stay where they are a script's own vowels.
func normal(text []byte) []byte {
	folded := norm.NFKD.Bytes(cases.Fold().Bytes(norm.NFKD.Bytes(bytes.ToValidUTF8(text, []byte(" ")))))
	bare := folded[:0]
	for len(folded) > 0 {
		r, size := utf8.DecodeRune(folded)
		if !dropped(r) {
			bare = utf8.AppendRune(bare, r)
		}
		folded = folded[size:]
	}
	return norm.NFC.Bytes(bare)
}

// Marks and joiners that a word is not told apart by.
const (
	voiced, halfVoiced = '\u3099', '\u309a' // of Kana: other syllables
	softHyphen         = '\u00ad'
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
	longVowel          = 'ー' // of Kana, in no script of its own
)

func dropped(r rune) bool {
	switch r {
	case voiced, halfVoiced:
		return false
	case softHyphen, zeroWidthJoiner, zeroWidthNonJoiner:
		return true
	}
	return unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Inherited, r)
}

// unspaced are the scripts that put no space between words.
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// eachRune yields the words of a text in normal form.
func eachRune(text []byte, yield func(w []byte) bool) bool {
	var word, last []byte // under way, and the last character of a script without spaces
	flush := func() bool {
		for _, w := range []*[]byte{&word, &last} {
			if len(*w) > 0 && !yield(cut(*w)) {
				return false
			}
			*w = (*w)[:0]
		}
		return true
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		c := text[:size]
		text = text[size:]
		switch {
		case unicode.Is(unicode.M, r) && len(last) > 0:
			last = append(last, c...)
		case unicode.Is(unicode.M, r) && len(word) > 0:
			word = append(word, c...)
		case r == longVowel || unicode.In(r, unspaced...) && (unicode.IsLetter(r) || unicode.IsNumber(r)):
			// The character before waits for its marks, and for this one.
			next := characters(c, text)
			if len(last) > 0 {
				if !yield(cut(append(last, next...))) {
					return false
				}
				last = last[:0]
			} else if !flush() {
				return false
			}
			last = append(last, c...)
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			if len(last) > 0 && !flush() {
				return false
			}
			word = append(word, c...)
		default:
			if !flush() {
				return false
			}
		}
	}
	return flush()
}

// characters is a character with the marks that follow it in rest.
func characters(c, rest []byte) []byte {
	out := append([]byte(nil), c...)
	for len(rest) > 0 {
		r, size := utf8.DecodeRune(rest)
		if !unicode.Is(unicode.M, r) {
			break
		}
		out = append(out, rest[:size]...)
		rest = rest[size:]
	}
	return out
}

// cut is what counts of a word.
func cut(w []byte) []byte {
	if len(w) <= MaxBytes {
		return w
	}
	n := MaxBytes
	for !utf8.RuneStart(w[n]) {
		n--
	}
	return w[:n]
}

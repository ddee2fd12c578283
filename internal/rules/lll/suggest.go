package lll

import "unicode/utf8"

// Nearest is the word of known that somebody most likely meant by writing
// word, "" when none is near: at most one mistake in three letters, two from
// four to seven, three in longer ones. A mistake is a letter too many, missing,
// wrong, or swapped with its neighbour.
func Nearest(word string, known []string) string {
	limit := 1
	switch n := utf8.RuneCountInString(word); {
	case n < 2:
		return ""
	case n > 7:
		limit = 3
	case n > 3:
		limit = 2
	}
	best := ""
	for _, k := range known {
		if d := Distance(word, k, limit); d <= limit && (d < limit || best == "") && k != word {
			best, limit = k, d
		}
	}
	return best
}

// Distance is how many mistakes (Damerau and Levenshtein's, adjacent letters
// swapped at most once) make b of a, or limit+1 when there are more than
// limit.
func Distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) > limit || len(y)-len(x) > limit {
		return limit + 1
	}
	before, last, next := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next[0] = i
		least := i
		for j := 1; j <= len(y); j++ {
			wrong := 1
			if x[i-1] == y[j-1] {
				wrong = 0
			}
			d := min(last[j]+1, next[j-1]+1, last[j-1]+wrong)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, before[j-2]+1)
			}
			next[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
		before, last, next = last, next, before
	}
	return min(last[len(y)], limit+1)
}

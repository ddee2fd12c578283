package lll

// tokenKind tells tokens apart; punctuation of one kind by its text.
type tokenKind uint8

const (
	tokEOF tokenKind = iota
	tokNewline
	tokComment
	tokName
	tokString // "…" or '…'
	tokRaw    // r"…" and the like: strings of expressions alone
	tokText   // """…""" or a heredoc
	tokNumber
	tokVersion
	tokDuration
	tokPercent
	tokHole
	tokWord      // begins with a digit and is no number: 3rd, 0x1F, 12u
	tokSeparator // , ;
	tokOpen      // { [ (
	tokClose     // } ] )
	tokArrow     // -> →
	tokOther     // operators and all other signs
)

// token is a piece of the source.
type token struct {
	kind       tokenKind
	start, end int
	plain      bool // a string whose ${ is text, for want of its }
}

// operand says that an expression may have the token as a value.
func (k tokenKind) operand() bool {
	return k >= tokName && k <= tokWord
}

// pairs gives each closing bracket its opening one, and the other way round.
var pairs = map[byte]byte{'}': '{', ']': '[', ')': '(', '{': '}', '[': ']', '(': ')'}

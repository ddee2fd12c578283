package span

import (
	"math/bits"
	"strconv"

	"github.com/danvoulez/logline/internal/fault"
)

// shape names the members an object of the protocol may have. Which of them
// stand in a value is a bit set, in the order of names.
type shape struct {
	kind     string // prefix of the codes of wrong members
	names    []string
	required uint32
}

// find is the index of a member, -1 for none. It looks first at next, where a
// canonical source has it.
func (sh *shape) find(name []byte, next int) int {
	for i := next; i < len(sh.names); i++ {
		if string(name) == sh.names[i] {
			return i
		}
	}
	for i := range min(next, len(sh.names)) {
		if string(name) == sh.names[i] {
			return i
		}
	}
	return -1
}

// wrong is the refusal of a member's form, with a code of its own.
func (sh *shape) wrong(i int, want string) error {
	return refusef(sh.kind+"_"+sh.names[i]+"_invalid", "the member must be %s", want)
}

// shaped reads an object of this shape, giving each member's index to read
// with the scanner before its value. Members outside allowed are unknown.
func (s *scanner) shaped(sh *shape, allowed uint32, read func(i int) error) (seen uint32, err error) {
	if s.peek() != '{' {
		return 0, errType("an object")
	}
	if err := s.open(); err != nil {
		return 0, err
	}
	if s.peek() == '}' {
		s.pos++
	} else {
		for next := 0; ; {
			if s.peek() != '"' {
				return 0, s.syntax("expected a member name")
			}
			name, escaped, _, err := s.raw()
			if err != nil {
				return 0, err
			}
			if escaped {
				name = unquote(name)
			}
			i := sh.find(name, next)
			if i < 0 || allowed&(1<<i) == 0 {
				return 0, within(errUnknown(), string(name))
			}
			if seen&(1<<i) != 0 {
				return 0, within(errDuplicate(), sh.names[i])
			}
			seen |= 1 << i
			next = i + 1
			if err := s.expect(':'); err != nil {
				return 0, within(err, sh.names[i])
			}
			if err := read(i); err != nil {
				return 0, within(err, sh.names[i])
			}
			if s.peek() == ',' {
				s.pos++
				continue
			}
			if err := s.expect('}'); err != nil {
				return 0, err
			}
			break
		}
	}
	s.depth--
	if missing := sh.required &^ seen; missing != 0 {
		return 0, errMissing(sh.names[bits.TrailingZeros32(missing)])
	}
	return seen, nil
}

// top reads a whole document of one shape.
func (s *scanner) top(sh *shape, allowed uint32, read func(i int) error) (seen uint32, err error) {
	if c := s.peek(); c != '{' {
		if _, err := s.value(nil); err != nil {
			return 0, err
		}
		return 0, errNotObject()
	}
	if seen, err = s.shaped(sh, allowed, read); err != nil {
		return 0, err
	}
	return seen, s.end()
}

// text reads a string that may not be empty.
func (s *scanner) text() (string, error) {
	if s.peek() != '"' {
		return "", s.absent("a string")
	}
	body, escaped, _, err := s.raw()
	if err != nil {
		return "", err
	}
	if len(body) == 0 {
		return "", errEmpty()
	}
	if escaped {
		return string(unquote(body)), nil
	}
	if len(s.src) > sharedText {
		return string(body), nil
	}
	if s.all == "" {
		s.all = string(s.src)
	}
	end := s.pos - 1 // the closing quote
	return s.all[end-len(body) : end], nil
}

// sharedText is the largest source whose texts share one copy of it: a dozen
// small allocations less for a span, and nothing big kept alive by a header.
const sharedText = 2048

// mistyped refuses the next value, for its own defect if it has one.
func (s *scanner) mistyped(want string) error {
	if _, err := s.value(nil); err != nil {
		return err
	}
	return errType(want)
}

// absent is mistyped where null would stand for an absent member.
func (s *scanner) absent(want string) error {
	null := s.peek() == 'n'
	err := s.mistyped(want)
	if null && fault.CodeOf(err) == codeType {
		return errEmpty()
	}
	return err
}

// list reads a non-empty array, giving each element's index.
func (s *scanner) list(limit int, read func(i int) error) error {
	if s.peek() != '[' {
		return s.absent("a list")
	}
	if err := s.open(); err != nil {
		return err
	}
	if s.peek() == ']' {
		return errEmpty()
	}
	for i := 0; ; i++ {
		if i == limit {
			return refusef("list_too_long", "the list has more than %d items", limit)
		}
		if err := read(i); err != nil {
			return within(err, strconv.Itoa(i))
		}
		if s.peek() == ',' {
			s.pos++
			continue
		}
		s.depth--
		return s.expect(']')
	}
}

// texts reads a non-empty array of non-empty strings that satisfy ok.
func (s *scanner) texts(limit int, ok func(string) bool, sh *shape, member int, want string) ([]string, error) {
	var out []string
	err := s.list(limit, func(int) error {
		t, err := s.text()
		if err != nil {
			return err
		}
		if !ok(t) {
			return sh.wrong(member, want)
		}
		out = append(out, t)
		return nil
	})
	return out, err
}

// embedded reads an object of free members as JCS; an optional one may not be
// empty.
func (s *scanner) embedded(optional bool) ([]byte, error) {
	if s.peek() != '{' {
		if optional {
			return nil, s.absent("an object")
		}
		return nil, s.mistyped("an object")
	}
	b, err := s.object(nil)
	if err == nil && optional && len(b) == 2 {
		return nil, errEmpty()
	}
	return b, err
}

// version reads `v`, which is 1.
func (s *scanner) version(sh *shape, member int) error {
	if s.peek() == '1' && s.pos+1 < len(s.src) && (s.src[s.pos+1] == ',' || s.src[s.pos+1] == '}') {
		s.pos++ // as everybody writes it
		return nil
	}
	var buf [24]byte
	b, err := s.value(buf[:0])
	if err != nil {
		return err
	}
	if string(b) != "1" {
		return sh.wrong(member, "1, the only version of the protocol this node speaks")
	}
	return nil
}

// count reads an integer from 0 to 2^53-1.
func (s *scanner) count(sh *shape, member int) (uint64, error) {
	var buf [24]byte
	b, err := s.value(buf[:0])
	if err != nil {
		return 0, err
	}
	n, ok := parseCount(b)
	if !ok {
		return 0, sh.wrong(member, "a whole number from 0 to 2^53-1")
	}
	return n, nil
}

func parseCount(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

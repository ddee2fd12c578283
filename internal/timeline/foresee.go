package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/standing"
)

// Foresee has ahead called whenever decision rows have to be read from the store,
// so that what comes next is read with the same question: ahead(i, state) asks of
// the state what the i-th span from the present one on will ask, which is the 0th,
// and says whether there is such a span. The state answers as Decisions does what
// is known, and otherwise that there is nothing, so that what is concluded from it
// may be wrong, and asks again where a row that it then finds leads further. It
// serves one call. ahead asks nothing of Decisions.
func (s *Session) Foresee(ahead func(i int, state DecisionState) bool) { s.ahead = ahead }

const (
	// worthwhile is of how many spans that are looked at one at least must want
	// something for the next ones to be looked at: to look costs about as much as
	// to decide.
	worthwhile = 8
	// mostForeseen bounds how many spans one session looks at, where what one
	// leaves behind leads the next to rows that nobody foresaw.
	mostForeseen = 8000
	// mostAsks bounds one question.
	mostAsks = 8000
)

// foreseen is what the next spans will ask of the store, for whoever holds the
// overlay's lock.
func (s *Session) foreseen() []Ask {
	if s.ahead == nil {
		return nil
	}
	f := &foresight{s: s, asked: map[Ask]bool{}}
	state := &overlay{base: f, changed: s.rows.changed}
	wanting := 0
	for i, look := 0, worthwhile; s.foresaw < mostForeseen && len(f.asks) < mostAsks; i++ {
		if i == look {
			if wanting < look/worthwhile {
				break
			}
			look *= 2
		}
		before := len(f.asks)
		if !s.ahead(i, state) {
			break
		}
		s.foresaw++
		if len(f.asks) > before {
			wanting++
		}
	}
	return f.asks
}

// foresight is the decision rows that this process knows of at a session's head.
// It notes what else was asked for.
type foresight struct {
	s     *Session
	asks  []Ask
	asked map[Ask]bool
}

var _ rowBase = (*foresight)(nil)

func (f *foresight) want(asks ...Ask) {
	for _, a := range asks {
		if !f.asked[a] {
			f.asked[a] = true
			f.asks = append(f.asks, a)
		}
	}
}

func (f *foresight) get(_ context.Context, key string) ([]byte, error) {
	value, known := f.s.lv.rows.get(key)
	if !known {
		f.want(askKey(key))
	}
	return value, nil
}

func (f *foresight) rows(_ context.Context, a Ask) ([]standing.Row, error) {
	rows, known := f.s.lv.rows.rows(&a)
	if !known {
		f.want(withAhead(a)...)
	}
	return rows, nil
}

package timeline

// MaxPageBytes bounds what one Select, Range or Query gives, in bytes of line,
// payload and detail. A page's first record is given whatever its size.
const MaxPageBytes = 8 << 20

// Budget is what a page may still take, in bytes. It belongs to one reader.
type Budget struct {
	left  int
	begun bool
}

// NewBudget is a page of at most that many bytes, MaxPageBytes for 0.
func NewBudget(bytes int) Budget {
	if bytes <= 0 || bytes > MaxPageBytes {
		bytes = MaxPageBytes
	}
	return Budget{left: bytes}
}

// Takes tells whether the record still goes on the page, and counts it if so.
func (b *Budget) Takes(r *Record) bool {
	size := r.size()
	if b.begun && size > b.left {
		return false
	}
	b.left -= size
	b.begun = true
	return true
}

// size is what a record counts for, in bytes.
func (r *Record) size() int { return len(r.Line) + len(r.Payload) + len(r.Detail) }

package bundle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/semaphore"
)

// rawLine is one line as read, without its newline. A line beyond the limit
// keeps its first bytes only.
type rawLine struct {
	number  int // from 1
	bytes   []byte
	tooLong bool
}

// lineReader cuts a stream into lines of bounded length.
type lineReader struct {
	in     *bufio.Reader
	number int
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 128<<10)}
}

// next is the next line, or io.EOF. The bytes belong to the caller.
func (l *lineReader) next(limit int) (rawLine, error) {
	line, buf, err := l.appendNext(nil, limit)
	line.bytes = buf
	return line, err
}

// appendNext is next with the line's bytes appended to dst, as the slice given
// back has them; line.bytes is left nil.
func (l *lineReader) appendNext(dst []byte, limit int) (rawLine, []byte, error) {
	line := rawLine{number: l.number + 1}
	begin := len(dst)
	for {
		part, err := l.in.ReadSlice('\n')
		if room := limit + 1 - (len(dst) - begin); len(part) > 0 && room > 0 {
			dst = append(dst, part[:min(len(part), room)]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(dst) == begin {
				return rawLine{}, dst, io.EOF
			}
		case err != nil:
			return line, dst, fmt.Errorf("read bundle, line %d: %w", line.number, err)
		}
		l.number++
		if dst[len(dst)-1] == '\n' {
			dst = dst[:len(dst)-1]
		}
		line.tooLong = len(dst)-begin > limit
		return line, dst, nil
	}
}

const (
	chunkLines = 64
	chunkBytes = 256 << 10
	// maxInFlight bounds the bytes of lines read and not folded yet.
	maxInFlight = 64 << 20
)

// chunk is a run of lines that one worker checks.
type chunk struct {
	lines []checkedLine
	text  []byte        // the lines' bytes, until they are checked
	err   error         // of reading on after these lines
	done  chan struct{} // receives once, when the lines are checked
}

// size is the room that a chunk takes, in bytes.
func (c *chunk) size() int64 { return min(int64(len(c.text)), maxInFlight) }

// read fills the chunk with the next lines and says whether there may be more.
func (c *chunk) read(in *lineReader, limit int) (more bool) {
	c.lines, c.text, c.err = c.lines[:0], c.text[:0], nil
	var ends [chunkLines]int
	for len(c.lines) < chunkLines && len(c.text) < chunkBytes {
		line, text, err := in.appendNext(c.text, limit)
		if c.text = text; err != nil {
			if !errors.Is(err, io.EOF) {
				c.err = err
			}
			break
		}
		ends[len(c.lines)] = len(text)
		c.lines = append(c.lines, checkedLine{rawLine: line})
		more = true
	}
	begin := 0
	for i := range c.lines { // now that text does not move any more
		c.lines[i].bytes = c.text[begin:ends[i]:ends[i]]
		begin = ends[i]
	}
	return more && c.err == nil
}

// checking is lines being read and checked each by itself, in parallel.
type checking struct {
	room    *semaphore.Weighted // for lines read and not folded yet
	ordered chan *chunk         // in order, each to be waited for
	spare   chan *chunk         // folded, to be filled again
}

func newChecking(workers int) *checking {
	return &checking{
		room:    semaphore.NewWeighted(maxInFlight),
		ordered: make(chan *chunk, 2*workers),
		spare:   make(chan *chunk, 2*workers),
	}
}

// run reads the rest of the stream. It returns, with ordered closed, when the
// stream or the context ends.
func (c *checking) run(ctx context.Context, in *lineReader, checker *lineChecker, workers int) {
	work := make(chan *chunk, workers)
	finished := make(chan struct{})
	for range workers {
		go func() {
			defer func() { finished <- struct{}{} }()
			own := *checker
			for c := range work {
				for i := range c.lines {
					own.check(&c.lines[i])
				}
				c.done <- struct{}{}
			}
		}()
	}
	for more := true; more && ctx.Err() == nil; {
		next := c.fresh()
		more = next.read(in, checker.maxLine)
		if c.room.Acquire(ctx, next.size()) != nil {
			break
		}
		select {
		case c.ordered <- next:
			work <- next
		case <-ctx.Done():
			more = false
		}
	}
	close(work)
	for range workers {
		<-finished
	}
	close(c.ordered)
}

func (c *checking) fresh() *chunk {
	select {
	case spare := <-c.spare:
		return spare
	default:
		return &chunk{done: make(chan struct{}, 1)}
	}
}

// folded gives a chunk's room back. Nothing of its lines is used any more. One
// with long lines is not kept.
func (c *checking) folded(done *chunk) {
	c.room.Release(done.size())
	if cap(done.text) > 4*chunkBytes {
		return
	}
	select {
	case c.spare <- done:
	default:
	}
}

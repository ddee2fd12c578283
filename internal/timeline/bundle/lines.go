package bundle

import (
	"bufio"
	"bytes"
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
	line := rawLine{number: l.number + 1}
	for {
		part, err := l.in.ReadSlice('\n')
		if room := limit + 1 - len(line.bytes); len(part) > 0 && room > 0 {
			line.bytes = append(line.bytes, part[:min(len(part), room)]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			if len(line.bytes) == 0 {
				return rawLine{}, io.EOF
			}
		case err != nil:
			return rawLine{}, fmt.Errorf("read bundle, line %d: %w", line.number, err)
		}
		l.number++
		line.bytes = bytes.TrimSuffix(line.bytes, []byte("\n"))
		line.tooLong = len(line.bytes) > limit
		return line, nil
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
	size  int64 // of room taken, in bytes
	err   error // of reading on after these lines
	done  chan struct{}
}

// checkAll reads the rest of the stream and checks each line by itself, in
// parallel, handing the chunks on in order; each must be waited for, and its
// size given back to room. It returns when the stream or the context ends.
func checkAll(ctx context.Context, in *lineReader, limit, workers int, check func(*checkedLine), room *semaphore.Weighted, ordered chan<- *chunk) {
	work := make(chan *chunk, workers)
	finished := make(chan struct{})
	for range workers {
		go func() {
			defer func() { finished <- struct{}{} }()
			for c := range work {
				for i := range c.lines {
					check(&c.lines[i])
				}
				close(c.done)
			}
		}()
	}
	for more := true; more && ctx.Err() == nil; {
		c := &chunk{done: make(chan struct{})}
		for len(c.lines) < chunkLines && c.size < chunkBytes {
			line, err := in.next(limit)
			if err != nil {
				more = false
				if !errors.Is(err, io.EOF) {
					c.err = err
				}
				break
			}
			c.size += int64(len(line.bytes))
			c.lines = append(c.lines, checkedLine{rawLine: line})
		}
		if c.size = min(c.size, maxInFlight); room.Acquire(ctx, c.size) != nil {
			break
		}
		select {
		case ordered <- c:
			work <- c
		case <-ctx.Done():
			more = false
		}
	}
	close(work)
	for range workers {
		<-finished
	}
	close(ordered)
}

package jsonl

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/danvoulez/logline/internal/fault"
)

// DefaultMaxLine is the longest line that is read, in bytes, unless told
// otherwise; MostMaxLine is the most that may be told.
const (
	DefaultMaxLine = 8 << 20
	MostMaxLine    = 256 << 20
)

// A compressed file that expands more than maxRatio times is taken for a bomb,
// once ratioFrom bytes have come out of it.
const (
	maxRatio  = 250
	ratioFrom = 16 << 20
)

// maxWindow bounds the memory that a zstd stream may ask for, in bytes.
const maxWindow = 128 << 20

var errBomb = fault.Newf(fault.Invalid, "input_expands_too_far",
	"the compressed input expands more than %d times, which looks like an attack; if it is not, decompress it and import that", maxRatio)

// decompress gives the plain bytes of gzip, zstd or plain input, told apart by
// their first bytes. What comes out is bounded by maxRatio.
func decompress(in io.Reader) (io.Reader, func(), error) {
	nothing := func() {}
	counted := &counter{r: in}
	buf := bufio.NewReaderSize(counted, 64<<10)
	head, err := buf.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nothing, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, nothing, err
		}
		return &ratioReader{out: z, in: counted}, nothing, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buf, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, nothing, err
		}
		return &ratioReader{out: z, in: counted}, z.Close, nil
	}
	return buf, nothing, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// ratioReader stops a stream that expands too far.
type ratioReader struct {
	out io.Reader
	in  *counter
	n   int64
}

func (r *ratioReader) Read(p []byte) (int, error) {
	n, err := r.out.Read(p)
	r.n += int64(n)
	if r.n > ratioFrom && r.n/maxRatio > r.in.n {
		return 0, errBomb
	}
	return n, err
}

// line is one line of the input.
type line struct {
	number int64  // counted from 1
	raw    []byte // without its end, cut at the limit
	length int64  // before it was cut
}

// lineReader gives the lines of an input one by one, none longer in memory than
// max bytes.
type lineReader struct {
	in     *bufio.Reader
	max    int
	number int64
}

var bom = []byte("\xef\xbb\xbf")

// next reads a line; io.EOF is the end.
func (r *lineReader) next() (line, error) {
	l := line{number: r.number + 1}
	for {
		chunk, err := r.in.ReadSlice('\n')
		l.length += int64(len(chunk))
		if room := r.max + 1 - len(l.raw); room > 0 { // one more, for the line's end
			l.raw = append(l.raw, chunk[:min(room, len(chunk))]...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && l.length == 0:
			return l, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return l, err
		}
		break
	}
	r.number++
	if bytes.HasSuffix(l.raw, []byte("\n")) {
		l.raw, l.length = l.raw[:len(l.raw)-1], l.length-1
	}
	if l.number == 1 {
		l.raw = bytes.TrimPrefix(l.raw, bom)
	}
	l.raw = l.raw[:min(len(l.raw), r.max)]
	return l, nil
}

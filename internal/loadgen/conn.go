package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// inline is how long a request may be that is written before its answer is
// read; a server may answer the first lines of a longer one while it reads the rest.
const inline = 64 << 10

// conn is one connection of HTTP/1.1 that costs its caller next to nothing: of
// what shares a machine with a server that is measured, nothing should be in
// its way. It knows what LogLine's server answers and no more of HTTP. Not safe
// for concurrent use.
type conn struct {
	net    net.Conn
	in     *bufio.Reader
	head   []byte // of every request, up to the value of Content-Length
	out    []byte
	answer []byte
}

// dial connects to the server of target, whose path every request is sent to.
func dial(ctx context.Context, target, contentType string) (*conn, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" {
		return nil, fmt.Errorf("%s: the load is sent by plain http", target)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &conn{net: nc, in: bufio.NewReaderSize(nc, 64<<10), head: fmt.Appendf(nil,
		"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: ", u.RequestURI(), u.Host, contentType)}, nil
}

func (c *conn) close() error { return c.net.Close() }

// post sends a body and returns the answer, which is good until the next call.
func (c *conn) post(body []byte) (status int, answer []byte, err error) {
	c.out = append(strconv.AppendInt(append(c.out[:0], c.head...), int64(len(body)), 10), "\r\n\r\n"...)
	if len(body) <= inline {
		c.out = append(c.out, body...)
		if _, err := c.net.Write(c.out); err != nil {
			return 0, nil, err
		}
		return c.read()
	}
	written := make(chan error, 1)
	go func() {
		buffers := net.Buffers{c.out, body}
		_, err := buffers.WriteTo(c.net)
		written <- err
	}()
	status, answer, err = c.read()
	if err != nil {
		_ = c.net.Close() // ends the writing
	}
	return status, answer, errors.Join(err, <-written)
}

// read reads one answer.
func (c *conn) read() (status int, answer []byte, err error) {
	line, err := c.line()
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, fmt.Errorf("no answer in HTTP/1.1: %.100q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, nil, err
	}
	length, chunked, err := c.headers()
	if err != nil {
		return 0, nil, err
	}
	c.answer = c.answer[:0]
	if chunked {
		return status, c.answer, c.chunks()
	}
	err = c.take(length)
	return status, c.answer, err
}

// headers reads to the empty line.
func (c *conn) headers() (length int, chunked bool, err error) {
	for {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return length, chunked, err
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
}

// chunks reads a body in chunks (RFC 9112 §7.1) and what follows it.
func (c *conn) chunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return err
		}
		if n == 0 {
			_, _, err = c.headers()
			return err
		}
		if err := c.take(int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(len("\r\n")); err != nil {
			return err
		}
	}
}

// take adds n bytes to the answer.
func (c *conn) take(n int) error {
	at := len(c.answer)
	if cap(c.answer) < at+n {
		grown := make([]byte, at, 2*(at+n))
		copy(grown, c.answer)
		c.answer = grown
	}
	c.answer = c.answer[:at+n]
	_, err := io.ReadFull(c.in, c.answer[at:])
	return err
}

// line reads a line, without its end.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'}), nil
}

var (
	seqBefore   = []byte(`,"seq":`)
	lineCreated = []byte(`,"status":201,`)
)

// receipts holds the answer to a request of lines spans against what it must
// be, a receipt for each, and adds their seqs.
func receipts(seqs []uint64, status int, answer []byte, lines int) ([]uint64, error) {
	before := len(seqs)
	switch {
	case lines == 1 && status == http.StatusCreated:
		seqs = appendSeq(seqs, answer)
	case lines > 1 && status == http.StatusOK:
		for len(answer) > 0 {
			end := bytes.IndexByte(answer, '\n') + 1
			if end == 0 {
				break
			}
			if bytes.Contains(answer[:min(end, 64)], lineCreated) {
				seqs = appendSeq(seqs, answer[:end])
			}
			answer = answer[end:]
		}
	}
	if len(seqs)-before != lines {
		return nil, fmt.Errorf("%d of %d spans have a receipt; status %d: %.500s", len(seqs)-before, lines, status, answer)
	}
	return seqs, nil
}

// appendSeq adds the seq of a receipt, nothing where there is none.
func appendSeq(seqs []uint64, receipt []byte) []uint64 {
	at := bytes.Index(receipt, seqBefore)
	if at < 0 {
		return seqs
	}
	var seq uint64
	digits := receipt[at+len(seqBefore):]
	for len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9' {
		seq, digits = seq*10+uint64(digits[0]-'0'), digits[1:]
	}
	return append(seqs, seq)
}

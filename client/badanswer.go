package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// Codes of BadAnswer.
const (
	CodeTooLarge   = "answer_too_large"   // more bytes than any answer to that question has
	CodeUnreadable = "answer_unreadable"  // not what the API says: no JSON, a member twice, another shape
	CodeBrokenOff  = "answer_broken_off"  // the connection ended before the answer did
	CodeStalled    = "answer_stalled"     // nothing came for longer than the client's patience
	CodeRedirected = "redirect_refused"   // the question would have gone to another host
	CodeDisorder   = "feed_out_of_order"  // a feed left something out or told it twice, again and again
	CodeFeedBad    = "feed_unreadable"    // a feed sent what is no message
	CodeOtherFeed  = "feed_other_tenant"  // a feed went on with another tenant
	CodeLineCount  = "answer_count_wrong" // not one result for each line sent
)

// BadAnswer is an answer that no honest node gives, or none: what answers there
// is broken, lies, or is no node. Code is stable; Detail is for people.
type BadAnswer struct {
	Code   string
	Detail string
	Err    error // the cause, where there is one
}

// Error says detail and code.
func (b *BadAnswer) Error() string {
	if b.Err != nil {
		return fmt.Sprintf("%s (%s): %v", b.Detail, b.Code, b.Err)
	}
	return fmt.Sprintf("%s (%s)", b.Detail, b.Code)
}

func (b *BadAnswer) Unwrap() error { return b.Err }

// Lost says that the answer did not come, or not to its end, so that trying
// again may help; else it came and is bad.
func (b *BadAnswer) Lost() bool {
	return b.Code == CodeBrokenOff || b.Code == CodeStalled || b.Code == CodeLineCount
}

func badAnswer(code string, err error, format string, args ...any) error {
	return &BadAnswer{Code: code, Detail: fmt.Sprintf(format, args...), Err: err}
}

// Most bytes of an answer that is held in memory, as it is after decompression.
const (
	maxSmall   = 32 << 20  // of anything but entries
	maxEntries = 256 << 20 // of entries: a page is 8 MiB, or one entry with the largest payload
)

// mostOf is how many bytes an answer of this shape may have.
func mostOf(v any) int64 {
	switch v.(type) {
	case *Page, *Record, *Why, *Graph, *Appended:
		return maxEntries
	}
	return maxSmall
}

// readAnswer reads a body of at most that many bytes.
func readAnswer(resp *http.Response, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, brokenOff(err, "the answer of %s", resp.Request.URL.Path)
	}
	if int64(len(body)) > most {
		return nil, badAnswer(CodeTooLarge, nil, "the answer of %s has more than %d bytes, and no node gives one so long; the rest was not read", resp.Request.URL.Path, most)
	}
	return body, nil
}

// brokenOff is the error of an answer that ended early, unless it says more
// itself.
func brokenOff(err error, format string, args ...any) error {
	if errors.As(err, new(*BadAnswer)) {
		return err
	}
	return badAnswer(CodeBrokenOff, err, format+" broke off; try again", args...)
}

// unreadable is the error of an answer that is not what the API says.
func unreadable(resp *http.Response, err error) error {
	return badAnswer(CodeUnreadable, err, "the answer of %s is not what its API says", resp.Request.URL.Path)
}

var errNotStrict = errors.New("it is not JSON, or names a member twice, so that two readers may understand two things")

// strictly refuses JSON that two readers may understand differently.
func strictly(body []byte) error {
	if !jsontext.Value(body).IsValid() {
		return errNotStrict
	}
	return nil
}

package webhook

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/danvoulez/logline/internal/fault"
)

// Outcome is what to do after an attempt.
type Outcome string

// The outcomes.
const (
	Delivered Outcome = "delivered" // the receiver said so (2xx)
	Retry     Outcome = "retry"     // another attempt may succeed
	GiveUp    Outcome = "give_up"   // it would not
)

// Result is what came of one attempt. All of it may be shown to whoever may
// read about the delivery: nothing in it names the address or a secret.
type Result struct {
	Outcome    Outcome
	Code       string        // stable, of the kind of failure; "" when delivered
	Why        string        // in words, with what to do
	Status     int           // of the answer; 0: there was none
	Answer     string        // the beginning of its body, as text on one line
	Took       time.Duration // the whole attempt
	RetryAfter time.Duration // at least to wait before the next one, where the receiver asks for it
}

// MaxRetryAfter bounds what a receiver can ask for.
const MaxRetryAfter = time.Hour

// MaxAnswerBytes is how much of an answer's body is read, and told.
const MaxAnswerBytes = 256

// Err is the result as an error: nil when it was delivered, unavailable for
// another attempt, another kind otherwise.
func (r Result) Err() error {
	switch r.Outcome {
	case Delivered:
		return nil
	case Retry:
		return fault.New(fault.Unavailable, r.Code, r.Why).After(r.RetryAfter)
	}
	kind := fault.Invalid
	switch r.Code {
	case CodeGone:
		kind = fault.Gone
	case CodeAddress:
		kind = fault.Forbidden
	}
	return fault.New(kind, r.Code, r.Why)
}

// The codes of results.
const (
	CodeURL         = "webhook_url"              // the address is not acceptable (any more)
	CodeAddress     = "webhook_address_refused"  // the name stands for addresses that are not called
	CodeUnresolved  = "webhook_name_unresolved"  // the name stands for nothing
	CodeUnreachable = "webhook_unreachable"      // no connection
	CodeConnectSlow = "webhook_connect_timeout"  // none in time
	CodeTLS         = "webhook_tls"              // the certificate does not hold, or there is no TLS
	CodeTimeout     = "webhook_answer_timeout"   // no answer in time
	CodeCut         = "webhook_cut"              // the connection ended before the answer
	CodeMalformed   = "webhook_answer_malformed" // what came is no HTTP
	CodeHeaders     = "webhook_answer_headers"   // too much of them
	CodeStopped     = "webhook_stopped"          // by whoever sends
	CodeFailing     = "webhook_failing"          // 5xx, 408, 425
	CodeBusy        = "webhook_busy"             // 429
	CodeRefused     = "webhook_refused"          // other 4xx, and what is no answer to a request
	CodeRedirected  = "webhook_redirected"       // 3xx
	CodeGone        = "webhook_gone"             // 410
)

// byStatus is what an answer says.
func byStatus(status int, header http.Header, now time.Time) Result {
	n := strconv.Itoa(status)
	r := Result{Status: status, Outcome: Retry, RetryAfter: retryAfter(header.Get("Retry-After"), now)}
	switch {
	case status >= 200 && status <= 299:
		return Result{Status: status, Outcome: Delivered, Why: "delivered: the receiver answered " + n}
	case status == http.StatusTooManyRequests:
		r.Code, r.Why = CodeBusy, "the receiver asks for fewer requests (429); it is sent again"
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		r.Code, r.Why = CodeFailing, "the receiver failed ("+n+"); it is sent again"
	case status == http.StatusGone:
		r = Result{Status: status, Outcome: GiveUp, Code: CodeGone, Why: "the receiver wants no more of these (410); delete the webhook, or set its new address"}
	case status >= 300 && status <= 399:
		r = Result{Status: status, Outcome: GiveUp, Code: CodeRedirected, Why: "the receiver points elsewhere (" + n + "), and redirections are not followed; set the address that it points to, if you trust it"}
	default:
		r = Result{Status: status, Outcome: GiveUp, Code: CodeRefused, Why: "the receiver refused it (" + n + "); sending it again would not help, until the receiver is mended"}
	}
	return r
}

// retryAfter reads a Retry-After header (RFC 9110 §10.2.3): seconds or a date;
// 0 for nonsense, and never more than MaxRetryAfter.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > 64 {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n > int64(MaxRetryAfter/time.Second) { // more than anybody can wait for
			return MaxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}

// beginning is the beginning of an answer's body as text on one line that any
// terminal can show: what is not printable is a space, or U+FFFD.
func beginning(body []byte) string {
	text := strings.ToValidUTF8(string(body), "\uFFFD")
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
	if len(text) > MaxAnswerBytes {
		text = strings.ToValidUTF8(text[:MaxAnswerBytes], "")
	}
	return strings.TrimSpace(text)
}

// failure is a result without an answer.
func failure(outcome Outcome, code, why string) Result {
	return Result{Outcome: outcome, Code: code, Why: cmp.Or(why, code)}
}

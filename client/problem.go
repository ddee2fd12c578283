package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const problemPrefix = "urn:logline:problem:"

// Field points at one wrong place in what was sent.
type Field struct {
	Pointer string `json:"pointer"` // JSON Pointer (RFC 6901)
	Detail  string `json:"detail"`
}

// Problem is a refusal or failure the node answered with (RFC 9457). Code is
// stable and tells one cause from another; Detail is for people.
type Problem struct {
	Code       string
	Status     int // HTTP status
	Title      string
	Detail     string
	Instance   string         // request id, for whoever reads the node's log
	Fields     []Field        // what in the input was wrong, and where
	Meta       map[string]any // members that belong to the code; numbers are json.Number
	RetryAfter time.Duration  // 0 when the node did not say
}

// Error says code and detail, with every place named.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", p.Detail, p.Code)
	for _, f := range p.Fields {
		fmt.Fprintf(&b, "; %s: %s", f.Pointer, f.Detail)
	}
	return b.String()
}

// CodeOf is the problem code in err's chain, "" when there is none.
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// UnmarshalJSON reads a problem document.
func (p *Problem) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	var doc struct {
		Type, Title, Detail, Instance string
		Status                        int
		Errors                        []Field
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	var meta map[string]any
	if err := dec.Decode(&meta); err != nil {
		return err
	}
	for _, known := range []string{"type", "title", "status", "detail", "instance", "errors"} {
		delete(meta, known)
	}
	*p = Problem{
		Code: codeOfType(doc.Type), Status: doc.Status, Title: doc.Title,
		Detail: doc.Detail, Instance: doc.Instance, Fields: doc.Errors, Meta: meta,
	}
	return nil
}

// codeOfType is the code in a problem's type, "" where it is none of a node's:
// codes are printed and compared, so nothing else passes for one.
func codeOfType(typ string) string {
	code, ours := strings.CutPrefix(typ, problemPrefix)
	if !ours || len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return ""
	}
	return code
}

// problemOf reads the problem an answer carries, or makes one up for answers
// that come from something else than a node (a proxy, say).
func problemOf(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", resp.Request.URL.Path, err)
	}
	p := new(Problem)
	if err := json.Unmarshal(body, p); err != nil || p.Code == "" {
		p = &Problem{
			Code: "http_" + strconv.Itoa(resp.StatusCode), Title: http.StatusText(resp.StatusCode),
			Detail: fmt.Sprintf("%s answered %s and not as a LogLine node does", resp.Request.URL.Host, resp.Status),
		}
	}
	p.Status = resp.StatusCode
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		p.RetryAfter = time.Duration(s) * time.Second
	}
	return p
}

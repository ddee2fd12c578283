package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeText   = "text/plain; charset=utf-8"
)

// mediaType is the request's content type without parameters; "" when it has
// none or is not one, names a character set other than UTF-8, or comes compressed.
func mediaType(req *http.Request) string {
	if encoding := req.Header.Get(echo.HeaderContentEncoding); encoding != "" && encoding != "identity" {
		return ""
	}
	said := req.Header.Get(echo.HeaderContentType)
	if said == typeJSON || said == typeNDJSON {
		return said
	}
	typ, params, err := mime.ParseMediaType(said)
	if err != nil {
		return ""
	}
	if set, ok := params["charset"]; ok && !equalFoldASCII(set, "utf-8") {
		return ""
	}
	return typ
}

// readBody reads a body of at most limit bytes whole.
func (s *Server) readBody(c echo.Context, limit int) ([]byte, error) {
	req := c.Request()
	if req.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	rc := http.NewResponseController(c.Response().Writer)
	from := io.Reader(req.Body)
	if req.ContentLength < 0 || req.ContentLength > firstRoom {
		from = &bodyReader{r: from, rc: rc, last: time.Now().Add(s.limits.Stall)}
	}
	body, err := readWhole(from, req.ContentLength, limit, func(n int) error { return s.hold(c, n) })
	var refused *fault.Error
	if errors.As(err, &refused) {
		return nil, err
	}
	if err != nil {
		return nil, errIncomplete.Because(err)
	}
	// The deadline was for sending; it must not end the work that follows.
	_ = rc.SetReadDeadline(time.Time{})
	if len(body) > firstRoom { // may have taken the time for the answer too
		_ = rc.SetWriteDeadline(time.Now().Add(4 * s.limits.Stall))
	}
	return body, nil
}

// readWhole reads the announced number of bytes or, where that is negative, all
// there are, at most limit. To announce costs nothing, so the memory grows with
// what has come; for most bodies it is one allocation. hold is asked for what
// goes beyond firstRoom.
func readWhole(r io.Reader, announced int64, limit int, hold func(n int) error) ([]byte, error) {
	most, first := int(announced), firstRoom
	if announced < 0 {
		most, first = limit+1, 4<<10 // one byte more than may come
	}
	body := make([]byte, 0, min(most, first))
	for len(body) < most {
		if len(body) == cap(body) {
			size := min(most, 4*cap(body))
			if size > firstRoom {
				if err := hold(size - cap(body)); err != nil {
					return nil, err
				}
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF && announced < 0, err == io.EOF && len(body) == most:
			return body, nil
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
	}
	if announced < 0 {
		return nil, tooLarge(limit)
	}
	return body, nil
}

func tooLarge(limit int) error {
	return fault.Newf(fault.Invalid, "body_too_large", "the body has more than the %d bytes taken here", limit)
}

// bind reads a JSON body strictly: unknown and duplicate members are refused.
func (s *Server) bind(c echo.Context, into any) error {
	if mediaType(c.Request()) != typeJSON {
		return errMediaType
	}
	body, err := s.readBody(c, s.limits.Body)
	if err != nil {
		return err
	}
	return decodeStrict(body, into)
}

// decodeStrict reads JSON; unknown and duplicate members are refused.
func decodeStrict(body []byte, into any) error {
	if jsontext.Value(body).Kind() == 'n' {
		return errBody.At("", "is null, where an object is asked for")
	}
	if err := jsonv2.Unmarshal(body, into, jsonv2.RejectUnknownMembers(true)); err != nil {
		return malformed(err)
	}
	return nil
}

var errBody = fault.New(fault.Invalid, "body_malformed", "the body is not the JSON asked for here")

// malformed says what is wrong with a body and where, in the words of the API
// and not of the decoder's types.
func malformed(err error) error {
	var meaning *jsonv2.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errBody.At("", "ends too soon").Because(err)
	case errors.As(err, &meaning) && errors.Is(err, jsonv2.ErrUnknownName):
		return errBody.At(near(meaning.JSONPointer), "is not asked for here").Because(err)
	case errors.As(err, &meaning):
		return errBody.At(near(meaning.JSONPointer), "is of another type than asked for").Because(err)
	case errors.As(err, &syntax) && errors.Is(err, jsontext.ErrDuplicateName):
		return errBody.At(near(syntax.JSONPointer), "is given twice").Because(err)
	case errors.As(err, &syntax):
		return errBody.At(near(syntax.JSONPointer), fmt.Sprintf("is not valid JSON at byte %d", syntax.ByteOffset)).Because(err)
	}
	return errBody.Because(err)
}

// maxPointer bounds what of a body's own structure is echoed, in bytes.
const maxPointer = 256

// near is a pointer, or the nearest place above it that is short enough to name.
func near(at jsontext.Pointer) string {
	if len(at) > maxPointer {
		at = at[:strings.LastIndexByte(string(at[:maxPointer]), '/')]
	}
	return string(at)
}

// answer renders v as JSON.
func answer(c echo.Context, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // notes and names stay readable, and no browser renders this
	if err := enc.Encode(v); err != nil {
		return err
	}
	return c.Blob(status, typeJSON, b.Bytes())
}

func equalFoldASCII(a, b string) bool {
	return len(a) == len(b) && bytes.EqualFold([]byte(a), []byte(b))
}

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
	typ, params, err := mime.ParseMediaType(req.Header.Get(echo.HeaderContentType))
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
	var body []byte
	var err error
	if req.ContentLength >= 0 {
		body, err = readAnnounced(req.Body, int(req.ContentLength))
	} else if body, err = io.ReadAll(io.LimitReader(req.Body, int64(limit)+1)); err == nil && len(body) > limit {
		return nil, tooLarge(limit)
	}
	if err != nil {
		return nil, errIncomplete.Because(err)
	}
	// The deadline was for sending; it must not end the work that follows.
	_ = http.NewResponseController(c.Response().Writer).SetReadDeadline(time.Time{})
	return body, nil
}

// firstRoom is what is made room for before anything of a body has come.
const firstRoom = 64 << 10

// readAnnounced reads n bytes. To announce them costs nothing, so the room grows
// with what has come; for most bodies it is one allocation.
func readAnnounced(r io.Reader, n int) ([]byte, error) {
	body := make([]byte, 0, min(n, firstRoom))
	for len(body) < n {
		if len(body) == cap(body) {
			body = append(make([]byte, 0, min(n, 4*cap(body))), body...)
		}
		more, err := io.ReadFull(r, body[len(body):cap(body)])
		if body = body[:len(body)+more]; err != nil {
			return nil, err
		}
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

package httpapi

import (
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
)

// firstRoom is what a body or an answer may take without being counted, in
// bytes: small ones go through whatever the large ones hold.
const firstRoom = 64 << 10

var errRoom = fault.New(fault.Unavailable, "server_busy",
	"the server holds as many large bodies and answers as it takes at once; nothing was done, send the request again, or ask for smaller pages").After(time.Second)

// room is the memory for large bodies and answers, of all requests together. A
// client that sends or reads slowly keeps its part for as long.
type room struct {
	mu   sync.Mutex // guards left
	left int        // bytes
}

func (r *room) take(n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > r.left {
		return false
	}
	r.left -= n
	return true
}

func (r *room) give(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left += n
}

const heldKey = "room" // of what the request holds, an int; most hold nothing

// hold takes n bytes of the room for the request, which admit gives back at its end.
func (s *Server) hold(c echo.Context, n int) error {
	if !s.room.take(n) {
		return errRoom
	}
	held, _ := c.Get(heldKey).(int)
	c.Set(heldKey, held+n)
	return nil
}

// holdRecords is hold for the answer that records make; size is about its bytes.
func (s *Server) holdRecords(c echo.Context, records ...timeline.Record) (size int, err error) {
	for i := range records {
		size += len(records[i].Line) + len(records[i].Payload) + len(records[i].Detail) + 256
	}
	if size > firstRoom {
		err = s.hold(c, size)
	}
	return size, err
}

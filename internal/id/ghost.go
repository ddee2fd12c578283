package id

import (
	"io"
	"time"

	"github.com/danvoulez/logline/internal/span"
)

// NewGhost makes a ghost for somebody who is passing through: one key of 32 bytes
// of rand, which never rotates, and an end.
func NewGhost(expires string, now time.Time, rand io.Reader) (*Keys, error) {
	primary, err := randomKey(rand)
	if err != nil {
		return nil, err
	}
	k := &Keys{primary: primary}
	return k, k.begin(&Event{Kind: KindInception, Subject: SubjectGhost, Key: primary.Public(), Time: span.FormatTime(now), Expires: expires})
}

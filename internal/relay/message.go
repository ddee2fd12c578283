package relay

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const (
	// MaxMessage bounds a message, in bytes: what PostgreSQL's NOTIFY takes.
	MaxMessage = 7999

	version      = "1"
	processBytes = 8
	maxAppended  = 100
	maxSize      = 1 << 53 // entries of a timeline
)

// message is what travels: whose it is, and which timelines have grown. As text
// "1 <process> <tenant>:<size> …", each once, at most 100.
type message struct {
	process  string
	appended []bus.Appended
}

func encode(m message) string {
	var b strings.Builder
	b.WriteString(version + " " + m.process)
	for _, a := range m.appended {
		b.WriteByte(' ')
		b.WriteString(a.Tenant)
		b.WriteByte(':')
		b.WriteString(strconv.FormatUint(a.Size, 10))
	}
	return b.String()
}

// parse reads a message and refuses what encode would not write.
func parse(text string) (message, error) {
	if len(text) > MaxMessage {
		return message{}, malformed("it is longer than 7999 bytes")
	}
	words := strings.Split(text, " ")
	if len(words) < 3 || len(words) > 2+maxAppended {
		return message{}, malformed("it has not 1 to 100 timelines")
	}
	m := message{process: words[1]}
	if name, err := hex.DecodeString(m.process); words[0] != version || err != nil || len(name) != processBytes || strings.ToLower(m.process) != m.process {
		return message{}, malformed("it has another version or no process")
	}
	for _, word := range words[2:] {
		tenant, digits, _ := strings.Cut(word, ":")
		size, err := strconv.ParseUint(digits, 10, 64)
		if !span.IsUUID(tenant) || err != nil || size > maxSize || strconv.FormatUint(size, 10) != digits {
			return message{}, malformed("it has something that is no tenant with its size")
		}
		m.appended = append(m.appended, bus.Appended{Tenant: tenant, Size: size})
	}
	return m, nil
}

func malformed(reason string) error {
	return fault.New(fault.Invalid, "relay_message_invalid", "a message between processes is not as this build writes it: "+reason)
}

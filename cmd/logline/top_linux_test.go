package main

import (
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// screen collects what a program draws on a terminal.
type screen struct {
	mu   sync.Mutex // guards seen
	seen string
}

func (s *screen) read(f *os.File) {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.Read(buf)
		s.mu.Lock()
		s.seen += string(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// last is the last whole frame.
func (s *screen) last() string {
	frames := strings.Split(s.text(), home)
	for i := len(frames) - 1; i > 0; i-- {
		if strings.Contains(frames[i], clearBelow) {
			return frames[i]
		}
	}
	return ""
}

func (s *screen) shows(t *testing.T, pattern string) {
	t.Helper()
	want := regexp.MustCompile(pattern)
	require.Eventually(t, func() bool { return want.MatchString(s.last()) }, time.Minute, 5*time.Millisecond, "the terminal never shows %s", pattern)
}

func resize(t *testing.T, f *os.File, columns, rows uint16) {
	t.Helper()
	size := [4]uint16{rows, columns}
	control(t, f, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
}

// On a terminal top is drawn in place, follows what happens, the size, and a node
// that goes and comes back, and leaves everything as it was when q is pressed.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	person, program := terminal(t)
	resize(t, person, 80, 24)
	room := newEngineRoom()
	top := newTop(room, program)
	top.env.Stdin, top.env.IsTerminal = program, true
	shown := &screen{}
	go shown.read(person)
	ended := make(chan error, 1)
	go func() { ended <- top.run(t.Context()) }()

	shown.shows(t, `1,234 queued, 16 running, 1 PARKED`)
	require.True(t, strings.HasPrefix(shown.text(), enterScreen))
	require.False(t, echoes(t, program), "keys are not shown")
	require.Contains(t, shown.last(), shadeCodes[alarm]+"acme")
	require.Contains(t, shown.last(), "q quits")
	room.set(func() { room.queues[0].Queued = 55 })
	shown.shows(t, `55 queued`)
	room.set(func() { room.gone = true })
	shown.shows(t, `(?s)55 queued.*cannot look: connection refused`)
	room.set(func() { room.gone = false; room.queues[0].Queued = 77 })
	shown.shows(t, `77 queued`)
	require.NotContains(t, shown.last(), "cannot look")
	resize(t, person, 30, 8)
	require.Eventually(t, func() bool { return shown.last() != "" && strings.Count(shown.last(), "\r\n") < 8 }, time.Minute, 5*time.Millisecond, "it follows the size")
	_, err := person.WriteString("xq")
	require.NoError(t, err)
	require.NoError(t, <-ended)
	require.Eventually(t, func() bool { return strings.HasSuffix(shown.text(), leaveScreen) }, time.Minute, 5*time.Millisecond)
	require.True(t, echoes(t, program), "the terminal is as it was")
}

// Colours are left out where the environment says so.
func TestTopWithoutColours(t *testing.T) {
	t.Parallel()
	person, program := terminal(t)
	resize(t, person, 80, 24)
	top := newTop(newEngineRoom(), program)
	top.env.Stdin, top.env.IsTerminal = program, true
	top.env.Getenv = func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] }
	shown := &screen{}
	go shown.read(person)
	ended := make(chan error, 1)
	go func() { ended <- top.run(t.Context()) }()
	shown.shows(t, `1 PARKED`)
	require.NotRegexp(t, `\x1b\[[0-9;]*m`, shown.text())
	_, err := person.WriteString("\x03")
	require.NoError(t, err)
	require.NoError(t, <-ended)
}

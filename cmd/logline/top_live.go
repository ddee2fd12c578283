package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// terminal is the terminal that top draws on and hears keys from.
func (t *top) terminal() (in, out *os.File, ok bool) {
	stdout := t.env.Stdout
	if o, isOutput := stdout.(*output); isOutput {
		stdout = o.w
	}
	out, isFile := stdout.(*os.File)
	if !isFile || !term.IsTerminal(int(out.Fd())) {
		return nil, nil, false
	}
	if in, isFile = t.env.Stdin.(*os.File); !isFile || !term.IsTerminal(int(in.Fd())) {
		in = nil // it is drawn all the same; Ctrl-C ends it
	}
	return in, out, true
}

// What terminals do: ECMA-48, and xterm's other screen.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the other screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	resetShade  = "\x1b[0m"
)

var shadeCodes = [...]string{plain: "", heading: "\x1b[1m", warning: "\x1b[33m", alarm: "\x1b[1;31m"}

// resized is how often top looks whether the terminal has another size.
const resized = 200 * time.Millisecond

// live draws again and again in place, until ctx ends or somebody presses q. What
// the terminal showed before is there again afterwards.
func (t *top) live(ctx context.Context, in, out *os.File) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if in != nil {
		state, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(int(in.Fd()), state) }() // nothing better to do about it
		go quitOnKey(in, cancel)                                 // it ends with the next key, or the process
	}
	if _, err := io.WriteString(out, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(out, leaveScreen) }()

	looks := make(chan *topLook)
	go t.lookAgain(ctx, looks)
	size := time.NewTicker(resized)
	defer size.Stop()
	shown := &topLook{Node: t.where, at: t.env.Now()}
	width, height := sizeOf(out)
	for fresh := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case l := <-looks:
			if l.err != nil {
				if !passingTrouble(l.err) {
					return l.err
				}
				old := *shown // what was seen last stays
				old.err = l.err
				l = &old
			}
			shown, fresh = l, true
		case <-size.C:
			w, h := sizeOf(out)
			if w == width && h == height {
				continue
			}
			width, height = w, h
		}
		if !fresh {
			continue
		}
		if _, err := io.WriteString(out, t.frame(shown, width, height)); err != nil {
			return err
		}
	}
}

// lookAgain looks at once and then every so often, until ctx ends.
func (t *top) lookAgain(ctx context.Context, looks chan<- *topLook) {
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for {
		l, err := t.look(ctx)
		if err != nil {
			l = &topLook{err: err}
		}
		select {
		case looks <- l:
		case <-ctx.Done():
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// quitOnKey calls quit when q or Ctrl-C is pressed; raw terminals send no signal.
func quitOnKey(in io.Reader, quit func()) {
	key := make([]byte, 1)
	for {
		if _, err := in.Read(key); err != nil {
			return // nobody is there to press a key; signals end it
		}
		switch key[0] {
		case 'q', 'Q', 3:
			quit()
			return
		}
	}
}

// sizeOf is the terminal's size, or the usual one.
func sizeOf(out *os.File) (width, height int) {
	width, height, err := term.GetSize(int(out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}

// frame is what draws a look over the one before.
func (t *top) frame(l *topLook, width, height int) string {
	colours := t.env.Getenv("NO_COLOR") == ""
	var b strings.Builder
	b.WriteString(home)
	lines := l.render(width, height-1)
	for _, line := range append(lines, topLine{"q quits", plain}) {
		if b.Len() > len(home) {
			b.WriteString("\r\n")
		}
		if code := shadeCodes[line.shade]; colours && code != "" {
			b.WriteString(code + line.text + resetShade + clearLine)
		} else {
			b.WriteString(line.text + clearLine)
		}
	}
	b.WriteString(clearBelow)
	return b.String()
}

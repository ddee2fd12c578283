package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/danvoulez/logline/internal/secret/plant"
	"github.com/danvoulez/logline/internal/storage"
)

type serverKey struct{}

// scriptServer is the node that a script has started.
type scriptServer struct {
	cmd  *exec.Cmd
	read chan struct{} // closed at the end of stderr

	mu   sync.Mutex    // guards the rest
	log  bytes.Buffer  // its stderr; whole once read is closed
	more chan struct{} // closed at the next line
}

// scriptVars is what a script's processes are told; a script sets them by env.
var scriptVars = []string{
	"HOME", "XDG_CONFIG_HOME", "PATH", "TMPDIR", "WORK", "PORT", "DATABASE_URL", "REDIS_URL",
	"LOGLINE_DATA_DIR", "LOGLINE_BOOTSTRAP_TOKEN", "LOGLINE_MASTER_KEY", "LOGLINE_MASTER_KEY_FILE", "LOGLINE_MASTER_KEY_PREVIOUS", "LOGLINE_MASTER_KEY_PREVIOUS_FILE", "LOGLINE_MODULES", "LOGLINE_REGISTRATION", "LOGLINE_LOG_LEVEL",
}

func serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use status to see a server fail")
	}
	s := ts.Value(serverKey{}).(*scriptServer)
	if s.cmd != nil {
		ts.Fatalf("a server is running already")
	}
	path, err := exec.LookPath("logline")
	ts.Check(err)
	s.cmd = exec.Command(path, append([]string{"serve", "--listen=127.0.0.1:0", "--log-format=json"}, args...)...)
	s.cmd.Dir = ts.MkAbs(".")
	for _, name := range scriptVars {
		if v := ts.Getenv(name); v != "" {
			s.cmd.Env = append(s.cmd.Env, name+"="+v)
		}
	}
	stderr, err := s.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	ts.Defer(func() {
		if s.cmd != nil {
			s.end(ts, syscall.SIGKILL)
		}
	})
	s.log.Reset()
	s.read, s.more = make(chan struct{}), make(chan struct{})
	ready := make(chan string, 1)
	go s.follow(stderr, ready)
	select {
	case url := <-ready:
		ts.Setenv("URL", url)
		ts.Setenv("ADDR", strings.TrimPrefix(url, "http://"))
	case <-s.read:
		ts.Fatalf("the server ended before it was ready:\n%s", s.log.String())
	}
}

// follow copies the log and tells the URL in the line that says ready.
func (s *scriptServer) follow(stderr io.Reader, ready chan<- string) {
	defer close(s.read)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		s.mu.Lock()
		s.log.Write(append(lines.Bytes(), '\n'))
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		var line struct{ Msg, URL string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "ready" {
			select {
			case ready <- line.URL:
			default:
			}
		}
	}
}

// end sends the signal and waits for the process.
func (s *scriptServer) end(ts *testscript.TestScript, sig syscall.Signal) error {
	defer s.search(ts)
	cmd := s.cmd
	s.cmd = nil
	ts.Check(cmd.Process.Signal(sig))
	<-s.read // before Wait, which closes the pipe
	return cmd.Wait()
}

// search fails the script where its server printed what looks like a secret.
func (s *scriptServer) search(ts *testscript.TestScript) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := plant.Looks(s.log.Bytes()); len(found) > 0 {
		ts.Fatalf("secrets in what the server printed: %v", found)
	}
}

// awaitCmd runs a command until what it prints is as a pattern says.
func awaitCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await PATTERN command [args]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(time.Minute); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			ts.Fatalf("%v never printed %q", args[1:], args[0])
		}
	}
}

// loggedCmd waits until the running server has logged something.
func loggedCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*scriptServer)
	if neg || len(args) != 1 || s.cmd == nil {
		ts.Fatalf("usage: logged TEXT, while a server runs")
	}
	deadline := time.After(time.Minute)
	for {
		s.mu.Lock()
		found, more := bytes.Contains(s.log.Bytes(), []byte(args[0])), s.more
		s.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-s.read:
			ts.Fatalf("the server ended without logging %q", args[0])
		case <-deadline:
			ts.Fatalf("the server did not log %q", args[0])
		}
	}
}

// grabCmd sets a variable to what the last output has in the parentheses of a pattern.
func grabCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grab NAME PATTERN")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q is not in the output, or has not one pair of parentheses", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func signalCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*scriptServer)
	signals := map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGKILL": syscall.SIGKILL}
	if len(args) != 1 || signals[args[0]] == 0 || s.cmd == nil {
		ts.Fatalf("usage: signal SIGTERM|SIGINT|SIGKILL, while a server runs")
	}
	err := s.end(ts, signals[args[0]])
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "server.log"), s.log.Bytes(), 0o600))
	if err != nil && !neg {
		ts.Fatalf("the server ended with %v:\n%s", err, s.log.String())
	}
}

// agekeyCmd makes an age identity, as age-keygen would.
func agekeyCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agekey FILE NAME")
	}
	key, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(key.String()+"\n"), 0o600))
	ts.Setenv(args[1], key.Recipient().String())
}

func getCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: get PATH FILE")
	}
	resp, err := http.Get(ts.Getenv("URL") + args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
	if neg != (resp.StatusCode >= 400) {
		ts.Fatalf("GET %s: %s\n%s", args[0], resp.Status, body)
	}
}

// sqlCmd runs a statement on a SQLite file whose server has stopped.
func sqlCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := storage.Open(context.Background(), "sqlite:"+ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = db.Write.Exec(args[1])
	ts.Check(err)
	ts.Check(db.Close())
}

func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%v ended with %d, not %d", args[1:], got, want)
	}
}

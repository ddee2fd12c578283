package syscalls

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Trace is the main function of a tracer: os.Args[1:] are those of Wrap after
// the binary. It returns the program's exit code, 128 and the signal's number
// where one ended it.
func Trace(args []string) int {
	plan, command, err := parse(args)
	if err == nil {
		var code int
		if code, err = run(plan, command); err == nil {
			return code
		}
	}
	fmt.Fprintln(os.Stderr, "syscalls:", err)
	return 125
}

// Options of ptrace and of wait4 that package syscall does not name.
const (
	optExitKill = 0x100000
	stopSyscall = syscall.SIGTRAP | 0x80
	waitAll     = 0x40000000
)

// tracer is the state of one run. It works on one thread of the system.
type tracer struct {
	plan    Plan
	root    int // process id of the program
	out     *json.Encoder
	flush   func() error
	n       int              // changing calls so far
	threads map[int]*pending // those in a call that matters; nil value: in another call
}

// pending is a call between its beginning and its end.
type pending struct {
	call  Call
	fd    int // of a write, for its place
	fault Fault
	skip  bool // it was not let through
}

func run(plan Plan, command []string) (code int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t := &tracer{plan: plan, threads: map[int]*pending{}, flush: func() error { return nil }}
	if plan.Log != "" {
		f, err := os.OpenFile(plan.Log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		w := bufio.NewWriterSize(f, 1<<20)
		t.out, t.flush = json.NewEncoder(w), w.Flush
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	t.root = cmd.Process.Pid
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			_ = syscall.Kill(t.root, s.(syscall.Signal))
		}
	}()
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(t.root, &ws, waitAll, nil); err != nil {
		return 0, err
	}
	const options = syscall.PTRACE_O_TRACESYSGOOD | syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACEFORK |
		syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACEEXEC | optExitKill
	if err := syscall.PtraceSetOptions(t.root, options); err != nil {
		return 0, fmt.Errorf("ptrace: %w", err)
	}
	if err := syscall.PtraceSyscall(t.root, 0); err != nil {
		return 0, err
	}
	code, err = t.loop()
	return code, errors.Join(err, t.flush())
}

// loop follows every thread of the program and of its children.
func (t *tracer) loop() (code int, err error) {
	code = -1
	for {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, waitAll, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.ECHILD):
			return code, nil
		case err != nil:
			return code, err
		}
		if ws.Exited() || ws.Signaled() {
			delete(t.threads, tid)
			if tid == t.root {
				code = ws.ExitStatus()
				if ws.Signaled() {
					code = 128 + int(ws.Signal())
				}
			}
			continue
		}
		deliver := 0
		switch sig := ws.StopSignal(); {
		case sig == stopSyscall:
			if err := t.stop(tid); err != nil && !errors.Is(err, syscall.ESRCH) {
				return code, err
			}
		case sig == syscall.SIGTRAP && ws.TrapCause() > 0, sig == syscall.SIGSTOP: // a thread that begins
		default:
			deliver = int(sig)
		}
		if err := syscall.PtraceSyscall(tid, deliver); err != nil && !errors.Is(err, syscall.ESRCH) {
			return code, err
		}
	}
}

// stop is the beginning or the end of a call.
func (t *tracer) stop(tid int) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	begun, in := t.threads[tid]
	if in {
		delete(t.threads, tid)
		if begun == nil {
			return nil
		}
		return t.end(tid, begun, &regs)
	}
	p := t.begin(tid, &regs)
	t.threads[tid] = p
	if p == nil || p.call.Op == Said {
		return nil
	}
	if t.n == t.plan.At {
		p.fault = t.plan.Fault
	}
	t.n++
	switch p.fault {
	case Kill:
		return syscall.Kill(t.root, syscall.SIGKILL)
	case Half:
		if p.call.Op == Write {
			regs.Rdx /= 2
			return syscall.PtraceSetRegs(tid, &regs)
		}
		fallthrough
	case Fail, Full:
		p.skip = true
		regs.Orig_rax = ^uint64(0)
		return syscall.PtraceSetRegs(tid, &regs)
	}
	return nil
}

// end writes a call down, unless it failed, or makes it fail.
func (t *tracer) end(tid int, p *pending, regs *syscall.PtraceRegs) error {
	answer := int64(regs.Rax)
	if !p.skip && answer >= 0 {
		if err := t.record(tid, p, answer); err != nil {
			return err
		}
	}
	failure := syscall.EIO
	switch p.fault {
	case KillAfter:
		return syscall.Kill(t.root, syscall.SIGKILL)
	case Full, Half:
		failure = syscall.ENOSPC
	case Fail, FailAfter:
	default:
		return nil
	}
	regs.Rax = uint64(-int64(failure))
	return syscall.PtraceSetRegs(tid, regs)
}

func (t *tracer) record(tid int, p *pending, answer int64) error {
	if t.out == nil {
		return nil
	}
	c := p.call
	if c.Op == Write {
		c.Data = c.Data[:min(int64(len(c.Data)), answer)]
		if c.At < 0 { // the place after it is known
			after, err := position(tid, p.fd)
			if err != nil {
				return err
			}
			c.At = after - answer
		}
	}
	return t.out.Encode(c)
}

// Numbers of system calls that package syscall does not name on amd64.
const (
	sysRenameat2     = 316
	sysCopyFileRange = 326
	sysPwritev2      = 328
)

// begin is the call that a thread makes, nil where it changes nothing watched.
func (t *tracer) begin(tid int, r *syscall.PtraceRegs) *pending {
	at := func(dir uint64, path uint64) string { return t.path(tid, int32(dir), path) }
	const cwd = ^uint64(99) // AT_FDCWD
	var c Call
	switch r.Orig_rax {
	case syscall.SYS_WRITE, syscall.SYS_PWRITE64, syscall.SYS_WRITEV:
		return t.write(tid, r)
	case syscall.SYS_OPEN:
		return t.open(at(cwd, r.Rdi), r.Rsi)
	case syscall.SYS_OPENAT:
		return t.open(at(r.Rdi, r.Rsi), r.Rdx)
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC:
		c = Call{Op: Sync, Path: fdPath(tid, int(int32(r.Rdi)))}
	case syscall.SYS_FTRUNCATE:
		c = Call{Op: Truncate, Path: fdPath(tid, int(int32(r.Rdi))), At: int64(r.Rsi)}
	case syscall.SYS_TRUNCATE:
		c = Call{Op: Truncate, Path: at(cwd, r.Rdi), At: int64(r.Rsi)}
	case syscall.SYS_RENAME:
		c = Call{Op: Rename, Path: at(cwd, r.Rdi), To: at(cwd, r.Rsi)}
	case syscall.SYS_RENAMEAT, sysRenameat2:
		c = Call{Op: Rename, Path: at(r.Rdi, r.Rsi), To: at(r.Rdx, r.R10)}
	case syscall.SYS_LINK:
		c = Call{Op: Link, Path: at(cwd, r.Rdi), To: at(cwd, r.Rsi)}
	case syscall.SYS_LINKAT:
		c = Call{Op: Link, Path: at(r.Rdi, r.Rsi), To: at(r.Rdx, r.R10)}
	case syscall.SYS_UNLINK, syscall.SYS_RMDIR:
		c = Call{Op: Remove, Path: at(cwd, r.Rdi)}
	case syscall.SYS_UNLINKAT:
		c = Call{Op: Remove, Path: at(r.Rdi, r.Rsi)}
	case syscall.SYS_MKDIR:
		c = Call{Op: Mkdir, Path: at(cwd, r.Rdi)}
	case syscall.SYS_MKDIRAT:
		c = Call{Op: Mkdir, Path: at(r.Rdi, r.Rsi)}
	case syscall.SYS_PWRITEV, sysPwritev2, syscall.SYS_FALLOCATE:
		c = Call{Op: Unknown, Path: fdPath(tid, int(int32(r.Rdi)))}
	case syscall.SYS_SENDFILE:
		c = Call{Op: Unknown, Path: fdPath(tid, int(int32(r.Rdi)))}
	case sysCopyFileRange:
		c = Call{Op: Unknown, Path: fdPath(tid, int(int32(r.Rdx)))}
	case syscall.SYS_SYMLINK:
		c = Call{Op: Unknown, Path: at(cwd, r.Rsi)}
	default:
		return nil
	}
	if !below(c.Path, t.plan.Root) && !below(c.To, t.plan.Root) {
		return nil
	}
	if changesNothing(c) {
		return nil
	}
	return &pending{call: c}
}

// changesNothing knows calls that fail: their failure is no change either.
func changesNothing(c Call) bool {
	switch c.Op {
	case Mkdir:
		return exists(c.Path)
	case Remove, Rename:
		return !exists(c.Path)
	case Link:
		return exists(c.To)
	}
	return false
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// open is a call that makes or empties a file.
func (t *tracer) open(path string, flags uint64) *pending {
	if !below(path, t.plan.Root) {
		return nil
	}
	there := exists(path)
	switch {
	case !there && flags&syscall.O_CREAT != 0:
		return &pending{call: Call{Op: Create, Path: path}}
	case there && flags&syscall.O_TRUNC != 0 && flags&(syscall.O_CREAT|syscall.O_EXCL) != syscall.O_CREAT|syscall.O_EXCL:
		return &pending{call: Call{Op: Truncate, Path: path}}
	}
	return nil
}

// write is a call that gives bytes to a file, or to the outside.
func (t *tracer) write(tid int, r *syscall.PtraceRegs) *pending {
	fd := int(int32(r.Rdi))
	path := fdPath(tid, fd)
	c := Call{Op: Write, Path: path, At: -1}
	switch {
	case strings.HasPrefix(path, "socket:") || strings.HasPrefix(path, "pipe:"):
		if t.out == nil {
			return nil
		}
		c = Call{Op: Said, Path: path}
	case !below(path, t.plan.Root):
		return nil
	}
	switch r.Orig_rax {
	case syscall.SYS_WRITEV:
		if c.Op == Write {
			return &pending{call: Call{Op: Unknown, Path: path}}
		}
		for _, part := range vectors(tid, r.Rsi, r.Rdx) {
			c.Data = append(c.Data, memory(tid, part[0], part[1])...)
		}
	case syscall.SYS_PWRITE64:
		c.At = int64(r.R10)
		fallthrough
	default:
		c.Data = memory(tid, r.Rsi, r.Rdx)
	}
	return &pending{call: c, fd: fd}
}

func vectors(tid int, at, n uint64) (out [][2]uint64) {
	raw := memory(tid, at, n*16)
	for ; len(raw) >= 16; raw = raw[16:] {
		out = append(out, [2]uint64{binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])})
	}
	return out
}

// memory is n bytes of a thread's memory; fewer where they cannot be read.
func memory(tid int, at, n uint64) []byte {
	f, err := os.Open("/proc/" + strconv.Itoa(tid) + "/mem")
	if err != nil {
		return nil
	}
	defer f.Close()
	out := make([]byte, n)
	got, _ := f.ReadAt(out, int64(at))
	return out[:got]
}

// path is an absolute path that a thread names.
func (t *tracer) path(tid int, dir int32, at uint64) string {
	name := memory(tid, at, 4096)
	if len(name) == 0 { // near the end of what is mapped
		name = memory(tid, at, 4096-at%4096)
	}
	text, _, _ := strings.Cut(string(name), "\x00")
	if filepath.IsAbs(text) {
		return filepath.Clean(text)
	}
	const cwd = -100
	base := "/proc/" + strconv.Itoa(tid) + "/cwd"
	if dir != cwd {
		base = "/proc/" + strconv.Itoa(tid) + "/fd/" + strconv.Itoa(int(dir))
	}
	from, _ := os.Readlink(base)
	return filepath.Join(from, text)
}

func fdPath(tid, fd int) string {
	path, _ := os.Readlink("/proc/" + strconv.Itoa(tid) + "/fd/" + strconv.Itoa(fd))
	return path
}

// position is where the next read or write of an open file begins.
func position(tid, fd int) (int64, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	rest, _ := strings.CutPrefix(string(raw), "pos:")
	text, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseInt(strings.TrimSpace(text), 10, 64)
}

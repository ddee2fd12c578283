package hotpath

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// Instructions are counted by single steps: what counts them in hardware is not
// there in most virtual machines, and valgrind is one more program to have, which
// changes how Go's own scheduler runs. The child is this very binary. It works
// on one thread, collects no garbage, and while it is counted its other threads
// stand still: one of them would see to it that the slow one makes room. That one
// may have asked it to just before; so the goroutine is bound to its thread only
// until the others stand still, and makes room once before it is counted. Bound,
// it would give its processor to a thread that never comes.

// countTimeout ends a child that does not come to its end.
const countTimeout = 5 * time.Minute

// sameEverywhere switches off what only some processors have of what Go uses. What
// is left, most have; where it is missing nothing is counted.
const sameEverywhere = ",cpu.erms=off,cpu.fsrm=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512vl=off"

var needed = []string{"avx2", "bmi2", "sha_ni"}

// What the child says by signals, which the tracer sees and takes away.
const (
	warmSignal  = syscall.SIGHUP // its other threads may be stopped
	beginSignal = syscall.SIGUSR1
	endSignal   = syscall.SIGUSR2
)

// countSteps runs a path in a child and counts the instructions of its counted
// runs. It is errors.ErrUnsupported where nobody may trace.
func countSteps(t *testing.T, name string) (uint64, error) {
	if err := comparable(); err != nil {
		return 0, err
	}
	errs, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		return 0, err
	}
	defer errs.Close()
	// The kernel wants every request from the thread that began. It is not given
	// back, because what follows binds it to one processor.
	type outcome struct {
		steps uint64
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread()
		bindToOne()
		steps, err := trace(name, errs)
		done <- outcome{steps, err}
	}()
	o := <-done
	if o.err != nil {
		said, _ := os.ReadFile(errs.Name())
		return 0, fmt.Errorf("count %s: %w\n%s", name, o.err, said)
	}
	return o.steps, nil
}

func trace(name string, errs *os.File) (steps uint64, _ error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{
		childVariable + "=" + name, "TMPDIR=" + os.TempDir(), "GOGC=off", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1" + sameEverywhere,
	}
	cmd.Stdout, cmd.Stderr = errs, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, forbidden(err)
	}
	pid := cmd.Process.Pid
	ended := false
	defer func() {
		if !ended {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			for err := error(nil); err == nil; { // the stopped threads too: the child does not end before each has been seen to
				_, _, err = await(anyOfOurs)
			}
		}
		_ = cmd.Process.Release()
	}()
	late := time.AfterFunc(countTimeout, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	defer late.Stop()
	request, counting, give := uintptr(syscall.PTRACE_CONT), false, syscall.Signal(0)
	for {
		tid, status, err := await(anyOfOurs)
		if err != nil {
			return 0, err
		}
		if tid != pid {
			continue // a thread that stands still has ended: the whole child does
		}
		if !status.Stopped() {
			ended = true
			return 0, fmt.Errorf("the child ended after %d instructions (exit %d, signal %v)", steps, status.ExitStatus(), status.Signal())
		}
		give = 0
		switch sig := status.StopSignal(); {
		case sig == syscall.SIGTRAP && counting:
			steps++
		case sig == syscall.SIGTRAP: // the child is now this binary
		case sig == warmSignal:
			if err := holdOthers(pid); err != nil {
				return 0, forbidden(err)
			}
		case sig == beginSignal:
			request, counting = syscall.PTRACE_SINGLESTEP, true
		case sig == endSignal:
			return steps, nil
		default:
			give = sig
		}
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(pid), 0, uintptr(give), 0, 0); errno != 0 {
			return 0, errno
		}
	}
}

// forbidden makes errors.ErrUnsupported of what a system says that lets nobody trace.
func forbidden(err error) error {
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("%w: tracing is forbidden here: %w", errors.ErrUnsupported, err)
	}
	return err
}

// holdOthers stops every thread of the child but its main one.
func holdOthers(pid int) error {
	const seize, interrupt = 0x4206, 0x4207 // PTRACE_SEIZE and PTRACE_INTERRUPT of linux/ptrace.h
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil || tid == pid {
			continue
		}
		err = ask(seize, tid)
		for resting := false; err == nil && !resting; {
			if err = ask(interrupt, tid); err == nil {
				resting, err = rests(tid)
			}
			if err == nil && !resting {
				err = ask(syscall.PTRACE_CONT, tid)
				time.Sleep(time.Millisecond)
			}
		}
		if err != nil {
			return fmt.Errorf("hold thread %d: %w", tid, err)
		}
	}
	return nil
}

// rests waits for a thread to stop and says whether it does so in a system call,
// where it holds no lock of Go's.
func rests(tid int) (bool, error) {
	if _, _, err := await(tid); err != nil {
		return false, err
	}
	var regs syscall.PtraceRegs
	err := syscall.PtraceGetRegs(tid, &regs)
	return int64(regs.Orig_rax) >= 0, err
}

func ask(request uintptr, tid int) error {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(tid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// anyOfOurs stands for every thread that this one traces.
const anyOfOurs = -1

// await waits for a thread to stop or to end.
func await(which int) (tid int, status syscall.WaitStatus, err error) {
	for {
		if tid, err = syscall.Wait4(which, &status, syscall.WALL|syscall.WNOTHREAD, nil); err != syscall.EINTR {
			return tid, status, err
		}
	}
}

// comparable says whether this processor runs what the ceilings were counted on.
func comparable() error {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	flags := strings.Fields(string(info))
	for _, flag := range needed {
		if !slices.Contains(flags, flag) {
			return fmt.Errorf("%w: the processor has no %s", errors.ErrUnsupported, flag)
		}
	}
	return nil
}

// bindToOne keeps this thread, and what it starts, on one of its processors:
// each step is two switches between them, and these cost most across processors.
func bindToOne() {
	var mask [16]uint64
	size, at := unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask))
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, size, at); errno != 0 {
		return
	}
	found := false
	for i, word := range mask {
		mask[i] = 0
		if !found && word != 0 {
			mask[i], found = word&-word, true
		}
	}
	_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, size, at)
}

func init() {
	if os.Getenv(childVariable) != "" {
		runtime.LockOSThread() // the main goroutine stays on the main thread, the one that is traced
	}
}

// child runs a path until it is warm, and then between the signals.
func child(name string) int {
	for _, p := range paths {
		if p.name != name {
			continue
		}
		t := &childTB{}
		defer t.end()
		spare()
		run := p.make(newWorld(t), warm+p.steps)
		for range warm {
			run()
		}
		raise(warmSignal)
		runtime.UnlockOSThread()
		runtime.Gosched()
		raise(beginSignal)
		for range p.steps {
			run()
		}
		raise(endSignal)
		return 0
	}
	fmt.Fprintf(os.Stderr, "no path is called %q\n", name)
	return 1
}

// spare leaves the runtime with records of memory to use again. It makes them by
// the hundred otherwise, 5,000 instructions that befall whichever run comes then.
func spare() {
	const records, large = 3000, 40 << 10 // each object has one of its own
	var all [records][]byte
	for i := range all {
		all[i] = make([]byte, large)
	}
	runtime.KeepAlive(&all)
	runtime.GC()
}

// raise sends a signal to this thread.
func raise(sig syscall.Signal) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), uintptr(syscall.Gettid()), uintptr(sig))
}

// childTB is a test's voice where there is no test.
type childTB struct {
	testing.TB // nil: what is not below is not used
	cleanups   []func()
	dirs       []string
}

func (t *childTB) Helper()           {}
func (t *childTB) Cleanup(fn func()) { t.cleanups = append(t.cleanups, fn) }
func (t *childTB) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
func (t *childTB) FailNow() { t.end(); os.Exit(1) }

func (t *childTB) TempDir() string {
	dir, err := os.MkdirTemp("", "hotpath")
	if err != nil {
		t.Errorf("%v", err)
		t.FailNow()
	}
	t.dirs = append(t.dirs, dir)
	return dir
}

func (t *childTB) end() {
	for _, fn := range t.cleanups {
		fn()
	}
	for _, dir := range t.dirs {
		_ = os.RemoveAll(dir)
	}
}

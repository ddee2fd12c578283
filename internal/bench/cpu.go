package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0 // it cannot fail for oneself
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// tick is the unit of processor times in /proc: USER_HZ, 100 on every Linux.
const tick = 10 * time.Millisecond

// process is what /proc says of one.
type process struct {
	parent            int
	cpu, ofEndedChild time.Duration
}

// readProcess reads /proc/<pid>/stat (proc_pid_stat(5)).
func readProcess(pid int) (process, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, err
	}
	// The name, in parentheses, may hold anything; fields are counted behind it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return process{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [5]int64
	var errs error
	for i, at := range []int{1, 11, 12, 13, 14} { // ppid, utime, stime, cutime, cstime
		n[i], err = strconv.ParseInt(fields[at], 10, 64)
		errs = errors.Join(errs, err)
	}
	return process{parent: int(n[0]), cpu: time.Duration(n[1]+n[2]) * tick, ofEndedChild: time.Duration(n[3]+n[4]) * tick}, errs
}

func parentOf(pid int) (int, error) {
	p, err := readProcess(pid)
	return p.parent, err
}

// processCPU is the processor time that a running process has used.
func processCPU(pid int) (time.Duration, error) {
	p, err := readProcess(pid)
	return p.cpu, err
}

// familyCPU is the processor time of a process and its children, those that
// have ended included.
func familyCPU(pid int) (time.Duration, error) {
	head, err := readProcess(pid)
	if err != nil {
		return 0, err
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	sum := head.cpu + head.ofEndedChild
	for _, dir := range all {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := readProcess(child); err == nil && p.parent == pid { // it may have ended meanwhile
			sum += p.cpu
		}
	}
	return sum, nil
}

// busy is the processor time that everything on this machine has used, and what
// was taken from it as a virtual one; 0 where the system does not say.
func busy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, field := range strings.Fields(first) { // cpu, user, nice, system, idle, iowait, irq, softirq, steal, …
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return time.Duration(sum) * tick
}

// processor names the machine's processors as the system does.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return runtime.GOARCH
}

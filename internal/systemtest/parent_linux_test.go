package systemtest

import "syscall"

// endWithParent ends a process when the test's process is killed, and not when
// somebody presses Ctrl-C.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

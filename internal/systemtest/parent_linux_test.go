package systemtest

import "syscall"

// endWithParent ends a process when the test's process is killed.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

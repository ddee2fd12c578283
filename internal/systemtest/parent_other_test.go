//go:build !linux

package systemtest

import "syscall"

// endWithParent is for systems that end no process with its parent.
func endWithParent() *syscall.SysProcAttr { return nil }

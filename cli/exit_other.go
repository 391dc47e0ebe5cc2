//go:build !windows

package cli

import "syscall"

var (
	diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}
	noMemory = []error{syscall.ENOMEM}
)

const permissionHint = "check who owns the file and its folder, and their modes"

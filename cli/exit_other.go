//go:build !windows

package cli

import "syscall"

var (
	diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}
	tooLong  = []error{syscall.EFBIG} // for the file system, or `ulimit -f`
	noMemory = []error{syscall.ENOMEM}
	noFiles  = []error{syscall.EMFILE, syscall.ENFILE}
	readOnly = []error{syscall.EROFS}
	badPaths = []error{syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENOTDIR}
)

const permissionHint = "check who owns the file and its folder, and their modes"

//go:build unix

package unet

import (
	"os"
	"syscall"
)

// tryLock takes an exclusive lock that ends with the process, or fails.
func tryLock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

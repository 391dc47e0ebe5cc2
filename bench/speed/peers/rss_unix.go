//go:build unix

package main

import (
	"os"
	"runtime"
	"syscall"
)

// maxRSS returns the largest resident size of an ended process in bytes.
func maxRSS(s *os.ProcessState) int64 {
	r := s.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS == "darwin" { // which counts bytes, not KiB
		return int64(r)
	}
	return int64(r) << 10
}

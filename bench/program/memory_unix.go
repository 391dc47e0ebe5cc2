//go:build unix

package program

import (
	"os"
	"runtime"
	"syscall"
)

// MaxRSS returns the largest resident size of an ended process in bytes; 0 where it is
// not known.
func MaxRSS(s *os.ProcessState) int64 {
	r := s.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS == "darwin" { // which counts bytes, not KiB
		return int64(r)
	}
	return int64(r) << 10
}

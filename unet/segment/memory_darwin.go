package segment

import "golang.org/x/sys/unix"

// SystemMemory returns the bytes of memory of the machine and half of them as free:
// macOS counts as used what it would give up.
func SystemMemory() (total, free int64) {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0, 0
	}
	return int64(n), int64(n / 2)
}

package selftest

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	kernel32  = windows.NewLazySystemDLL("kernel32.dll")
	counter   = kernel32.NewProc("QueryPerformanceCounter")
	frequency = kernel32.NewProc("QueryPerformanceFrequency")
)

// now returns wall time: package time's ticks last up to 15 ms on Windows.
func now() time.Duration {
	var n, perSecond int64
	counter.Call(uintptr(unsafe.Pointer(&n)))
	frequency.Call(uintptr(unsafe.Pointer(&perSecond)))
	return time.Duration(float64(n) / float64(perSecond) * 1e9)
}

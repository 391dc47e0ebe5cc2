package segment

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// SystemMemory returns the bytes of memory of the machine and those that are free, 0
// where that is not known.
func SystemMemory() (total, free int64) {
	status := struct { // MEMORYSTATUSEX
		length, load                         uint32
		totalPhysical, freePhysical          uint64
		totalPageFile, freePageFile          uint64
		totalVirtual, freeVirtual, freeExtra uint64
	}{}
	status.length = uint32(unsafe.Sizeof(status))
	call := windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")
	if done, _, _ := call.Call(uintptr(unsafe.Pointer(&status))); done == 0 {
		return 0, 0
	}
	return int64(status.totalPhysical), int64(status.freePhysical)
}

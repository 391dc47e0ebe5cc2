//go:build !cgo

package csrc

import "unsafe"

// Compiled reports whether this program holds kernels for isa: none without cgo.
func Compiled(ISA) bool { return false }

// Has reports whether isa implements op: never without cgo.
func Has(ISA, Op) bool { return false }

// Tasks must not be called without cgo.
func Tasks(ISA, Op, unsafe.Pointer) int { panic("csrc: built without cgo") }

// Scratch must not be called without cgo.
func Scratch(ISA, Op, unsafe.Pointer) int { panic("csrc: built without cgo") }

// Run must not be called without cgo.
func Run(ISA, Op, unsafe.Pointer, int, int, *float32) { panic("csrc: built without cgo") }

// Alloc returns n zeroed bytes aligned to 64 on Go's heap.
func Alloc(n int) unsafe.Pointer {
	b := make([]byte, n+64)
	p := unsafe.Pointer(unsafe.SliceData(b))
	return unsafe.Add(p, -uintptr(p)&63)
}

// Free does nothing: the garbage collector owns the memory.
func Free(unsafe.Pointer) {}

// Resize is Alloc.
func Resize(_ unsafe.Pointer, _, n int) unsafe.Pointer { return Alloc(n) }

// Release does nothing.
func Release(unsafe.Pointer, int) {}

// Peak returns 0 without cgo.
func Peak(ISA, int) float64 { return 0 }

//go:build cgo

package csrc

// The kernels state every fused multiply-add themselves; -std=c11 keeps the
// compiler from making others. Which instruction set a file is compiled for
// is said in the file, because cgo has no flags per file. With the checks of the
// address sanitizer in them, -O3 takes minutes to find registers for large tiles.

/*
#cgo CFLAGS: -std=c11 -O3 -Wall -Wextra -Wno-missing-field-initializers
#cgo asan CFLAGS: -Og
#cgo LDFLAGS: -lm
#cgo noescape un_run
#cgo nocallback un_run
#include "kernels.h"
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// Gives large blocks back to the system as soon as they are freed. Left to
// itself, glibc keeps them in heaps, which aligned blocks of changing sizes
// fragment: memory then grows with every image of another size.
static int un_large_blocks_apart(void) {
#ifdef __GLIBC__
	return mallopt(M_MMAP_THRESHOLD, 128 << 10);
#else
	return 0;
#endif
}

static int32_t un_tasks(const struct un_kernel *k, const void *args) { return k->tasks(args); }
static int64_t un_scratch(const struct un_kernel *k, const void *args) { return k->scratch(args); }
*/
import "C"

import "unsafe"

// Sizes must agree with the C side; a swapped field would show in the
// cross-check of package core.
var (
	_ [C.sizeof_struct_un_conv3x3]byte     = [unsafe.Sizeof(Conv3x3{})]byte{}
	_ [C.sizeof_struct_un_first]byte       = [unsafe.Sizeof(First{})]byte{}
	_ [C.sizeof_struct_un_wgrad3x3]byte    = [unsafe.Sizeof(Wgrad3x3{})]byte{}
	_ [C.sizeof_struct_un_pack]byte        = [unsafe.Sizeof(Pack{})]byte{}
	_ [C.sizeof_struct_un_tconv]byte       = [unsafe.Sizeof(TConv{})]byte{}
	_ [C.sizeof_struct_un_tconv_wgrad]byte = [unsafe.Sizeof(TConvWgrad{})]byte{}
	_ [C.sizeof_struct_un_pool]byte        = [unsafe.Sizeof(Pool{})]byte{}
	_ [C.sizeof_struct_un_bn]byte          = [unsafe.Sizeof(BN{})]byte{}
	_ [C.sizeof_struct_un_head]byte        = [unsafe.Sizeof(Head{})]byte{}
	_ [C.sizeof_struct_un_loss]byte        = [unsafe.Sizeof(Loss{})]byte{}
	_ [C.sizeof_struct_un_adam]byte        = [unsafe.Sizeof(Adam{})]byte{}
	_ [C.sizeof_struct_un_qwino43]byte     = [unsafe.Sizeof(QWino43{})]byte{}
	_ [C.sizeof_struct_un_qtconv]byte      = [unsafe.Sizeof(QTConv{})]byte{}
	_ [C.sizeof_struct_un_qpack]byte       = [unsafe.Sizeof(QPack{})]byte{}
	_ [C.UN_OPS]byte                       = [Ops]byte{}
)

// Compiled says whether this program holds kernels for isa. Whether the CPU
// can run them is for the caller to find out.
func Compiled(isa ISA) bool { return C.un_kernels(C.enum_un_isa(isa)) != nil }

// Has says whether isa implements op.
func Has(isa ISA, op Op) bool { return kernel(isa, op).run != nil }

func kernel(isa ISA, op Op) *C.struct_un_kernel {
	table := C.un_kernels(C.enum_un_isa(isa))
	return (*C.struct_un_kernel)(unsafe.Add(unsafe.Pointer(table), uintptr(op)*unsafe.Sizeof(*table)))
}

// Tasks returns into how many independent tasks op on args falls.
func Tasks(isa ISA, op Op, args unsafe.Pointer) int {
	return int(C.un_tasks(kernel(isa, op), args))
}

// Scratch returns the floats of scratch memory one call of Run needs.
func Scratch(isa ISA, op Op, args unsafe.Pointer) int {
	return int(C.un_scratch(kernel(isa, op), args))
}

// Run does tasks t0..t1-1 of op on this goroutine's thread. It cannot be
// interrupted: callers keep ranges short. args points to the struct of op.
func Run(isa ISA, op Op, args unsafe.Pointer, t0, t1 int, scratch *float32) {
	C.un_run(kernel(isa, op), args, C.int32_t(t0), C.int32_t(t1), (*C.float)(scratch))
}

// Peak does rounds rounds of independent multiply-adds on isa, the most a core
// can do, and returns the number of floating-point operations: the yardstick
// of benchmarks.
func Peak(isa ISA, rounds int) float64 {
	return float64(C.un_peak(C.enum_un_isa(isa), C.int64_t(rounds)))
}

func init() { C.un_large_blocks_apart() }

// Alloc returns n zeroed bytes aligned to 64, outside Go's heap, or nil if
// there is no memory. Free releases them.
func Alloc(n int) unsafe.Pointer {
	p := Reserve(n)
	if p != nil {
		clear(unsafe.Slice((*byte)(p), (n+63)&^63))
	}
	return p
}

// Reserve is Alloc for memory that is written before it is read: nothing touches
// it here.
func Reserve(n int) unsafe.Pointer { return C.aligned_alloc(64, C.size_t((n+63)&^63)) }

// Free releases memory from Alloc and Reserve.
func Free(p unsafe.Pointer) { C.free(p) }

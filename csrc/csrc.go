//go:build cgo

package csrc

// The kernels state every fused multiply-add themselves; -std=c11 keeps the
// compiler from making others. Which instruction set a file is compiled for
// is said in the file, because cgo has no flags per file. With the checks of the
// address sanitizer in them, -O3 takes minutes to find registers for large tiles.
// With unwind tables GCC aligns the stack of Windows to 16 bytes only, which is
// too little for vectors of 32 and 64 (GCC bug 54412). Lines are enough for a
// debugger (-g1): to follow every variable through the tiles takes as long as the rest.

/*
#cgo CFLAGS: -std=c11 -O3 -g1 -Wall -Wextra -Wno-missing-field-initializers
#cgo asan CFLAGS: -Og
#cgo windows CFLAGS: -fno-asynchronous-unwind-tables
#cgo LDFLAGS: -lm
#cgo noescape un_run
#cgo nocallback un_run
#define _GNU_SOURCE // mremap
#include "kernels.h"
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif
#ifdef _WIN32
#include <malloc.h>
#endif

// Windows has no aligned_alloc.
static void *un_alloc(size_t n) {
#ifdef _WIN32
	return _aligned_malloc(n, 64);
#else
	return aligned_alloc(64, n);
#endif
}

static void un_free(void *p) {
#ifdef _WIN32
	_aligned_free(p);
#else
	free(p);
#endif
}

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

// Linux moves pages instead of giving others, which it would have to clear.
static void un_release(void *p, size_t old) {
#ifdef __linux__
	if (p)
		munmap(p, old);
#else
	(void)old;
	un_free(p);
#endif
}

static void *un_resize(void *p, size_t old, size_t n) {
#ifdef __linux__
	void *q = p ? mremap(p, old, n, MREMAP_MAYMOVE)
	            : mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q != MAP_FAILED)
		return q;
	un_release(p, old);
	return NULL;
#else
	// First free, then allocate: both together might be too much.
	un_release(p, old);
	return un_alloc(n);
#endif
}

static int32_t un_tasks(const struct un_kernel *k, const void *args) { return k->tasks(args); }
static int64_t un_scratch(const struct un_kernel *k, const void *args) { return k->scratch(args); }
*/
import "C"

import "unsafe"

// Compiled reports whether this program holds kernels for isa. Whether the CPU
// can run them is for the caller to find out.
func Compiled(isa ISA) bool { return kernel(isa, 0) != nil }

// Has reports whether isa implements op.
func Has(isa ISA, op Op) bool { return kernel(isa, op).run != nil }

func kernel(isa ISA, op Op) *C.struct_un_kernel {
	return C.un_kernel(C.enum_un_isa(isa), C.enum_un_op(op))
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
	p := C.un_alloc(round(n))
	if p != nil {
		clear(unsafe.Slice((*byte)(p), round(n)))
	}
	return p
}

// Free releases memory from Alloc.
func Free(p unsafe.Pointer) { C.un_free(p) }

// Resize returns n > 0 bytes aligned to 64 in place of the old bytes at p, which
// are from Resize or none (nil, 0). What they hold is undefined. Where there is no
// memory it returns nil, and the old bytes are gone, too. Release releases them.
func Resize(p unsafe.Pointer, old, n int) unsafe.Pointer {
	return C.un_resize(p, round(old), round(n))
}

// Release releases memory from Resize.
func Release(p unsafe.Pointer, n int) { C.un_release(p, round(n)) }

func round(n int) C.size_t { return C.size_t((n + 63) &^ 63) }

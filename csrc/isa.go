// Package csrc holds the compute kernels in C and binds them.
//
// kernels.h documents every operation; args.go mirrors its structs field by
// field and is generated from it. Pointers in them must point to memory from
// Alloc, never to Go memory. Without cgo the package offers no instruction set,
// and package core computes with core/portable.
package csrc

//go:generate go run mirror.go

// ISA names an instruction set the kernels may be compiled for.
type ISA int32

// The instruction sets, in the order of enum un_isa.
const (
	C ISA = iota
	AVX2
	AVX512
	NEON
	AVX512VNNI // AVX512 with faster 8-bit products
	NEONDot    // NEON with faster 8-bit products
	AVX512BF16 // AVX512VNNI with faster bfloat16 products
)

func (i ISA) String() string {
	switch i {
	case C:
		return "c"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	case NEON:
		return "neon"
	case AVX512VNNI:
		return "avx512vnni"
	case NEONDot:
		return "neondot"
	case AVX512BF16:
		return "avx512bf16"
	}
	return "unknown"
}

// Package ref is the specification of the compute kernels: every operation of
// csrc/kernels.h as obvious Go loops over dense NCHW float32 slices. The tests
// of package core hold the C kernels against it, and a program built without
// cgo computes with it.
//
// Sums are accumulated in float64, where the product of two float32 values is
// exact, and rounded to float32 once at the end. A result therefore carries
// at most one rounding, and does not depend on whether the compiler fuses
// multiplications with additions.
//
// Functions overwrite their destination unless their comment says otherwise,
// and expect slices of exactly the documented length.
package ref

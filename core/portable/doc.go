// Package portable computes the operations of package csrc in plain Go, for
// builds without cgo and as the engine "go" of the tests.
//
// What the usual networks are made of, forward pass, gradients, loss and Adam, works
// on blocks of 16 channels like the C kernels, operation by operation, and has the bits
// of those in portable C; only values below 2^-126 differ, which C flushes to zero.
//
// Everything else (sums and gates of blocks, 8-bit products, bfloat16) unpacks its NCHW16c
// tensors to NCHW, calls package ref and packs the result: correct, and slow. Channels
// past the real count are computed like the others and come out zero because their
// inputs and weights are zero.
package portable

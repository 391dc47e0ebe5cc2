// Package portable computes the operations of package csrc in plain Go, for
// builds without cgo and as the engine "go" of the tests.
//
// Every operation unpacks its NCHW16c tensors to NCHW, calls package ref and
// packs the result: correct, the same on every machine, and slow. Channels past
// the real count are computed like the others and come out zero because their
// inputs and weights are zero.
package portable

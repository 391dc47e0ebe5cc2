// Package coretest makes engines for tests of the packages above core.
package coretest

import (
	"testing"

	"unet/core"
)

// Engine starts threads for a test, on an instruction set or, for "", the best.
func Engine(t testing.TB, isa string, threads int) *core.Engine {
	t.Helper()
	e, err := core.NewEngine(isa, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// NeedsKernels skips a test that would take minutes on the pure Go reference.
func NeedsKernels(t testing.TB) {
	t.Helper()
	if core.ISAs()[0] == "go" {
		t.Skip("built without C kernels: this would take minutes")
	}
}

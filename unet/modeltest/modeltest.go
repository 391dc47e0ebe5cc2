// Package modeltest makes engines and small models for tests of packages that
// train and judge them.
package modeltest

import (
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/instance"
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

// ThreeHeads are those of the nuclei model.
var ThreeHeads = []string{unet.HeadForeground, unet.HeadBorder, unet.HeadDistance}

// Small is a nuclei model of depth 2 and width 16.
func Small(t testing.TB) *unet.Model {
	t.Helper()
	m, err := unet.NewModel(unet.Card{Kind: unet.Nuclei, Arch: unet.Arch{Channels: 3, Depth: 2, Width: 16, Norm: "batch", Heads: ThreeHeads},
		Input: unet.Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	return m
}

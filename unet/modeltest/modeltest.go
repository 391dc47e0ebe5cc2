// Package modeltest makes small models for tests of packages that
// train and judge them.
package modeltest

import (
	"testing"

	"unet/unet"
	"unet/unet/instance"
)

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

// Package modeltest makes small models and prepared sets for tests of packages
// that train and judge models.
package modeltest

import (
	"bytes"
	"path/filepath"
	"testing"

	"unet/unet"
	"unet/unet/dataset"
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

// Set is a prepared set of synthetic images.
func Set(t testing.TB, images dataset.Synthesis, o dataset.Options) *dataset.Set {
	t.Helper()
	var zip bytes.Buffer
	if err := dataset.Generate(t.Context(), &zip, images); err != nil {
		t.Fatal(err)
	}
	src, err := dataset.NewSource("synthetic.zip", bytes.NewReader(zip.Bytes()), int64(zip.Len()))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dir := filepath.Join(t.TempDir(), "set")
	if _, err := dataset.Prepare(t.Context(), src, dir, o); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

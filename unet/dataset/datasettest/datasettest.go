// Package datasettest makes small prepared sets for tests of packages that
// train on them and score them.
package datasettest

import (
	"bytes"
	"path/filepath"
	"testing"

	"unet/unet/dataset"
)

// Prepared is a set of synthetic images, in a temporary folder.
func Prepared(t testing.TB, s dataset.Synthesis, o dataset.Options) *dataset.Set {
	t.Helper()
	var zip bytes.Buffer
	if err := dataset.Generate(t.Context(), &zip, s); err != nil {
		t.Fatal(err)
	}
	src, err := dataset.NewSource("set.zip", bytes.NewReader(zip.Bytes()), int64(zip.Len()))
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

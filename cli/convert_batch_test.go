package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet"
	"unet/unet/imageio"
)

// TestConvertBatch: the results of a batch become one file for each image, named
// like the image, and come back as the same label images.
func TestConvertBatch(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	at := func(s string) string { return filepath.Join(dir, s) }
	for _, name := range []string{"in/a.png", "in/day/b.png"} {
		writeImage(t, at(name), discs(40, 40, disc{12, 12, 5}, disc{28, 28, 6}))
	}
	mustRun(t, 0, "predict", at("in"), "--model", model, "--out", at("res"))
	for _, k := range []struct{ format, ext string }{{"roi", ".rois.zip"}, {"geojson", ".geojson"}, {"labels", ".tif"}} {
		out := at(k.format)
		mustRun(t, 0, "convert", at("res"), "--to", k.format, out)
		want := []string{"a" + k.ext, "day/b" + k.ext}
		got := tree(t, out)
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", k.format, d)
		}
		mustRun(t, 0, "convert", filepath.Join(out, "a"+k.ext), at(k.format+"-back.tif"), "--size", "40x40")
	}
	own, err := imageio.ReadLabels(at("res/a.labels.tif"))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"roi", "geojson", "labels"} {
		if back, err := imageio.ReadLabels(at(format + "-back.tif")); err != nil || !slices.Equal(back.ID, own.ID) {
			t.Errorf("%s does not come back as it was (%v)", format, err)
		}
	}
	mustRun(t, 2, "convert", at("res"), "--to", "coco", at("x"))
	mustRun(t, 4, "convert", at("in"), "--to", "roi", at("y"))
}

// TestConvertZarr: the OME-Zarr labels of a run are read as its TIFF labels are.
func TestConvertZarr(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	at := func(s string) string { return filepath.Join(dir, s) }
	writeImage(t, at("a.png"), discs(40, 40, disc{12, 12, 5}, disc{28, 28, 6}))
	mustRun(t, 0, "predict", at("a.png"), "--model", model, "--format", "labels,zarr", "--out", at("res"))
	mustRun(t, 0, "convert", at("res/a.labels.zarr"), at("zarr.geojson"))
	mustRun(t, 0, "convert", at("res/a.labels.tif"), at("tiff.geojson"))
	want, err := os.ReadFile(at("tiff.geojson"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(at("zarr.geojson")); err != nil || string(got) != string(want) {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
	mustRun(t, 0, "predict", at("a.png"), "--model", model, "--format", "zarr", "--out", at("zarr"))
	for _, from := range []string{"res", "zarr", "zarr/a.labels.zarr"} { // the file goes before the folder
		out := at(strings.ReplaceAll(from, "/", "-") + "-roi")
		mustRun(t, 0, "convert", at(from), "--to", "geojson", out)
		if got, err := os.ReadFile(filepath.Join(out, "a.geojson")); err != nil || string(got) != string(want) {
			t.Errorf("from %s: %v: %s, want %s", from, err, got, want)
		}
	}
}

// TestConvertSameNames: images of one name in different folders stay two images in a
// table and in COCO; what cannot be told apart is refused.
func TestConvertSameNames(t *testing.T) {
	dir := t.TempDir()
	at := func(s string) string { return filepath.Join(dir, s) }
	writeImage(t, at("a/x.png"), discs(40, 40, disc{12, 12, 5}))
	writeImage(t, at("b/x.png"), discs(40, 40, disc{28, 28, 6}))
	mustRun(t, 0, "convert", at("a/x.png"), at("b/x.png"), at("out.csv"))
	if rows := readRows(t, at("out.csv")); len(rows) != 5 || rows[1][0] != "a/x" || rows[4][0] != "b/x" {
		t.Errorf("%q", rows)
	}
	mustRun(t, 0, "convert", at("a/x.png"), at("b/x.png"), at("out.json"))
	text, err := os.ReadFile(at("out.json"))
	if err != nil || !strings.Contains(string(text), `"a/x.png"`) || !strings.Contains(string(text), `"b/x.png"`) {
		t.Errorf("%v: %s", err, text)
	}
	mustRun(t, 0, "convert", at("a/x.png"), at("one.csv"))
	mustRun(t, 0, "convert", at("b/x.png"), at("two.csv"))
	if _, stderr := mustRun(t, exitInput, "convert", at("one.csv"), at("two.csv"), at("both.csv"), "--size", "40x40"); !strings.Contains(stderr, `"x"`) {
		t.Error(stderr)
	}
}

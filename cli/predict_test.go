package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/imageio/owned"
	"unet/unet/instance"
	"unet/unet/segment"

	"github.com/google/go-cmp/cmp"
)

// brightnessModel writes a model that takes bright pixels for nuclei: all
// weights are zero but those that carry the first channel from the input
// through the skip connection to the heads.
func brightnessModel(t testing.TB, kind string) string {
	t.Helper()
	return brightnessModelOf(t, kind, 1, unet.HeadForeground)
}

// brightnessModelOf makes it of any depth and with any maps, all alike.
func brightnessModelOf(t testing.TB, kind string, depth int, heads ...string) string {
	t.Helper()
	const width = 16
	card := unet.Card{Kind: kind, Name: "bright",
		Arch:      unet.Arch{Channels: 3, Depth: depth, Width: width, Norm: "none", Heads: heads},
		Input:     unet.Input{Normalise: "range"},
		Threshold: 0.5, Instance: instance.Params{Foreground: 0.5, Seed: 0.3, Prominence: 0.1, MinArea: 4, FillHoles: true},
		Diameter: [3]float64{8, 11, 14}}
	if kind == unet.Paper {
		card.Input.Size = 64
	}
	m, err := unet.NewModel(card, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	for _, q := range m.Params.All() {
		clear(q.Value)
	}
	set := func(name string, in int) { m.Params.Get(name).Value[in*9+4] = 1 }
	set("enc0.conv1.weight", 0)
	set("enc0.conv2.weight", 0)
	set("dec0.conv1.weight", width) // after the channels from below
	set("dec0.conv2.weight", 0)
	for i := range heads {
		m.Params.Get("head.weight").Value[i*width] = 40
		m.Params.Get("head.bias").Value[i] = -20
	}
	file := filepath.Join(t.TempDir(), kind+".safetensors")
	if err := m.Save(file, false); err != nil {
		t.Fatal(err)
	}
	return file
}

// disc is a bright disc of an image.
type disc struct{ x, y, r int }

// discs draws an 8-bit image of w x h.
func discs(w, h int, list ...disc) *imageio.Image {
	m := imageio.NewImage(w, h, 1)
	m.Bits = 8
	for y := range h {
		for x := range w {
			m.Pix[y*w+x] = 20
			for _, d := range list {
				if (x-d.x)*(x-d.x)+(y-d.y)*(y-d.y) <= d.r*d.r {
					m.Pix[y*w+x] = 220
				}
			}
		}
	}
	return m
}

// numbered is a label image of discs.
func numbered(w, h int, list ...disc) *imageio.Image {
	m := imageio.NewImage(w, h, 1)
	for i, d := range list {
		for k, v := range discs(w, h, d).Pix {
			if v > 100 {
				m.Pix[k] = float32(i + 1)
			}
		}
	}
	return m
}

var threeDiscs = []disc{{20, 20, 5}, {50, 30, 6}, {63, 60, 5}}

// writeImage writes samples of 8 bits as PNG or TIFF.
func writeImage(t testing.TB, file string, m *imageio.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	l := imageio.NewLabels(m.W, m.H)
	for i, v := range m.Pix[:m.W*m.H] {
		l.ID[i] = uint32(v)
	}
	if err := imageio.WriteLabels(file, l); err != nil {
		t.Fatal(err)
	}
}

// unetRun runs the program and returns exit code, standard output and error.
func unetRun(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(append([]string{"unet"}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

// mustRun fails the test when the program does not end with code.
func mustRun(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	got, stdout, stderr := unetRun("", args...)
	if got != code {
		t.Fatalf("unet %q: exit status %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout, stderr
}

// tree lists the files below dir but the list of what made them.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, p); err == nil && !d.IsDir() && d.Name() != owned.ListFile {
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// results is tree without the page of a prediction, whose pictures are many.
func results(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(tree(t, dir), pageFile)
}

// pageFile reports whether a file of results belongs to the page.
func pageFile(name string) bool {
	return name == segment.PageFile || strings.HasPrefix(name, "pages/") || strings.HasSuffix(name, ".thumb.jpg")
}

func readRows(t *testing.T, file string) [][]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return rows
}

// TestPredictFormats writes every format for one image and reads them back:
// they must all hold the same nuclei.
func TestPredictFormats(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	writeImage(t, filepath.Join(dir, "in", "cells.png"), discs(64, 90, threeDiscs...))
	out := filepath.Join(dir, "out")
	stdout, _ := mustRun(t, 0, "predict", filepath.Join(dir, "in"), "--out", out, "--model", model,
		"--format", strings.Join(segment.Formats, ","), "--pixel-size", "0.5")
	if !strings.Contains(stdout, "cells.png: 3 nuclei") {
		t.Errorf("output %q", stdout)
	}
	want := []string{"cells.density.png", "cells.geojson", "cells.labels.tif", "cells.labels.zarr/.zattrs", "cells.labels.zarr/.zgroup", "cells.labels.zarr/0/.zarray", "cells.labels.zarr/0/0/0", "cells.mask.png", "cells.nuclei.csv", "cells.overlay.png", "cells.prob.tif",
		"cells.rois.zip", "coco.json", "manifest.json", "nuclei.csv", "submission.csv", "summary.csv"}
	if d := cmp.Diff(want, results(t, out)); d != "" {
		t.Fatal(d)
	}
	labels, err := imageio.ReadLabels(filepath.Join(out, "cells.labels.tif"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := imageio.Open(filepath.Join(out, "cells.labels.zarr"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if l, err := again.ReadLabels(0); err != nil || !slices.Equal(l.ID, labels.ID) || again.Planes[0].PixelSize.X != 0.5 {
		t.Errorf("OME-Zarr: %v, %+v", err, again.Planes)
	}
	for i, d := range threeDiscs {
		if id := labels.ID[d.y*64+d.x]; id != uint32(i+1) {
			t.Errorf("disc %d has label %d", i+1, id)
		}
	}
	mask, err := imageio.Read(filepath.Join(out, "cells.mask.png"))
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range labels.ID {
		if (id != 0) != (mask.Pix[i] == 255) || id == 0 && mask.Pix[i] != 0 {
			t.Fatalf("mask is %v where the label is %d", mask.Pix[i], id)
		}
	}
	prob, err := imageio.Read(filepath.Join(out, "cells.prob.tif"))
	if err != nil || !prob.Float || prob.Pix[20*64+20] < 0.9 || prob.Pix[0] > 0.1 || prob.PixelSize.X != 0.5 {
		t.Errorf("probability map: %v, %+v", err, prob)
	}
	// The other formats, drawn again.
	for _, name := range []string{"cells.rois.zip", "cells.geojson", "coco.json", "submission.csv"} {
		again := filepath.Join(dir, name+".tif")
		mustRun(t, 0, "convert", filepath.Join(out, name), again, "--size", "64x90")
		l, err := imageio.ReadLabels(again)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.ID, labels.ID) {
			t.Errorf("%s holds other nuclei than the label image", name)
		}
	}
	rows := readRows(t, filepath.Join(out, "cells.nuclei.csv"))
	area, um := slices.Index(rows[0], "area"), slices.Index(rows[0], "area_um2")
	if len(rows) != 4 || rows[1][area] != "81" || rows[1][um] != "20.25" {
		t.Errorf("measurements %q", rows)
	}
	summary := readRows(t, filepath.Join(out, "summary.csv"))
	if len(summary) != 2 || summary[1][slices.Index(summary[0], "count")] != "3" || summary[1][slices.Index(summary[0], "edge_count")] != "1" {
		t.Errorf("summary %q", summary)
	}
	var m segment.Summary
	b, _ := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if m.Done != 1 || m.Nuclei != 3 || len(m.Model.SHA256) != 64 || len(m.Images[0].SHA256) != 64 || len(m.Images[0].Planes[0].Outputs) != 9 || m.Interrupted {
		t.Errorf("manifest %s", b)
	}
	f, _ := os.ReadFile(filepath.Join(out, "cells.labels.tif"))
	if !bytes.Contains(f, []byte(`"model_sha256":"`+m.Model.SHA256)) {
		t.Error("the label image does not say what made it")
	}
}

// TestPredictTree: folders, duplicate stems, names of all kinds, patterns,
// lists, Kaggle's layout.
func TestPredictTree(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	img := discs(40, 40, disc{20, 20, 6})
	for _, f := range []string{"a/x.png", "a/x.tif", "a/deep/er/x.png", "b/x.png", "b/Zellkerne µm é 細胞.png", "b/.hidden.png", "b/readme.png.txt",
		"kaggle/id1/images/id1.png", "kaggle/id1/masks/m1.png", "-dash.png", "sp ace[1].png"} {
		if strings.HasSuffix(f, ".txt") {
			os.WriteFile(filepath.Join(dir, "a", "notes.txt"), []byte("no image"), 0o644)
			continue
		}
		writeImage(t, filepath.Join(dir, f), img)
	}
	join := func(s string) string { return filepath.Join(dir, s) }
	for _, k := range []struct {
		name  string
		stdin string
		args  []string
		want  []string // label files
	}{
		{"folder", "", []string{join("a")}, []string{"deep/er/x.labels.tif", "x.png.labels.tif", "x.tif.labels.tif"}},
		{"files of one name", "", []string{join("a/x.png"), join("b/x.png")}, []string{"a/x.png.labels.tif", "b/x.png.labels.tif"}},
		{"twice the same", "", []string{join("b/x.png"), join("b/../b/x.png")}, []string{"x.labels.tif"}},
		{"unicode and hidden", "", []string{join("b")}, []string{"Zellkerne µm é 細胞.labels.tif", "x.labels.tif"}},
		{"pattern", "", []string{join("*/x.*")}, []string{"a/x.png.labels.tif", "a/x.tif.labels.tif", "b/x.labels.tif"}},
		{"list", join("b/x.png") + "\r\n\n" + join("-dash.png") + "\n", []string{"--from-file", "-"}, []string{"-dash.labels.tif", "x.labels.tif"}},
		{"kaggle", "", []string{join("kaggle")}, []string{"id1/images/id1.labels.tif"}},
		{"brackets in a name", "", []string{join("sp ace[1].png")}, []string{"sp ace[1].labels.tif"}},
	} {
		out := t.TempDir()
		args := append([]string{"predict"}, k.args...) // flags after arguments
		code, stdout, stderr := unetRun(k.stdin, append(args, "--model", model, "--format", "labels,rle-csv", "--out", out)...)
		if code != 0 {
			t.Errorf("%s: exit status %d\n%s%s", k.name, code, stdout, stderr)
			continue
		}
		want := append(slices.Clone(k.want), "manifest.json", "submission.csv", "summary.csv")
		got := results(t, out)
		slices.Sort(want)
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", k.name, d)
		}
		if rows := readRows(t, filepath.Join(out, "submission.csv")); k.name == "kaggle" && rows[1][0] != "id1" {
			t.Errorf("ImageId %q", rows[1][0])
		}
	}
}

// TestPredictPartial: broken images do not stop the others and leave nothing
// half-written.
func TestPredictPartial(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for i := range 4 {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%d.png", i)), discs(40, 40, disc{20, 20, 6}))
	}
	whole, _ := os.ReadFile(filepath.Join(in, "1.png"))
	os.WriteFile(filepath.Join(in, "1.png"), whole[:len(whole)/2], 0o644)
	os.WriteFile(filepath.Join(in, "2b.tif"), []byte("II*\x00nonsense"), 0o644)
	os.WriteFile(filepath.Join(in, "2c.jpg"), nil, 0o644)
	_, stderr := mustRun(t, 3, "predict", in, filepath.Join(dir, "missing.png"), "--out", out, "--model", model)
	for _, s := range []string{"1.png", "2b.tif", "2c.jpg", "missing.png", "4 of 7 inputs failed"} {
		if !strings.Contains(stderr, s) {
			t.Errorf("%q is not mentioned:\n%s", s, stderr)
		}
	}
	var m segment.Summary
	b, _ := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err := json.Unmarshal(b, &m); err != nil || m.Failed != 4 || m.Done != 3 {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, f := range results(t, out) {
		if strings.Contains(f, "tmp") || strings.HasPrefix(filepath.Base(f), "1.") {
			t.Errorf("%s was left behind", f)
		}
	}
}

// TestPredictSkip: a second run keeps what stands, does again what does not,
// and gives the same files.
func TestPredictSkip(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for i := range 4 {
		writeImage(t, filepath.Join(in, fmt.Sprintf("%d.png", i)), discs(40, 40, disc{20, 14 + i, 6}))
	}
	args := []string{"predict", in, "--out", out, "--model", model, "--format", "labels,csv,coco,rle-csv", "--skip-existing"}
	mustRun(t, 0, args...)
	first := contents(t, out)
	stdout, _ := mustRun(t, 0, args...)
	if !strings.Contains(stdout, "4 kept from before") {
		t.Errorf("output %q", stdout)
	}
	if d := cmp.Diff(first, contents(t, out)); d != "" {
		t.Errorf("the second run changed files: %s", d)
	}
	os.Remove(filepath.Join(out, "1.nuclei.csv"))
	writeImage(t, filepath.Join(in, "2.png"), discs(40, 40, disc{8, 8, 5}, disc{28, 28, 5}))
	stdout, _ = mustRun(t, 0, args...)
	if !strings.Contains(stdout, "2 kept from before") || !strings.Contains(stdout, "2.png: 2 nuclei") {
		t.Errorf("output %q", stdout)
	}
	_, stderr := mustRun(t, 0, append(args, "--min-area", "9")...)
	if !strings.Contains(stderr, "other settings") {
		t.Errorf("changed settings: %q", stderr)
	}
}

// TestPredictInPlace writes results among the images: a second run takes them
// for results.
func TestPredictInPlace(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	writeImage(t, filepath.Join(dir, "sub", "x.png"), discs(40, 40, disc{20, 20, 6}))
	for range 2 {
		stdout, _ := mustRun(t, 0, "predict", dir, "--out", dir, "--model", model, "--format", "labels,mask,overlay,prob")
		if !strings.Contains(stdout, "1 nucleus in 1 image,") {
			t.Fatalf("output %q", stdout)
		}
	}
}

// contents maps files to what they hold, the manifest with its times aside.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, f := range results(t, dir) {
		if b, err := os.ReadFile(filepath.Join(dir, f)); err == nil && f != segment.ManifestFile {
			m[f] = string(b)
		}
	}
	return m
}

// TestPredictSameBytes: neither threads nor jobs nor processors change a byte,
// and the order of the images none of what belongs to one of them.
func TestPredictSameBytes(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	var images []string
	for i := range 5 {
		images = append(images, filepath.Join(in, fmt.Sprintf("%d.png", i)))
		writeImage(t, images[i], discs(50+7*(i%3), 61, disc{20, 14 + i, 6}, disc{33, 31, 7}))
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want map[string]string
	for i, c := range []struct {
		order         []int
		procs         int
		threads, jobs string
	}{
		{[]int{0, 1, 2, 3, 4}, 2, "1", "1"},
		{[]int{0, 1, 2, 3, 4}, 1, "2", "3"},
		{[]int{0, 1, 2, 3, 4}, 5, "3", "2"},
		{[]int{4, 3, 2, 1, 0}, 2, "7", "1"},
		{[]int{2, 4, 0, 3, 1}, 5, "1", "5"},
		{[]int{0, 1, 2, 3, 4}, 3, "7", "3"},
	} {
		runtime.GOMAXPROCS(c.procs)
		out := filepath.Join(dir, fmt.Sprint("out", i))
		args := []string{"predict", "--out", out, "--tta", "--format", strings.Join(segment.Formats, ","), "--threads", c.threads, "--jobs", c.jobs}
		for _, k := range c.order {
			args = append(args, images[k])
		}
		mustRun(t, 0, args...)
		got := contents(t, out)
		if want == nil {
			want = got
			continue
		}
		if !slices.IsSorted(c.order) { // files of the batch follow its order
			for _, f := range []string{segment.SummaryFile, segment.NucleiFile, segment.COCOFile, segment.RLEFile} {
				if len(got[f]) != len(want[f]) {
					t.Errorf("%+v: %s has another size", c, f)
				}
				got[f] = want[f]
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%+v: %s", c, d)
		}
	}
}

// TestPredictLarge predicts an image within memory and in bands, at native
// scale and scaled.
func TestPredictLarge(t *testing.T) {
	for _, diameter := range []string{"native", "20"} {
		t.Run(diameter, func(t *testing.T) { testPredictLarge(t, diameter) })
	}
}

func testPredictLarge(t *testing.T, diameter string) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	file := filepath.Join(dir, "big.tif")
	var list []disc
	for i := range 40 {
		list = append(list, disc{(i * 1237) % 1700, (i*977 + 3*i) % 1500, 9 + i%20})
	}
	writeImage(t, file, discs(1700, 1500, list...))
	whole, bands := filepath.Join(dir, "whole"), filepath.Join(dir, "bands")
	args := []string{"predict", file, "--model", model, "--diameter", diameter, "--format", "labels,csv,geojson,overlay,mask,prob,rle-csv,coco,roi", "--out"}
	mustRun(t, 0, append(args, whole, "--max-memory", "8GiB")...)
	mustRun(t, 0, append(args, bands, "--max-memory", "500MiB")...)
	want := []string{"big.geojson", "big.labels.tif", "big.mask.tif", "big.nuclei.csv", "big.overlay.png", "big.prob-foreground.tif", "big.rois.zip",
		"coco.json", "manifest.json", "nuclei.csv", "submission.csv", "summary.csv"}
	if d := cmp.Diff(want, results(t, bands)); d != "" {
		t.Fatal(d)
	}
	for _, f := range []string{"big.geojson", "big.nuclei.csv", "big.rois.zip", "coco.json", "submission.csv", "summary.csv"} {
		a, _ := os.ReadFile(filepath.Join(whole, f))
		b, _ := os.ReadFile(filepath.Join(bands, f))
		if !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s differs between the image in one piece (%d bytes) and in bands (%d bytes)", f, len(a), len(b))
		}
	}
	// A second run keeps the image; the files of the batch hold it again.
	before := contents(t, bands)
	if stdout, _ := mustRun(t, 0, append(args, bands, "--max-memory", "500MiB", "--skip-existing")...); !strings.Contains(stdout, "1 kept from before") {
		t.Errorf("output %q", stdout)
	}
	if d := cmp.Diff(before, contents(t, bands)); d != "" {
		t.Errorf("the second run changed files: %s", d)
	}
	for _, pair := range [][2]string{{"big.labels.tif", "big.labels.tif"}, {"big.mask.png", "big.mask.tif"}, {"big.prob.tif", "big.prob-foreground.tif"}} {
		a, err := imageio.Read(filepath.Join(whole, pair[0]))
		if err != nil {
			t.Fatal(err)
		}
		b, err := imageio.Read(filepath.Join(bands, pair[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a.Pix, b.Pix) {
			t.Errorf("%s differs between the image in one piece and in bands", pair[0])
		}
	}
	mustRun(t, 6, "predict", file, "--model", model, "--out", filepath.Join(dir, "no"), "--max-memory", "64MiB")
}

// TestPredictLargeEstimate: in bands, too, nuclei larger than the model knows
// are found by size, from a part of the image; and those that hardly fit into such a
// part, from afar.
func TestPredictLargeEstimate(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	for _, k := range []struct {
		columns, rows, pitch, radius int
		estimate                     float64
	}{{25, 22, 68, 20, 40.2}, {4, 3, 425, 200, 400}} {
		file := filepath.Join(dir, fmt.Sprintf("big%d.tif", k.radius))
		var list []disc
		for i := range k.columns * k.rows {
			list = append(list, disc{k.pitch/2 + k.pitch*(i%k.columns), k.pitch/2 + k.pitch*(i/k.columns), k.radius})
		}
		writeImage(t, file, discs(1700, 1500, list...))
		stdout, _ := mustRun(t, 0, "predict", file, "--model", model, "--format", "csv", "--max-memory", "500MiB", "--json", "--out", filepath.Join(dir, fmt.Sprint(k.radius)))
		var m segment.Summary
		if err := json.Unmarshal([]byte(stdout), &m); err != nil {
			t.Fatal(err)
		}
		p := m.Images[0].Planes[0]
		if !p.Banded || math.Abs(p.Estimate-k.estimate) > 1 || math.Abs(p.Scale-max(11/p.Estimate, 1./16)) > 0.001 || p.Nuclei != len(list) || len(p.Notes) != 1 {
			t.Errorf("banded %v, %d nuclei of %v, scale %v, %q", p.Banded, p.Nuclei, p.Estimate, p.Scale, p.Notes)
		}
	}
}

// TestPredictScale: nuclei twice as large as in training are found by size.
func TestPredictScale(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	var list []disc
	for i := range 9 {
		list = append(list, disc{30 + 60*(i%3), 30 + 60*(i/3), 20})
	}
	file := filepath.Join(dir, "big.png")
	writeImage(t, file, discs(180, 180, list...))
	for _, k := range []struct {
		args            []string
		scale, estimate float64
		says            string
	}{
		{nil, 11 / 40.0, 40.0, "scaled by 0.27"},
		{[]string{"--diameter", "native"}, 1, 0, "of \"auto\" the image is scaled"},
		{[]string{"--diameter", "44"}, 0.25, 0, ""},
		{[]string{"--diameter", "11um", "--pixel-size", "0.25"}, 0.25, 0, ""},
	} {
		out := t.TempDir()
		stdout, stderr := mustRun(t, 0, append([]string{"predict", file, "--model", model, "--json", "--out", out}, k.args...)...)
		var m segment.Summary
		if err := json.Unmarshal([]byte(stdout), &m); err != nil {
			t.Fatal(err)
		}
		p := m.Images[0].Planes[0]
		if math.Abs(p.Scale-k.scale) > 0.005 || math.Abs(p.Estimate-k.estimate) > 0.1 || p.Nuclei != 9 || math.Abs(p.Diameter-40.2) > 3 {
			t.Errorf("%q: scale %v by an estimate of %v, %d nuclei of %v", k.args, p.Scale, p.Estimate, p.Nuclei, p.Diameter)
		}
		if !strings.Contains(stdout+stderr, k.says) {
			t.Errorf("%q: %q is not said:\n%s%s", k.args, k.says, stdout, stderr)
		}
		summary, err := os.ReadFile(filepath.Join(out, segment.SummaryFile))
		if err != nil {
			t.Fatal(err)
		}
		if head, row, _ := strings.Cut(string(summary), "\n"); !strings.HasSuffix(head, ",diameter_estimate,scale") ||
			!strings.HasSuffix(row, fmt.Sprintf(",%.6g\n", p.Scale)) {
			t.Errorf("%q: summary\n%s", k.args, summary)
		}
	}
}

// TestPredictUndefined: samples that are no numbers do not go by in silence.
func TestPredictUndefined(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	file := filepath.Join(dir, "float.tif")
	for rows, k := range map[int]struct {
		nuclei        int
		note, warning string
	}{
		0:  {1, "", ""},
		16: {1, "25 % of the samples are no finite numbers", ""},
		64: {0, "", "no sample is a finite number"},
	} {
		m := discs(64, 64, disc{30, 44, 8})
		for i := range rows * 64 {
			m.Pix[i] = float32(math.NaN())
		}
		if err := imageio.WriteMaps(file, m); err != nil {
			t.Fatal(err)
		}
		stdout, _ := mustRun(t, exitOK, "predict", file, "--model", model, "--diameter", "native", "--format", "csv", "--json", "--force", "--out", filepath.Join(dir, "out"))
		var s segment.Summary
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatal(err)
		}
		p := s.Images[0].Planes[0]
		if notes, warnings := strings.Join(p.Notes, "\n"), strings.Join(p.Warnings, "\n"); p.Nuclei != k.nuclei ||
			(k.note == "") != (notes == "") || !strings.Contains(notes, k.note) || !strings.Contains(warnings, k.warning) {
			t.Errorf("%d rows without numbers: %d nuclei, notes %q, warnings %q", rows, p.Nuclei, notes, warnings)
		}
	}
}

// TestPredictPaper: a paper model gives mask, probability map and overlay at
// the image's own size.
func TestPredictPaper(t *testing.T) {
	model, dir := brightnessModel(t, unet.Paper), t.TempDir()
	file := filepath.Join(dir, "x.png")
	writeImage(t, file, discs(100, 75, disc{30, 30, 12}, disc{70, 45, 12}))
	mustRun(t, 0, "predict", "--model", model, "--out", filepath.Join(dir, "out"), file)
	want := []string{"manifest.json", "summary.csv", "x.mask.png", "x.overlay.png", "x.prob.tif"}
	if d := cmp.Diff(want, results(t, filepath.Join(dir, "out"))); d != "" {
		t.Fatal(d)
	}
	m, err := imageio.Read(filepath.Join(dir, "out", "x.mask.png"))
	if err != nil || m.W != 100 || m.H != 75 || m.Pix[30*100+30] != 255 || m.Pix[30*100+50] != 0 {
		t.Errorf("mask: %v", err)
	}
}

// TestPredictErrors: wrong usage and bad inputs have their exit status and say
// what to do.
func TestPredictErrors(t *testing.T) {
	model, dir := brightnessModel(t, unet.Nuclei), t.TempDir()
	good := filepath.Join(dir, "good.png")
	writeImage(t, good, discs(40, 40, disc{20, 20, 6}))
	notModel := filepath.Join(dir, "not.safetensors")
	os.WriteFile(notModel, []byte("nothing of the kind"), 0o644)
	empty := filepath.Join(dir, "empty")
	os.Mkdir(empty, 0o755)
	out := filepath.Join(dir, "out")
	for _, k := range []struct {
		code int
		says string
		args []string
	}{
		{2, "--out is missing", []string{good}},
		{2, "an argument is missing", []string{"--out", out}},
		{2, `no format "tif"`, []string{good, "--out", out, "--format", "labels,tif"}},
		{2, "--threshold 1.5", []string{good, "--out", out, "--threshold", "1.5"}},
		{2, "--diameter big", []string{good, "--out", out, "--diameter", "big"}},
		{2, "--diameter -3", []string{good, "--out", out, "--diameter=-3"}},
		{2, "--max-memory lots", []string{good, "--out", out, "--max-memory", "lots"}},
		{2, "--jobs 0", []string{good, "--out", out, "--jobs", "0"}},
		{2, "--page x", []string{good, "--out", out, "--page", "x"}},
		{2, "nosuch", []string{good, "--out", out, "--nosuch"}},
		{2, "no plane is chosen", []string{good, "--out", out, "--page", "7"}},
		{exitInput, "does not say how large its pixels are", []string{good, "--out", out, "--diameter", "12um"}},
		{4, "nothere.png", []string{filepath.Join(dir, "nothere.png"), "--out", out}},
		{4, "no*such", []string{filepath.Join(dir, "no*such"), "--out", out}},
		{4, "holds no images", []string{empty, "--out", out}},
		{4, "list.txt", []string{"--from-file", filepath.Join(dir, "list.txt"), "--out", out}},
		{5, "not.safetensors", []string{good, "--out", out, "--model", notModel}},
		{4, "nomodel", []string{good, "--out", out, "--model", filepath.Join(dir, "nomodel")}},
	} {
		args := append([]string{"predict"}, k.args...)
		if !slices.Contains(args, "--model") {
			args = append(args, "--model", model)
		}
		code, stdout, stderr := unetRun("", args...)
		if code != k.code || !strings.Contains(stderr, k.says) || strings.Contains(stderr, "panic") {
			t.Errorf("%q: exit status %d, want %d and %q\n%s", k.args, code, k.code, k.says, stderr)
		}
		if k.code == 2 && !strings.Contains(stderr, "hint:") {
			t.Errorf("%q: no hint\n%s", k.args, stderr)
		}
		if stdout != "" {
			t.Errorf("%q: an error on standard output: %q", k.args, stdout)
		}
	}
}

// TestPredictMeetingNames: the pages of one file may be named like another file.
// Neither's results may replace the other's.
func TestPredictMeetingNames(t *testing.T) {
	dir := t.TempDir()
	pages, err := os.ReadFile(filepath.Join("..", "unet", "imageio", "testdata", "pages-u8.tif"))
	if err != nil {
		t.Fatal(err)
	}
	writeImage(t, filepath.Join(dir, "in", "A_P0.tif"), discs(64, 48, disc{20, 20, 8}))
	if err := os.WriteFile(filepath.Join(dir, "in", "a.tif"), pages, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	_, stderr := mustRun(t, exitPartial, "predict", "--model", brightnessModel(t, unet.Nuclei), "--out", out, filepath.Join(dir, "in"))
	if !strings.Contains(stderr, "would replace those of") {
		t.Errorf("the warning is %q", stderr)
	}

	// Nor where those that stand are of an earlier run, of the same images or of others.
	for _, inputs := range [][]string{{"a.tif"}, {"A_P0.tif", "a.tif"}} {
		out := filepath.Join(dir, inputs[0]+" later")
		args := []string{"predict", "--model", brightnessModel(t, unet.Nuclei), "--skip-existing", "--out", out}
		mustRun(t, 0, append(slices.Clone(args), filepath.Join(dir, "in", "A_P0.tif"))...)
		for _, name := range inputs {
			args = append(args, filepath.Join(dir, "in", name))
		}
		code, _, stderr := unetRun("", args...)
		if code == 0 || !strings.Contains(stderr, "would replace those of") {
			t.Errorf("%q: exit status %d\n%s", inputs, code, stderr)
		}
	}
}

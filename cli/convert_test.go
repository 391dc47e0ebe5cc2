package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// squares is a label image with nuclei 1 to n, nucleus 3 with a hole.
func squares(w, h, n int) *imageio.Labels {
	l := imageio.NewLabels(w, h)
	for i := range n {
		x0, y0 := 2+10*(i%4), 3+10*(i/4)
		for y := y0; y < y0+7; y++ {
			for x := x0; x < x0+6; x++ {
				if i != 2 || x != x0+2 || y != y0+2 {
					l.ID[y*w+x] = uint32(i + 1)
				}
			}
		}
	}
	return l
}

// TestConvert goes from a label image through every format and back.
func TestConvert(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	want := squares(45, 31, 7)
	if err := imageio.WriteLabels(file("in.tif"), want); err != nil {
		t.Fatal(err)
	}
	for _, ext := range []string{"png", "zip", "geojson", "json", "csv", "tiff"} {
		stdout, _ := mustRun(t, 0, "convert", file("in.tif"), file("x."+ext))
		if !strings.Contains(stdout, "7 nuclei in 1 image") {
			t.Errorf("%s: %q", ext, stdout)
		}
		args := []string{"convert", file("x." + ext), file("back.tif"), "--force"}
		if ext == "zip" || ext == "geojson" || ext == "csv" {
			_, stderr := mustRun(t, 2, args...)
			if !strings.Contains(stderr, "--size") {
				t.Errorf("%s without a size: %q", ext, stderr)
			}
			args = append(args, "--image", file("in.tif"))
		}
		mustRun(t, 0, args...)
		got, err := imageio.ReadLabels(file("back.tif"))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.ID, want.ID) {
			t.Errorf("%s: the labels changed", ext)
		}
	}
	// Several images in one file, and out again.
	if err := imageio.WriteLabels(file("other.tif"), squares(30, 40, 4)); err != nil {
		t.Fatal(err)
	}
	mustRun(t, 0, "convert", file("in.tif"), file("other.tif"), file("both.json"))
	mustRun(t, 2, "convert", file("both.json"), file("one.tif"))
	mustRun(t, 0, "convert", file("both.json"), file("one.tif"), "--name", "other.tif")
	if got, err := imageio.ReadLabels(file("one.tif")); err != nil || got.Max() != 4 || got.W != 30 {
		t.Errorf("one of two: %v", err)
	}
	mustRun(t, 0, "convert", file("both.json"), file("folder")+"/")
	if got := tree(t, file("folder")); !slices.Equal(got, []string{"in.tif", "other.tif"}) {
		t.Errorf("folder holds %q", got)
	}
	_, stderr := mustRun(t, exitInput, "convert", file("both.json"), file("one.tif"), "--name", "third", "--force")
	if !strings.Contains(stderr, "in.tif, other.tif") {
		t.Errorf("unknown name: %q", stderr)
	}
}

// TestConvertNamesImages: the competition's tables name an image without its folder and
// extension.
func TestConvertNamesImages(t *testing.T) {
	dir := t.TempDir()
	coco, table := filepath.Join(dir, "in.json"), filepath.Join(dir, "out.csv")
	var b bytes.Buffer
	l := squares(45, 31, 1)
	if err := formats.WriteAll(formats.NewCOCO(&b), formats.Source{Name: "plate/a.b.tif", W: l.W, H: l.H}, instance.Measure(l, nil)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(coco, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRun(t, exitOK, "convert", coco, table)
	got, err := os.ReadFile(table)
	if lines := strings.Split(string(got), "\n"); err != nil || len(lines) < 2 || !strings.HasPrefix(lines[1], "a.b,") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestConvertErrors: bad inputs leave the output alone.
func TestConvertErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(file("bad.zip"), []byte("PK nothing"), 0o644)
	os.WriteFile(file("bad.json"), []byte("{"), 0o644)
	os.WriteFile(file("bad.csv"), []byte("ImageId,EncodedPixels\na,1 2 3\n"), 0o644)
	os.WriteFile(file("far.csv"), []byte("ImageId,EncodedPixels\na,999 2\n"), 0o644)
	os.WriteFile(file("evil.csv"), []byte("ImageId,EncodedPixels\n../../evil,1 2\n"), 0o644)
	os.WriteFile(file("kept.tif"), []byte("kept"), 0o644)
	for _, k := range []struct {
		code int
		args []string
	}{
		{exitInput, []string{"bad.zip", "kept.tif", "--size", "9x9", "--force"}},
		{exitInput, []string{"bad.json", "kept.tif", "--force"}},
		{exitInput, []string{"bad.csv", "kept.tif", "--size", "9x9", "--force"}},
		{exitInput, []string{"far.csv", "kept.tif", "--size", "9x9", "--force"}},
		{exitInput, []string{"evil.csv", "folder/", "--size", "9x9"}},
		{4, []string{"missing.csv", "kept.tif", "--size", "9x9", "--force"}},
		{2, []string{"bad.csv", "kept.tif", "--size", "9", "--force"}},
		{2, []string{"bad.csv", "kept.xyz"}},
		{2, []string{"bad.csv"}},
	} {
		args := []string{"convert"}
		for _, a := range k.args {
			if strings.Contains(a, ".") || strings.HasSuffix(a, "/") {
				a = file(a) + strings.Repeat("/", strings.Count(a, "/"))
			}
			args = append(args, a)
		}
		code, _, stderr := unetRun("", args...)
		if code != k.code || !strings.HasPrefix(stderr, "unet: ") {
			t.Errorf("%q: exit status %d, want %d: %s", k.args, code, k.code, stderr)
		}
	}
	// An input alone is not taken for the output.
	if _, stderr := mustRun(t, exitUsage, "convert", file("kept.tif"), "--force"); !strings.Contains(stderr, "give an input and an output") {
		t.Error(stderr)
	}
	if b, _ := os.ReadFile(file("kept.tif")); string(b) != "kept" {
		t.Error("a failed conversion changed its output")
	}
	if list := tree(t, dir); len(list) != 6 {
		t.Errorf("left behind: %q", list)
	}
}

// TestMeasure measures an image of two channels, in one file and in two.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := imageio.WriteLabels(file("l.png"), squares(45, 31, 7)); err != nil {
		t.Fatal(err)
	}
	m := imageio.NewImage(45, 31, 1)
	for i := range m.Pix {
		m.Pix[i] = float32(i % 45)
	}
	writeImage(t, file("a.png"), m)
	writeImage(t, file("b.tif"), discs(45, 31))
	stdout, _ := mustRun(t, 0, "measure", file("l.png"), file("a.png"), file("b.tif"), "--pixel-size", "2")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(lines) != 8 || !strings.Contains(lines[0], "mean_a_1") || !strings.Contains(lines[0], "mean_b_1") {
		t.Fatalf("%s", stdout)
	}
	mask := squares(45, 31, 7)
	for i := range mask.ID {
		mask.ID[i] = min(mask.ID[i], 1) * 255
	}
	if err := imageio.WriteLabels(file("mask.png"), mask); err != nil {
		t.Fatal(err)
	}
	if _, stderr := mustRun(t, 0, "measure", file("mask.png")); !strings.Contains(stderr, "255") {
		t.Errorf("a mask is measured as one nucleus without a word: %q", stderr)
	}
	if _, stderr := mustRun(t, 0, "convert", file("mask.png"), file("mask.json")); !strings.Contains(stderr, "255") {
		t.Errorf("a mask is converted as one nucleus without a word: %q", stderr)
	}
	if _, stderr := mustRun(t, 0, "measure", file("l.png")); stderr != "" {
		t.Errorf("a label image is taken for a mask: %q", stderr)
	}
	writeImage(t, file("again/a.png"), m)
	stdout, _ = mustRun(t, 0, "measure", file("l.png"), file("a.png"), file("again/a.png"))
	if head, _, _ := strings.Cut(stdout, "\n"); !strings.Contains(head, "/again/a_1") || strings.Contains(head, "mean_a_1") {
		t.Errorf("two images of one name: %s", head)
	}
	stdout, _ = mustRun(t, 0, "measure", file("l.png"), file("a.png"), "--json")
	var r struct {
		Nuclei []struct {
			Area     int
			X, Y     float64
			Channels []struct{ Mean, Min, Max float64 }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	if n := r.Nuclei[0]; len(r.Nuclei) != 7 || n.Area != 42 || n.X != 4.5 || n.Y != 6 || n.Channels[0].Mean != 4.5 || n.Channels[0].Max != 7 {
		t.Errorf("%+v", r.Nuclei)
	}
	mustRun(t, 0, "measure", file("l.png"), "-o", file("out.csv"))
	if rows := readRows(t, file("out.csv")); len(rows) != 8 {
		t.Errorf("%d rows", len(rows))
	}
	writeImage(t, file("small.png"), discs(9, 9))
	_, stderr := mustRun(t, exitInput, "measure", file("l.png"), file("small.png"))
	if !strings.Contains(stderr, "9 x 9") {
		t.Errorf("size of another image: %q", stderr)
	}
	mustRun(t, 2, "measure")
	mustRun(t, 4, "measure", file("nothing.tif"))
	// Stacks are never cut down to their first page in silence.
	_, stderr = mustRun(t, 2, "measure", "../unet/imageio/testdata/pages-u8.tif")
	if !strings.Contains(stderr, "--page") {
		t.Errorf("stack: %q", stderr)
	}
}

// TestView draws a picture and checks that it is where and how it should be.
func TestView(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	if err := imageio.WriteLabels(file("l.tif"), squares(45, 31, 7)); err != nil {
		t.Fatal(err)
	}
	writeImage(t, file("i.png"), discs(45, 31, disc{10, 10, 5}))
	mustRun(t, 0, "view", file("l.tif"), file("i.png"), "-o", file("v.png"), "--fill", "--ids", "--scale", "3")
	m, err := imageio.Read(file("v.png"))
	if err != nil || m.W != 135 || m.H != 93 || m.C != 3 {
		t.Fatalf("%v %+v", err, m)
	}
	mustRun(t, 0, "view", file("l.tif"), "-o", file("black.png"))
	mustRun(t, 2, "view", file("l.tif"))
	mustRun(t, 2, "view", "-o", file("x.png"))
	mustRun(t, 2, "view", file("l.tif"), "-o", file("x.png"), "--scale", "0")
	writeImage(t, file("small.png"), discs(9, 9))
	mustRun(t, exitInput, "view", file("l.tif"), file("small.png"), "-o", file("x.png"))
}

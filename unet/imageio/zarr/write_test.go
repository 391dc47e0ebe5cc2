package zarr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"

	"github.com/google/go-cmp/cmp"
)

// pattern is a label image of many numbers and much background.
func pattern(w, h int) []uint32 {
	id := make([]uint32, w*h)
	for i := range id {
		if x, y := i%w/20, i/w/20; (x+y)%3 == 0 && x < 25 {
			id[i] = uint32(1 + x + y*w/20)
		}
	}
	return id
}

// writeLabels writes a label image in portions of rows.
func writeLabels(t *testing.T, w *LabelWriter, id []uint32, rows int) {
	t.Helper()
	for n := rows * w.o.W; len(id) > 0; {
		k := min(n, len(id))
		if err := w.WriteLabels(id[:k]); err != nil {
			t.Fatal(err)
		}
		id = id[k:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Abort() // as deferred: no effect
}

// checkLabels reads all levels of a label image.
func checkLabels(t *testing.T, path, format string, id []uint32, w, h int, size plane.PixelSize) {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	levels := f.Levels
	f.Close()
	if f.Format != format {
		t.Errorf("format %q", f.Format)
	}
	for k := range levels {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.UseLevel(k); err != nil {
			t.Fatal(err)
		}
		p := f.Planes[0]
		l, err := f.ReadLabels(0)
		if err != nil {
			t.Fatal(err)
		}
		step := 1 << k
		if p.W != (w+step-1)/step || p.H != (h+step-1)/step || len(f.Planes) != 1 || p.PixelSize.X != size.X*float64(step) || p.PixelSize.Y != size.Y*float64(step) {
			t.Fatalf("level %d: %+v", k, p)
		}
		for i, v := range l.ID {
			if want := id[i/p.W*step*w+i%p.W*step]; v != want {
				t.Fatalf("level %d, pixel (%d, %d) is %d, want %d", k, i%p.W, i/p.W, v, want)
			}
		}
		f.Close()
	}
	if top := max(w, h) >> (levels - 1); top > chunkSide {
		t.Errorf("%d levels of an image of %d x %d", levels, w, h)
	}
}

// tree lists the files of a folder with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		rel, _ := filepath.Rel(dir, p)
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestWriteLabels: what is written is read, at all levels; the bytes do not
// depend on the portions.
func TestWriteLabels(t *testing.T) {
	size := plane.PixelSize{X: 0.5, Y: 0.25}
	var first map[string]string
	for _, rows := range []int{700, 1, 97} {
		path := filepath.Join(t.TempDir(), "a.labels.zarr")
		id := pattern(600, 700)
		w, err := CreateLabels(path, LabelOptions{W: 600, H: 700, PixelSize: size, Attributes: json.RawMessage(`{"program":"unet"}`)})
		if err != nil {
			t.Fatal(err)
		}
		writeLabels(t, w, id, rows)
		checkLabels(t, path, "OME-Zarr 0.4", id, 600, 700, size)
		files := tree(t, path)
		if _, ok := files["0/0/2"]; ok {
			t.Error("a chunk of zeros is stored")
		}
		if !strings.Contains(files[".zattrs"], `"program": "unet"`) || !strings.Contains(files[".zattrs"], `"image-label"`) {
			t.Error(files[".zattrs"])
		}
		if first == nil {
			first = files
		}
		for name, b := range files {
			if first[name] != b || len(first) != len(files) {
				t.Errorf("%s differs", name)
			}
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
			t.Errorf("left over: %v", left)
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o055 != 0o055 {
			t.Errorf("mode %v %v", st.Mode(), err)
		}
	}
	for _, n := range [][2]int{{1, 1}, {256, 256}, {257, 3}} {
		path := filepath.Join(t.TempDir(), "a.zarr")
		id := pattern(n[0], n[1])
		w, err := CreateLabels(path, LabelOptions{W: n[0], H: n[1]})
		if err != nil {
			t.Fatal(err)
		}
		writeLabels(t, w, id, 2)
		checkLabels(t, path, "OME-Zarr 0.4", id, n[0], n[1], plane.PixelSize{})
	}
}

// TestWriteLabelsIn: labels go into an image by its version and axes, beside
// other labels, and replace those of the same name.
func TestWriteLabelsIn(t *testing.T) {
	dir := unzipZarr(t)
	for name, format := range map[string]string{"v2-zlib-be.zarr": "OME-Zarr 0.4", "v3-zstd.zarr": "OME-Zarr 0.5"} {
		image := filepath.Join(dir, name)
		before := tree(t, image)
		for _, label := range []string{"cells", "nuclei", "nuclei"} {
			id := pattern(300, 280)
			w, err := CreateLabelsIn(image, label, LabelOptions{W: 300, H: 280})
			if err != nil {
				t.Fatal(err)
			}
			writeLabels(t, w, id, 50)
			checkLabels(t, filepath.Join(image, "labels", label), format, id, 300, 280, plane.PixelSize{})
		}
		after := tree(t, image)
		for file, b := range before {
			if after[file] != b {
				t.Errorf("%s: %s changed", name, file)
			}
		}
		list := after["labels/.zattrs"] + after["labels/zarr.json"]
		if strings.Count(list, `"nuclei"`) != 1 || strings.Count(list, `"cells"`) != 1 {
			t.Errorf("%s: %s", name, list)
		}
		f, err := Open(image)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	// A folder of somebody else's is not removed.
	mine := filepath.Join(t.TempDir(), "a.zarr")
	if err := os.MkdirAll(filepath.Join(mine, "thesis"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := CreateLabels(mine, LabelOptions{W: 1, H: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.WriteLabels([]uint32{1})
	if err := w.Close(); err == nil {
		t.Error("a folder that is no store was replaced")
	}
	if _, err := os.Stat(filepath.Join(mine, "thesis")); err != nil {
		t.Error(err)
	}
	if _, err := CreateLabelsIn(t.TempDir(), "nuclei", LabelOptions{W: 1, H: 1}); err == nil {
		t.Error("labels of no image")
	}
}

// TestReplaceKilled: a process that is killed while it replaces a label image leaves
// all of one or nothing in its place, and the next process completes it.
func TestReplaceKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.labels.zarr")
	other := os.Getenv("UNET_TEST_REPLACE")
	if other != "" {
		path = other
	}
	w, err := CreateLabels(path, LabelOptions{W: 16, H: 16})
	if err != nil {
		t.Fatal(err)
	}
	writeLabels(t, w, make([]uint32, 256), 16)
	if other != "" {
		return
	}
	whole := tree(t, path)
	const many = 3000 // chunks, so that removing them takes longer than a look
	chunks := filepath.Join(path, "0", "0")
	if err := os.MkdirAll(chunks, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if err := os.WriteFile(filepath.Join(chunks, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		c := exec.CommandContext(t.Context(), self, "-test.run=^TestReplaceKilled$")
		c.Env = append(os.Environ(), "UNET_TEST_REPLACE="+path)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := start()
	for { // until some of them are gone
		if left, _ := os.ReadDir(chunks); len(left) < many {
			break
		}
	}
	c.Process.Kill()
	c.Wait()
	if _, err := os.Stat(path); err == nil {
		if d := cmp.Diff(whole, tree(t, path)); d != "" {
			t.Errorf("half of it is left: %.500s", d)
		}
	}
	if err := start().Wait(); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(whole, tree(t, path)); d != "" {
		t.Errorf("written again: %.500s", d)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
}

func TestLabelWriterMisuse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.zarr")
	start := func() *LabelWriter {
		w, err := CreateLabels(path, LabelOptions{W: 4, H: 2})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for name, do := range map[string]func() error{
		"too few rows":  func() error { w := start(); w.WriteLabels(make([]uint32, 4)); return w.Close() },
		"too many rows": func() error { return start().WriteLabels(make([]uint32, 12)) },
		"half a row":    func() error { return start().WriteLabels(make([]uint32, 6)) },
		"dropped":       func() error { w := start(); w.Abort(); return w.Close() },
		"no pixels":     func() error { _, err := CreateLabels(path, LabelOptions{}); return err },
		"no folder": func() error {
			_, err := CreateLabels(filepath.Join(dir, "no", "x"), LabelOptions{W: 1, H: 1})
			return err
		},
	} {
		if err := do(); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Fatalf("%s: files left: %v", name, left)
		}
	}
}

// TestOMEZarrReadsOurs: ome-zarr-py and zarr-python find the labels, with all
// levels, in stores of their own and in images. It is skipped where python3, or
// the interpreter that UNET_PYTHON names, lacks them.
func TestOMEZarrReadsOurs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Python")
	}
	python := os.Getenv("UNET_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import ome_zarr, zarr, numpy").Run(); err != nil {
		t.Skip("ome-zarr-py is not installed")
	}
	dir := unzipZarr(t)
	id := pattern(600, 300)
	own := filepath.Join(dir, "own.labels.zarr")
	w, err := CreateLabels(own, LabelOptions{W: 600, H: 300, PixelSize: plane.PixelSize{X: 0.5, Y: 0.25}})
	if err != nil {
		t.Fatal(err)
	}
	writeLabels(t, w, id, 300)
	for _, name := range []string{"v2-zlib-be.zarr", "v3-zstd.zarr"} {
		w, err := CreateLabelsIn(filepath.Join(dir, name), "nuclei", LabelOptions{W: 600, H: 300})
		if err != nil {
			t.Fatal(err)
		}
		writeLabels(t, w, id, 300)
	}
	script := `
import sys, numpy
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
for path in sys.argv[1:]:
    nodes = list(Reader(parse_url(path))())
    for node in nodes:
        if 'nuclei' in str(node.zarr) or path.endswith('.labels.zarr'):
            a = [numpy.asarray(d).reshape(d.shape[-2:]) for d in node.data]
            same = all((a[0][::2**k, ::2**k] == b).all() for k, b in enumerate(a))
            print(len(a), a[0].shape, int(a[0].astype('u8').sum()), same, len(node.metadata.get('color', {})) > 10)
`
	out, err := exec.Command(python, "-c", script, own, filepath.Join(dir, "v2-zlib-be.zarr"), filepath.Join(dir, "v3-zstd.zarr")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sum := uint64(0)
	for _, v := range id {
		sum += uint64(v)
	}
	want := fmt.Sprintf("3 (300, 600) %d True True\n", sum)
	if n := bytes.Count(out, []byte(want)); n != 3 {
		t.Errorf("%q three times is not in\n%s", want, out)
	}
}

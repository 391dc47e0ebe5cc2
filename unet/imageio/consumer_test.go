package imageio

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
	"unet/unet/imageio/tiff"

	"github.com/google/go-cmp/cmp"
)

// The programs that people open results with read what is written here. The
// tests are skipped where a program is not installed: tifffile and zarr-python
// need python3 (or the interpreter that UNET_PYTHON names) with the modules
// numpy, tifffile, imagecodecs and zarr; ImageJ needs java and Debian's package imagej (or the
// jar that UNET_IMAGEJ names).

// consumerFiles writes one file of every kind and returns their samples.
func consumerFiles(t *testing.T, dir string) map[string]*Labels {
	t.Helper()
	files := map[string]*Labels{}
	for kind, o := range map[string]tiff.Options{
		"strips": {PixelSize: plane.SquarePixels(0.325), Description: `{"program": "unet"}`},
		"tiles":  {Tiled: true, PixelSize: plane.SquarePixels(0.5)},
		"big":    {Tiled: true, BigTIFF: true, Description: "x"},
	} {
		for _, top := range []uint32{200, 60000, 1 << 24} {
			l := labelPattern(300, 270, top)
			name := fmt.Sprintf("%s%d.tif", kind, LabelBits(top))
			if err := WriteLabels(filepath.Join(dir, name), l, o); err != nil {
				t.Fatal(err)
			}
			files[name] = l
		}
	}
	return files
}

// python names an interpreter that has the modules, or skips the test.
func python(t *testing.T, modules string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Python")
	}
	name := os.Getenv("UNET_PYTHON")
	if name == "" {
		name = "python3"
	}
	if err := exec.Command(name, "-c", "import "+modules).Run(); err != nil {
		t.Skipf("%s with the modules %s is not installed", name, modules)
	}
	return name
}

// Files of every combination that tifffile writes, drawn at random.
func TestRandomTIFF(t *testing.T) {
	checkRandom(t, python(t, "tifffile, imagecodecs, numpy"), "random_tiff.py", "*.tif")
}

// Arrays of every combination that zarr-python writes, drawn at random.
func TestRandomZarr(t *testing.T) {
	checkRandom(t, python(t, "zarr, numcodecs, numpy"), "random_zarr.py", "*.zarr")
}

// checkRandom runs a script that writes random files, with their samples
// beside them, and reads the files.
func checkRandom(t *testing.T, python, script, pattern string) {
	dir, seed := t.TempDir(), rand.IntN(1e9)
	t.Logf("%s FOLDER 20 %d", script, seed)
	if out, err := exec.Command(python, "../../bench/verify/testfiles/"+script, dir, "20", fmt.Sprint(seed)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 20 {
		t.Fatal(len(files), err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path + ".raw")
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range f.Planes {
			m, err := f.ReadPlane(i)
			if err != nil {
				t.Fatal(err)
			}
			if len(raw) < 4*len(m.Pix) {
				t.Fatalf("%s has too many samples", path)
			}
			for k, v := range m.Pix {
				if w := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*k:])); v != w {
					t.Fatalf("%s, %v, sample %d is %v, want %v", path, p, k, v, w)
				}
			}
			raw = raw[4*len(m.Pix):]
		}
		f.Close()
		if len(raw) != 0 {
			t.Fatalf("%d bytes of samples of %s were not read", len(raw), path)
		}
	}
}

// TestRandomReferences reads some such files, kept with the SHA-256 of their
// samples by bench/verify/testfiles/make_random.py, where no Python is at hand.
func TestRandomReferences(t *testing.T) {
	dir := t.TempDir()
	z, err := zip.OpenReader(testdata("random.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.CopyFS(dir, z); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "sums.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sums map[string]string
	if err := json.Unmarshal(text, &sums); err != nil || len(sums) < 20 {
		t.Fatal(len(sums), err)
	}
	for name, want := range sums {
		f, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		h := sha256.New()
		for i := range f.Planes {
			m, err := f.ReadPlane(i)
			if err != nil {
				t.Error(err)
				break
			}
			binary.Write(h, binary.LittleEndian, m.Pix)
		}
		f.Close()
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s holds other samples: %+v", name, f.Planes)
		}
	}
}

// TestBytesThatWereRead holds what is written against the files that tifffile and
// ImageJ have read, so that a change shows where neither is at hand. After one,
// let TestTifffileReadsOurs and TestImageJReadsOurs read the new files, and keep
// the sums that this prints.
func TestBytesThatWereRead(t *testing.T) {
	dir := t.TempDir()
	got := map[string]string{}
	for name := range consumerFiles(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		got[name] = hex.EncodeToString(sum[:8])
	}
	text, err := os.ReadFile(testdata("written.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		b, _ := json.MarshalIndent(got, "", "  ")
		t.Errorf("%s\n%s", d, b)
	}
}

func TestTifffileReadsOurs(t *testing.T) {
	dir := t.TempDir()
	files := consumerFiles(t, dir)
	m := NewImage(300, 270, 3)
	m.PixelSize = plane.SquarePixels(0.25)
	for i := range m.Pix {
		m.Pix[i] = float32(i) / 1000
	}
	if err := WriteMaps(filepath.Join(dir, "maps.tif"), m, tiff.Options{Description: "three maps"}); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python(t, "tifffile, imagecodecs, numpy"), "-c", `
import os, sys, tifffile
for name in sorted(os.listdir(sys.argv[1])):
    path = os.path.join(sys.argv[1], name)
    with tifffile.TiffFile(path) as t:
        a = t.asarray()
        res = t.pages[0].tags.get('XResolution')
        um = 1e4 * res.value[1] / res.value[0] if res else 0
        print(name, a.dtype, a.shape, round(um, 9), t.is_bigtiff, t.pages[0].is_tiled, repr(t.pages[0].description), sep='|')
    a.astype(a.dtype.newbyteorder('<')).tofile(path + '.raw')
`, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"strips8.tif|uint8|(270, 300)|0.325|False|False|'{\"program\": \"unet\"}'",
		"tiles16.tif|uint16|(270, 300)|0.5|False|True|''",
		"big32.tif|uint32|(270, 300)|0|True|True|'x'",
		"maps.tif|float32|(3, 270, 300)|0.25|False|False|'three maps'",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	for name, l := range files {
		raw, err := os.ReadFile(filepath.Join(dir, name+".raw"))
		if err != nil {
			t.Fatal(err)
		}
		size := LabelBits(l.Max()) / 8
		got := NewLabels(l.W, l.H)
		if len(raw) != size*len(got.ID) {
			t.Fatalf("%s: %d bytes", name, len(raw))
		}
		plane.ToLabel(got.ID, raw, size, plane.Type{Size: size, Kind: 'u'})
		sameLabels(t, got, l)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "maps.tif.raw"))
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range m.Pix {
		if binary.LittleEndian.Uint32(raw[4*i:]) != math.Float32bits(v) {
			t.Fatalf("map sample %d", i)
		}
	}
}

func TestImageJReadsOurs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Java")
	}
	jar := os.Getenv("UNET_IMAGEJ")
	if jar == "" {
		jar = "/usr/share/java/ij.jar"
	}
	if _, err := os.Stat(jar); err != nil {
		t.Skip("ImageJ is not installed")
	}
	if _, err := exec.LookPath("java"); err != nil {
		t.Skip("java is not installed")
	}
	dir := t.TempDir()
	files := consumerFiles(t, dir)
	args := []string{"-Djava.awt.headless=true", "-cp", jar, "../../bench/verify/testfiles/OpenInImageJ.java"}
	var names []string
	for name := range files {
		if strings.HasPrefix(name, "strips") { // ImageJ 1.x does not open tiles
			names = append(names, name)
			args = append(args, filepath.Join(dir, name))
		}
	}
	out, err := exec.Command("java", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range names {
		l := files[name]
		at := func(x, y int) float64 { return float64(l.ID[y*l.W+x]) }
		var w, h, slices, bits int
		var v [3]float64
		var um float64
		var unit string
		_, line, _ := strings.Cut(string(out), name+": ")
		if _, err := fmt.Sscanf(line, "%d x %d, %d slices, %d bits, pixels %g %g %g, %g %s", &w, &h, &slices, &bits, &v[0], &v[1], &v[2], &um, &unit); err != nil {
			t.Fatalf("%s: %v in\n%s", name, err, out)
		}
		if w != l.W || h != l.H || slices != 1 || bits != LabelBits(l.Max()) || um != 0.325 || unit != "µm" {
			t.Errorf("%s: %s", name, line)
		}
		if v != [3]float64{at(0, 0), at(l.W/2, l.H/2), at(l.W-1, l.H-1)} {
			t.Errorf("%s: pixels %v", name, v)
		}
	}
}

// Package oracle checks metrics, measurements and exported files against
// independent implementations in Python and ImageJ (check_metrics.py,
// check_formats.py): on a few synthetic label images whose expected numbers
// are kept in testdata, and, by hand, on real ones.
package oracle

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/dataset"
	"unet/unet/dataset/dsb2018"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/instance"
	"unet/unet/metrics"
)

// results is what check_metrics.py compares, by the same names.
type results struct {
	Taus     []float64        `json:"taus"`
	Pairs    []pairResult     `json:"pairs"`
	Pooled   []metrics.Scores `json:"pooled"`
	PerImage []metrics.Scores `json:"per_image"`
}

type pairResult struct {
	Name    string         `json:"name"`
	At      []count        `json:"at"`
	Inter   int64          `json:"aji_inter"`
	Union   int64          `json:"aji_union"`
	Pixels  metrics.Pixels `json:"pixels"`
	Regions []region       `json:"regions"`
}

type count struct {
	Tau float64 `json:"tau"`
	metrics.Counts
}

// region flattens a nucleus and its only channel into one JSON object.
type region struct {
	instance.Nucleus
	intensity
}

// intensity has the fields alone, which an object may hold beside others.
type intensity instance.Intensity

// sample is a true and a predicted label image and the image itself.
type sample struct {
	name        string
	truth, pred *imageio.Labels
	image       *imageio.Image
}

var taus = []float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95}

func compute(t *testing.T, samples []sample) results {
	t.Helper()
	out := results{Taus: taus}
	var all metrics.Aggregate
	for _, s := range samples {
		m, err := metrics.Match(s.truth, s.pred, taus)
		if err != nil {
			t.Fatal(err)
		}
		all.Add(m)
		px, err := metrics.ComparePixels(s.truth, s.pred)
		if err != nil {
			t.Fatal(err)
		}
		p := pairResult{Name: s.name, Inter: m.Inter, Union: m.Union, Pixels: px}
		for i, c := range m.At {
			p.At = append(p.At, count{taus[i], c})
		}
		for _, n := range instance.Measure(s.truth, s.image) {
			p.Regions = append(p.Regions, region{n, intensity(n.Channels[0])})
		}
		out.Pairs = append(out.Pairs, p)
	}
	out.Pooled, out.PerImage = all.Pooled(), all.PerImage()
	return out
}

// TestGolden compares with the numbers check_metrics.py computed for testdata.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*_truth.png")
	if err != nil || len(files) == 0 {
		t.Fatal("no label images in testdata")
	}
	var samples []sample
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), "_truth.png")
		s := sample{name: name, truth: readPNG(t, f), pred: readPNG(t, "testdata/"+name+"_pred.png")}
		img := readPNG(t, "testdata/"+name+"_image.png")
		s.image = imageio.NewImage(img.W, img.H, 1)
		for i, v := range img.ID {
			s.image.Pix[i] = float32(v)
		}
		samples = append(samples, s)
	}
	data, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	data, err = json.Marshal(compute(t, samples))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if n := compare(t, "", want, got); n < 3000 {
		t.Errorf("only %d numbers compared", n)
	}
}

// compare reports where got lacks or differs from want; it returns the number
// of values compared.
func compare(t *testing.T, where string, want, got any) int {
	n := 0
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			if k == "orientation" {
				if w["major_axis"].(float64)-w["minor_axis"].(float64) < 1e-6 {
					continue // a round object has no orientation
				}
				d := math.Mod(math.Abs(v.(float64)-g[k].(float64)), math.Pi)
				if min(d, math.Pi-d) > 1e-9 {
					t.Errorf("%s.%s is %v, want %v", where, k, g[k], v)
				}
				n++
				continue
			}
			n += compare(t, where+"."+k, v, g[k])
		}
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			t.Errorf("%s has %d entries, want %d", where, len(g), len(w))
			return 1
		}
		for i := range w {
			n += compare(t, fmt.Sprintf("%s[%d]", where, i), w[i], g[i])
		}
	case float64:
		n = 1
		if g, ok := got.(float64); !ok || math.Abs(g-w) > 1e-9*max(1, math.Abs(w)) {
			t.Errorf("%s is %v, want %v", where, got, w)
		}
	default:
		n = 1
		if want != got {
			t.Errorf("%s is %v, want %v", where, got, want)
		}
	}
	return n
}

// TestDump writes label images and what this program computes from them to
// the folder UNET_ORACLE_DUMP: synthetic ones, and in its folder real those of
// the Data Science Bowl.
func TestDump(t *testing.T) {
	dir := os.Getenv("UNET_ORACLE_DUMP")
	if dir == "" {
		t.Skip("set UNET_ORACLE_DUMP to a folder, then run check_metrics.py and check_formats.py on it")
	}
	rng := rand.New(rand.NewPCG(15, 16))
	var synthetic []sample
	for i := range 6 {
		synthetic = append(synthetic, draw(rng, fmt.Sprintf("%02d", i), i))
	}
	dump(t, dir, synthetic)

	src, err := dataset.OpenSource(dsb2018.Archive(t))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var real []sample
	for i := 0; i < src.Len(); i += 11 {
		s, findings := src.Read(i)
		if s == nil {
			t.Logf("image %d: %v", i, findings)
			continue
		}
		gray := imageio.NewImage(s.Image.W, s.Image.H, 1)
		copy(gray.Pix, s.Image.Plane(0))
		real = append(real,
			sample{fmt.Sprintf("%03da", i), s.Labels, threshold(gray), gray},
			sample{fmt.Sprintf("%03db", i), s.Labels, spoil(rng, s.Labels), gray})
	}
	dump(t, filepath.Join(dir, "real"), real)
}

// draw makes a scene of blobs: with ragged edges, pieces and holes (kind 1, 3,
// 5), and for kind 5 without any prediction.
func draw(rng *rand.Rand, name string, kind int) sample {
	const w, h = 120, 90
	s := sample{name: name, truth: imageio.NewLabels(w, h), image: imageio.NewImage(w, h, 1)}
	for id := uint32(1); id <= 24; id++ {
		cx, cy, a, b := rng.Float64()*w, rng.Float64()*h, 2+rng.Float64()*9, 2+rng.Float64()*9
		sin, cos := math.Sincos(rng.Float64() * math.Pi)
		for y := range h {
			for x := range w {
				dx, dy := float64(x)-cx, float64(y)-cy
				u, v := (dx*cos+dy*sin)/a, (dy*cos-dx*sin)/b
				if r := u*u + v*v; r < 1 && !(kind%2 == 1 && r > 0.4 && rng.IntN(4) == 0) {
					s.truth.ID[y*w+x] = id * 3
				}
			}
		}
	}
	for i := range s.image.Pix {
		s.image.Pix[i] = float32(rng.IntN(65536))
	}
	s.pred = spoil(rng, s.truth)
	if kind == 5 {
		s.pred = imageio.NewLabels(w, h)
	}
	return s
}

// spoil makes a prediction out of the truth: shifted, with nuclei missing,
// merged, split and invented.
func spoil(rng *rand.Rand, l *imageio.Labels) *imageio.Labels {
	out := imageio.NewLabels(l.W, l.H)
	n := l.Max()
	become := make([]uint32, n+1)
	halve := make([]bool, n+1)
	for id := uint32(1); id <= n; id++ {
		become[id] = id
		switch rng.IntN(8) {
		case 0:
			become[id] = 0
		case 1:
			become[id] = become[id-1]
		case 2:
			halve[id] = true
		}
	}
	dx, dy := rng.IntN(3), rng.IntN(3)
	for y := dy; y < l.H; y++ {
		for x := dx; x < l.W; x++ {
			id := l.ID[(y-dy)*l.W+x-dx]
			v := become[id]
			if v != 0 && halve[id] && (x+y)/6%2 == 0 {
				v += n
			}
			out.ID[y*l.W+x] = v
		}
	}
	for k := range uint32(3) {
		x, y := rng.IntN(l.W-4), rng.IntN(l.H-4)
		for i := range 16 {
			out.ID[(y+i/4)*l.W+x+i%4] = 2*n + 1 + k
		}
	}
	return out
}

// threshold segments as simply as can be: bright or dark pieces.
func threshold(m *imageio.Image) *imageio.Labels {
	lo, hi, sum := float32(math.Inf(1)), float32(math.Inf(-1)), 0.0
	for _, v := range m.Pix {
		lo, hi, sum = min(lo, v), max(hi, v), sum+float64(v)
	}
	maps := instance.NewMaps(m.W, m.H, instance.Foreground)
	for i, v := range m.Pix {
		f := (v - lo) / max(hi-lo, 1)
		if sum/float64(len(m.Pix)) > float64(lo+hi)/2 {
			f = 1 - f
		}
		maps.Pix[i] = f
	}
	return instance.Separate(maps, instance.Params{Foreground: 0.3, MinArea: 8, FillHoles: true})
}

func dump(t *testing.T, dir string, samples []sample) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		pix := make([]uint32, len(s.image.Pix))
		for i, v := range s.image.Pix {
			pix[i] = uint32(v)
		}
		writePNG(t, filepath.Join(dir, s.name+"_truth.png"), s.truth.W, s.truth.ID)
		writePNG(t, filepath.Join(dir, s.name+"_pred.png"), s.pred.W, s.pred.ID)
		writePNG(t, filepath.Join(dir, s.name+"_image.png"), s.image.W, pix)
		export(t, filepath.Join(dir, s.name), s)
	}
	data, err := json.Marshal(compute(t, samples))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// export writes the true nuclei in every format check_formats.py opens.
func export(t *testing.T, stem string, s sample) {
	t.Helper()
	src := formats.Source{Name: s.name, W: s.truth.W, H: s.truth.H, Channels: []string{"1"}}
	nuclei := instance.Measure(s.truth, s.image)
	for ext, writer := range map[string]func(io.Writer) formats.Writer{
		".zip": formats.NewROI, ".geojson": formats.NewGeoJSON, ".json": formats.NewCOCO, ".csv": formats.NewRLE,
	} {
		if err := atomicfile.WriteFile(stem+ext, func(w io.Writer) error {
			return formats.WriteAll(writer(w), src, nuclei)
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func writePNG(t *testing.T, path string, w int, v []uint32) {
	t.Helper()
	m := image.NewGray16(image.Rect(0, 0, w, len(v)/w))
	for i, x := range v {
		if x > math.MaxUint16 {
			t.Fatalf("%s: value %d does not fit", path, x)
		}
		m.SetGray16(i%w, i/w, color.Gray16{Y: uint16(x)})
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, m); err != nil {
		t.Fatal(err)
	}
}

func readPNG(t *testing.T, path string) *imageio.Labels {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := m.Bounds()
	l := imageio.NewLabels(b.Dx(), b.Dy())
	for i := range l.ID {
		l.ID[i] = uint32(m.(*image.Gray16).Gray16At(i%l.W, i/l.W).Y)
	}
	return l
}

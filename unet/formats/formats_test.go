package formats

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// mosaic is a label image of adversarial shapes: pieces, holes, pixels that
// meet at corners, nuclei within nuclei. Numbers are consecutive in the order
// of their values.
func mosaic(rng *rand.Rand, w, h int) *imageio.Labels {
	l := imageio.NewLabels(w, h)
	kinds := 1 + rng.IntN(5)
	for i := range l.ID {
		l.ID[i] = uint32(rng.IntN(kinds + 1))
	}
	if rng.IntN(2) == 0 { // coarser
		for y := range h {
			for x := range w {
				l.ID[y*w+x] = l.ID[y/3*w+x/3]
			}
		}
	}
	return l
}

// compact renumbers from 1 without gaps, keeping the order of numbers.
func compact(l *imageio.Labels) *imageio.Labels {
	out := imageio.NewLabels(l.W, l.H)
	for i, n := range instance.Measure(l, nil) {
		for _, r := range n.Runs {
			for x := r.X0; x < r.X1; x++ {
				out.ID[r.Y*l.W+x] = uint32(i + 1)
			}
		}
	}
	return out
}

type format struct {
	name  string
	write func(*bytes.Buffer) Writer
	read  func([]byte, int, int) (*imageio.Labels, Lost, error)
}

var codecs = []format{
	{"roi", func(b *bytes.Buffer) Writer { return NewROI(b) }, func(b []byte, w, h int) (*imageio.Labels, Lost, error) {
		e, err := ReadROI(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return nil, Lost{}, err
		}
		return e.Labels(w, h)
	}},
	{"geojson", func(b *bytes.Buffer) Writer { return NewGeoJSON(b) }, func(b []byte, w, h int) (*imageio.Labels, Lost, error) {
		e, err := ReadGeoJSON(bytes.NewReader(b))
		if err != nil {
			return nil, Lost{}, err
		}
		return e.Labels(w, h)
	}},
	{"coco", func(b *bytes.Buffer) Writer { return NewCOCO(b) }, func(b []byte, w, h int) (*imageio.Labels, Lost, error) {
		return single(ReadCOCO(bytes.NewReader(b)))(w, h)
	}},
	{"rle", func(b *bytes.Buffer) Writer { return NewRLE(b) }, func(b []byte, w, h int) (*imageio.Labels, Lost, error) {
		return single(ReadRLE(bytes.NewReader(b)))(w, h)
	}},
}

func single(e []Encoded, err error) func(w, h int) (*imageio.Labels, Lost, error) {
	return func(w, h int) (*imageio.Labels, Lost, error) {
		if err != nil {
			return nil, Lost{}, err
		}
		if len(e) != 1 {
			panic("want one image")
		}
		return e[0].Labels(w, h)
	}
}

func TestFormatsReadBackWhatTheyWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, f := range codecs {
		t.Run(f.name, func(t *testing.T) {
			for range 200 {
				l := mosaic(rng, 1+rng.IntN(24), 1+rng.IntN(24))
				var b bytes.Buffer
				if err := WriteAll(f.write(&b), Source{Name: "a", W: l.W, H: l.H}, instance.Measure(l, nil)); err != nil {
					t.Fatal(err)
				}
				got, lost, err := f.read(b.Bytes(), l.W, l.H)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(compact(l), got); diff != "" || lost != (Lost{}) {
					t.Fatalf("lost %+v (-written +read)\n%s", lost, diff)
				}
			}
		})
	}
}

func FuzzReaders(f *testing.F) {
	rng := rand.New(rand.NewPCG(11, 12))
	for i, fm := range codecs {
		var b bytes.Buffer
		l := mosaic(rng, 12, 9)
		if err := WriteAll(fm.write(&b), Source{Name: "a", W: l.W, H: l.H}, instance.Measure(l, nil)); err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), b.Bytes())
	}
	f.Add(uint8(0), encodeROI(&instance.Nucleus{Runs: []instance.Run{{Y: 0, X0: 0, X1: 3}, {Y: 1, X0: 0, X1: 1}}, X1: 3, Y1: 2}, "x"))
	f.Add(uint8(2), []byte(`{"images":[{"id":1,"width":9,"height":9}],"annotations":[{"image_id":1,"segmentation":[[0,0,5,0,5,1e300]]}]}`))
	f.Add(uint8(3), []byte("ImageId,EncodedPixels,Height,Width,Usage\na,1 3 7 1,9,9,Public\na,,9,9,Public\n"))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		fm := codecs[int(which)%len(codecs)]
		switch fm.name {
		case "coco", "rle":
			all, err := ReadCOCO(bytes.NewReader(data))
			if fm.name == "rle" {
				all, err = ReadRLE(bytes.NewReader(data))
			}
			if err != nil {
				oneLine(t, err)
				return
			}
			for _, e := range all {
				w, h := e.W, e.H
				if w*h == 0 || w > 1<<16/h {
					w, h = 40, 30
				}
				if l, _, err := e.Labels(w, h); err != nil {
					oneLine(t, err)
				} else if int(l.Max()) > e.Len() {
					t.Errorf("number %d among %d nuclei", l.Max(), e.Len())
				}
			}
		default:
			l, _, err := fm.read(data, 40, 30)
			if err != nil {
				oneLine(t, err)
			} else if len(l.ID) != 1200 {
				t.Error("wrong size")
			}
		}
	})
}

func oneLine(t *testing.T, err error) {
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
}

func TestRLEByHand(t *testing.T) {
	// 3 wide, 4 high; nucleus 7 is column 1 from row 2 and column 2 to row 0.
	l := imageio.NewLabels(3, 4)
	for _, i := range []int{7, 10, 2} {
		l.ID[i] = 7
	}
	l.ID[0] = 9
	var b bytes.Buffer
	w := NewRLE(&b)
	if err := w.Begin(Source{Name: "empty", W: 3, H: 4}); err != nil {
		t.Fatal(err)
	}
	if err := WriteAll(w, Source{Name: "a", W: 3, H: 4}, instance.Measure(l, nil)); err != nil {
		t.Fatal(err)
	}
	want := "ImageId,EncodedPixels\nempty,\na,7 3\na,1 1\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestReadRLERefuses(t *testing.T) {
	for name, c := range map[string]struct{ csv, want string }{
		"no header":     {"a,1 2\n", "must name the columns"},
		"odd":           {"ImageId,EncodedPixels\na,1 2 3\n", "line 2: 3 numbers"},
		"zero":          {"ImageId,EncodedPixels\na,0 2\n", "line 2: pixel number or run length 0"},
		"negative":      {"ImageId,EncodedPixels\na,1 -2\n", "out of range"},
		"text":          {"ImageId,EncodedPixels\na,x 2\n", `"x" is not`},
		"overlap":       {"ImageId,EncodedPixels\na,1 5\na,5 1\n", "nuclei 1 and 2 overlap at pixel 5"},
		"twice":         {"ImageId,EncodedPixels\na,1 5 3 1\n", "nucleus 1 encodes pixel 3 twice"},
		"bad size":      {"ImageId,EncodedPixels,Height,Width\na,1 5,0,5\n", "not the size of an image"},
		"sizes differ":  {"ImageId,EncodedPixels,Height,Width\na,1 5,5,5\na,9 1,6,5\n", "5 x 6 here and 5 x 5 before"},
		"short row":     {"ImageId,EncodedPixels\na\n", "line 2"},
		"empty":         {"", "header"},
		"beyond image":  {"ImageId,EncodedPixels\na,1199 3\n", "ends beyond"},
		"huge length":   {"ImageId,EncodedPixels\na,1 1099511627776\n", "ends beyond"},
		"other's sizes": {"ImageId,EncodedPixels,Height,Width\na,1 5,5,5\n", "outlined on 5 x 5 pixels"},
	} {
		all, err := ReadRLE(strings.NewReader(c.csv))
		if err == nil {
			_, _, err = all[0].Labels(40, 30)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", name, err, c.want)
		}
	}
}

func TestOverlappingPolygonsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`[`)
	for i := range 100 {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[9,0],[9,9],[0,9],[0,0]]]}}`)
	}
	b.WriteString(`]`)
	e, err := ReadGeoJSON(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Labels(9, 9); err == nil || !strings.Contains(err.Error(), "times over") {
		t.Errorf("error %v", err)
	}
	one := &Encoded{objects: []object{{}}}
	for _, o := range e.objects { // parts of one nucleus
		one.objects[0].polygons = append(one.objects[0].polygons, o.polygons...)
	}
	if _, _, err := one.Labels(9, 9); err == nil || !strings.Contains(err.Error(), "times over") {
		t.Errorf("one nucleus of many equal parts: error %v", err)
	}
	e.objects = e.objects[:3]
	l, lost, err := e.Labels(9, 9)
	if err != nil || lost != (Lost{Overlap: 2 * 81, Hidden: 2}) || l.Max() != 1 {
		t.Errorf("lost %+v, largest %d, %v; want 162 pixels lost to the first", lost, l.Max(), err)
	}
}

func TestTables(t *testing.T) {
	l := imageio.NewLabels(4, 3)
	for _, i := range []int{5, 6, 9, 10} {
		l.ID[i] = 3
	}
	l.ID[0] = 1
	img := imageio.NewImage(4, 3, 2)
	img.Channels = []string{"DAPI"}
	for i := range img.Pix {
		img.Pix[i] = float32(i)
	}
	src := Source{Name: "a.tif", W: 4, H: 3, PixelSize: imageio.PixelSize{X: 0.5, Y: 0.5}, Channels: ChannelNames(img)}
	var b bytes.Buffer
	nuclei := instance.Measure(l, img)
	if err := WriteAll(NewTable(&b), src, nuclei); err != nil {
		t.Fatal(err)
	}
	cells := func(b *bytes.Buffer) map[string][]string {
		rows, err := csv.NewReader(b).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]string{}
		for c, name := range rows[0] {
			for _, r := range rows[1:] {
				out[name] = append(out[name], r[c])
			}
		}
		return out
	}
	got := cells(&b)
	for name, want := range map[string][]string{
		"image": {"a.tif", "a.tif"}, "nucleus": {"1", "3"}, "x": {"0", "1.5"}, "y": {"0", "1.5"},
		"x1": {"1", "3"}, "edge": {"true", "true"}, "area": {"1", "4"}, "area_um2": {"0.25", "1"},
		"x_um": {"0.25", "1"}, "solidity": {"1", "1"}, "mean_DAPI": {"0", "7.5"}, "max_2": {"12", "22"},
		"sum_DAPI": {"0", "30"}, "min_2": {"12", "17"},
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("column %s: %s", name, diff)
		}
	}
	sum := summaryCells(src, instance.Summarise(nuclei, 4, 3, nil))
	for name, want := range map[string]string{"count": "2", "edge_count": "2", "coverage": "0.416667", "region_area": "12",
		"area_mean": "2.5", "solidity": "1", "eccentricity": "0", "area_median": "2.5", "area_std": "1.5", "area_mean_um2": "0.625",
		"density_per_mm2": "666666.67", "mean_DAPI": "3.75"} {
		if sum[name] != want {
			t.Errorf("summary %s is %v, want %s", name, sum[name], want)
		}
	}
}

// TestMarkers: a nucleus is positive if its measurement, as the table tells it, is above
// the threshold, so that whoever reads the table comes to the same; one that has no such
// measurement is neither positive nor negative.
func TestMarkers(t *testing.T) {
	src := Source{Name: "a.tif", W: 8, H: 1, Channels: []string{"A"}, Markers: []Marker{{"A", "mean_A", 0.333333}, {"right", "confidence", 0.5}}}
	var nuclei []instance.Nucleus
	for i, v := range []struct{ mean, confidence float64 }{{1.0 / 3, 0.75}, {0.333334, 0.5}, {0.333332, 0}} {
		n := instance.Nucleus{ID: uint32(i + 1), X0: i, X1: i + 1, Y1: 1, Area: 1, Confidence: v.confidence}
		n.Runs, n.Channels = []instance.Run{{Y: 0, X0: i, X1: i + 1}}, []instance.Intensity{{Mean: v.mean}}
		nuclei = append(nuclei, n)
	}
	var b bytes.Buffer
	if err := WriteAll(NewTable(&b), src, nuclei); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, r := range rows {
		got = append(got, r[len(r)-2:])
	}
	want := [][]string{{PositiveColumn + "A", PositiveColumn + "right"}, {"false", "true"}, {"true", "false"}, {"false", ""}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnits: measurements are in the unit that their name says. The nucleus has
// 4 x 4 pixels: its border through pixel centres is 12 pixels long, and its largest
// diameter goes, as scikit-image's, between the midpoints of sides of two pixels.
func TestUnits(t *testing.T) {
	l := imageio.NewLabels(8, 8)
	for at := range l.ID {
		if x, y := at%8, at/8; x >= 1 && x < 5 && y >= 2 && y < 6 {
			l.ID[at] = 1
		}
	}
	// Lines along x, 1 µm apart, cross the outline 8 times, those along y, 0.5 µm apart,
	// 8 times, and both diagonals, 0.5 / √1.25 µm apart, 14 times; each direction
	// counts by the angles nearest to it.
	slope := math.Atan2(1, 0.5)
	crofton := (slope*1*8 + (math.Pi/2-slope)*0.5*8 + math.Pi/4*0.5/math.Sqrt(1.25)*28) / 2
	for _, c := range []struct {
		name string
		size imageio.PixelSize
		want map[string]float64
	}{
		{"unknown size", imageio.PixelSize{}, map[string]float64{
			"Area px^2": 16, "Perimeter px": 12, "Max diameter px": math.Hypot(4, 3)}},
		{"square pixels", imageio.PixelSize{X: 0.5, Y: 0.5}, map[string]float64{
			"Area px^2": 16, "Area µm^2": 4, "Perimeter px": 12, "Perimeter µm": 6, "Max diameter µm": math.Hypot(2, 1.5)}},
		{"pixels twice as high", imageio.PixelSize{X: 0.5, Y: 1}, map[string]float64{
			"Area px^2": 16, "Area µm^2": 8, "Perimeter px": 12, "Perimeter µm": crofton, "Max diameter µm": math.Hypot(1.5, 4)}},
	} {
		var b bytes.Buffer
		if err := WriteAll(NewGeoJSON(&b), Source{Name: "a.tif", W: 8, H: 8, PixelSize: c.size}, instance.Measure(l, nil)); err != nil {
			t.Fatal(err)
		}
		var file struct {
			Features []struct {
				Properties struct{ Measurements map[string]float64 }
			}
		}
		if err := json.Unmarshal(b.Bytes(), &file); err != nil || len(file.Features) != 1 {
			t.Fatalf("%s: %v in %s", c.name, err, &b)
		}
		got := file.Features[0].Properties.Measurements
		for name, v := range got {
			want, ok := c.want[name]
			if unit := strings.Contains(name, "px") || strings.Contains(name, "µm"); unit && (!ok || math.Abs(v-want) > 1e-9) {
				t.Errorf("%s: %s is %v, want %v", c.name, name, v, want)
			}
			delete(c.want, name)
		}
		if len(c.want) > 0 {
			t.Errorf("%s: %v are missing", c.name, c.want)
		}
	}
}

// TestCOCOBoxes: a box is x, y, width and height (the COCO data format), which
// are not its corners.
func TestCOCOBoxes(t *testing.T) {
	l := imageio.NewLabels(9, 7)
	for y := 2; y < 5; y++ {
		for x := 3; x < 8; x++ {
			l.ID[y*l.W+x] = 1
		}
	}
	var b bytes.Buffer
	if err := WriteAll(NewCOCO(&b), Source{Name: "a.tif", W: 9, H: 7}, instance.Measure(l, nil)); err != nil {
		t.Fatal(err)
	}
	var file struct {
		Annotations []struct {
			BBox [4]float64
			Area float64
		}
	}
	if err := json.Unmarshal(b.Bytes(), &file); err != nil || len(file.Annotations) != 1 {
		t.Fatalf("%v in %s", err, &b)
	}
	if a := file.Annotations[0]; a.BBox != [4]float64{3, 2, 5, 3} || a.Area != 15 {
		t.Errorf("box %v of area %v, want [3 2 5 3] of 15", a.BBox, a.Area)
	}
}

// TestCOCOCounts: run lengths go down the columns, begin with background, and add up to
// all pixels, without which the COCO API does not decode them.
func TestCOCOCounts(t *testing.T) {
	for _, c := range []struct {
		runs []instance.Run // of an image of 3 x 2
		want []int
	}{
		{[]instance.Run{{Y: 1, X0: 1, X1: 2}}, []int{3, 1, 2}},
		{[]instance.Run{{Y: 0, X0: 0, X1: 1}}, []int{0, 1, 5}},
		{[]instance.Run{{Y: 1, X0: 2, X1: 3}}, []int{5, 1}},
		{[]instance.Run{{Y: 0, X0: 0, X1: 3}}, []int{0, 1, 1, 1, 1, 1, 1}},
		{[]instance.Run{{Y: 0, X0: 1, X1: 3}, {Y: 1, X0: 1, X1: 2}}, []int{2, 3, 1}},
	} {
		if diff := cmp.Diff(c.want, counts(c.runs, 3, 2)); diff != "" {
			t.Errorf("%v: %s", c.runs, diff)
		}
	}
}

// TestReadCOCOForms: nuclei are polygons, or run lengths as a list or, packed, as a text,
// of an image of 3 x 2 pixels. What is wrong with an annotation is told with its number.
func TestReadCOCOForms(t *testing.T) {
	const first = `{"image_id":7,"segmentation":{"size":[2,3],"counts":[0,1,5]}}` // pixel 0, 0
	for _, c := range []struct {
		name, segmentation string
		labels             []uint32
		err                string
	}{
		{"a polygon", `[[1,0,3,0,3,1,1,1]]`, []uint32{1, 2, 2, 0, 0, 0}, ""},
		{"two polygons", `[[1,0,2,0,2,1,1,1],[2,1,3,1,3,2,2,2]]`, []uint32{1, 2, 0, 0, 0, 2}, ""},
		{"a list", `{"size":[2,3],"counts":[3,1,2]}`, []uint32{1, 0, 0, 0, 2, 0}, ""},
		{"a list with empty runs", `{"size":[2,3],"counts":[3,0,0,3]}`, []uint32{1, 0, 2, 0, 2, 2}, ""},
		{"packed", `{"size":[2,3],"counts":"312"}`, []uint32{1, 0, 0, 0, 2, 0}, ""},
		{"nothing", `null`, nil, "it has no segmentation"},
		{"an odd number", `[[1,0,3]]`, nil, "odd number"},
		{"texts", `[["a"]]`, nil, "its polygons"},
		{"another size", `{"size":[3,2],"counts":[3,1,2]}`, nil, "its mask is 2 x 3, its image 3 x 2"},
		{"too long a run", `{"size":[2,3],"counts":[3,4]}`, nil, "run length 2 does not fit"},
	} {
		all, err := ReadCOCO(strings.NewReader(`{"images":[{"id":7,"file_name":"a","width":3,"height":2}],
			"annotations":[` + first + `,{"image_id":7,"segmentation":` + c.segmentation + `}]}`))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), "annotation 2: ") || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		l, _, err := single(all, err)(0, 0)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(c.labels, l.ID); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestSummaryOfNothing: an image without nuclei has no mean of them.
func TestSummaryOfNothing(t *testing.T) {
	src := Source{Name: "a.tif", W: 10, H: 10, PixelSize: imageio.PixelSize{X: 0.5, Y: 0.5}, Channels: []string{"1"}, Region: 50}
	row := strings.Join(SummaryRow(src, instance.Summary{}), ",")
	if want := "a.tif,10,10,0.5,0.5,0,0,0,50,0,,,,,,,,0,,,,,"; row != want {
		t.Errorf("%q, want %q", row, want)
	}
}

// summaryCells is the row of an image by column.
func summaryCells(src Source, s instance.Summary) map[string]string {
	cells := map[string]string{}
	row := SummaryRow(src, s)
	for i, c := range SummaryColumns(src) {
		cells[c.Name] = row[i]
	}
	return cells
}

func TestWritersNeedAnImage(t *testing.T) {
	var b bytes.Buffer
	for _, w := range []Writer{NewTable(&b), NewRLE(&b), NewROI(&b), NewGeoJSON(&b), NewCOCO(&b)} {
		if err := w.Write(&instance.Nucleus{Runs: []instance.Run{{Y: 0, X0: 0, X1: 1}}}); err == nil {
			t.Errorf("%T takes a nucleus of no image", w)
		}
	}
	for _, w := range []Writer{NewROI(&b), NewGeoJSON(&b)} {
		_ = w.Begin(Source{Name: "a", W: 9, H: 9})
		if err := w.Begin(Source{Name: "b", W: 9, H: 9}); err == nil {
			t.Errorf("%T takes two images", w)
		}
	}
	for x, kind := range map[int]byte{100: roiTraced, 40000: roiTraced, 60600: roiRect, 1 << 20: roiRect} {
		// Beyond 16 bits a region has to be a composite; see bench/verify/consumers.
		roi := encodeROI(&instance.Nucleus{Runs: []instance.Run{{Y: 0, X0: x, X1: x + 3}, {Y: 1, X0: x, X1: x + 1}}, X0: x, X1: x + 3, Y1: 2}, "x")
		if roi[roiAtType] != kind {
			t.Errorf("region at %d is of kind %d, not %d", x, roi[roiAtType], kind)
		}
	}
}

func TestROIKinds(t *testing.T) {
	// An oval 40 x 20 drawn by hand: header only.
	b := make([]byte, roiHeader)
	copy(b, "Iout")
	b[roiAtType] = roiOval
	b[roiAtBounds+1], b[roiAtBounds+3], b[roiAtBounds+5], b[roiAtBounds+7] = 5, 3, 25, 43
	e, err := ReadROI(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := e.Labels(50, 30)
	if err != nil {
		t.Fatal(err)
	}
	n := instance.Measure(l, nil)
	if len(n) != 1 || math.Abs(float64(n[0].Area)-math.Pi*20*10) > 10 || n[0].X0 != 3 || n[0].Y1 != 25 {
		t.Errorf("oval drawn as %+v", n)
	}
	b[roiAtType] = 3 // line
	if _, err := ReadROI(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), "encloses no area") {
		t.Errorf("line region: %v", err)
	}
}

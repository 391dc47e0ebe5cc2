package formats

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// square is a GeoJSON polygon.
func square(x, y, n int) string {
	return fmt.Sprintf(`{"type":"Polygon","coordinates":[[[%d,%d],[%d,%d],[%d,%d],[%d,%d],[%d,%d]]]}`, x, y, x+n, y, x+n, y+n, x, y+n, x, y)
}

// TestGeoJSONOfQuPath: of cells the nucleus counts, regions that hold detections
// are none, and what is left out is told.
func TestGeoJSONOfQuPath(t *testing.T) {
	object := func(kind, geometry, more string) string {
		return fmt.Sprintf(`{"type":"Feature","id":"b6c1","geometry":%s,%s"properties":{"objectType":%q,"measurements":{"Area":3.5}}}`, geometry, more, kind)
	}
	cell := object("cell", square(0, 0, 8), `"nucleusGeometry":`+square(2, 2, 3)+",")
	bare := object("cell", square(10, 10, 4), "")
	annotation := object("annotation", square(0, 0, 20), "")
	detection := object("detection", square(12, 2, 5), "")
	old := func(class, geometry string) string {
		return fmt.Sprintf(`{"type":"Feature","id":"Path%sObject","geometry":%s,"properties":{"isLocked":false}}`, class, geometry)
	}
	for _, c := range []struct {
		name     string
		features string
		areas    []int
		note     string
	}{
		{"a cell", cell, []int{9}, ""},
		{"a cell without nucleus among others", cell + "," + bare, []int{9}, "1 cell has no outline of its nucleus and is left out"},
		{"cells without nuclei", bare, []int{16}, "the cell's is taken"},
		{"a region with detections", annotation + "," + detection, []int{25}, "1 region"},
		{"detections within tiles", object("tile", square(0, 0, 20), "") + "," + detection + "," + annotation, []int{25}, "2 regions"},
		{"annotations drawn by hand", object("annotation", square(1, 1, 3), "") + "," + object("annotation", square(9, 9, 2), ""), []int{9, 4}, ""},
		{"QuPath 0.2", old("Annotation", square(0, 0, 20)) + "," + old("Detection", square(12, 2, 5)), []int{25}, "1 region"},
		{"QuPath 0.3", strings.ReplaceAll(annotation+","+detection, "objectType", "object_type"), []int{25}, "1 region"},
		{"another program", `{"type":"Feature","geometry":` + square(3, 3, 4) + `}`, []int{16}, ""},
		{"a point among nuclei", detection + `,{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}`, []int{25}, "1 feature encloses no area"},
		{"no geometry", detection + `,{"type":"Feature","geometry":null,"properties":{"objectType":"root"}}`, []int{25}, "1 region"},
		{"a collection", `{"type":"Feature","geometry":{"type":"GeometryCollection","geometries":[` + square(0, 0, 3) + `,{"type":"LineString","coordinates":[[0,0],[1,1]]}]}}`, []int{9}, ""},
	} {
		e, err := ReadGeoJSON(strings.NewReader(`{"type":"FeatureCollection","features":[` + c.features + `]}`))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		l, lost, err := e.Labels(30, 30)
		if err != nil || lost != (Lost{}) {
			t.Errorf("%s: lost %+v, %v", c.name, lost, err)
			continue
		}
		var areas []int
		for _, n := range instance.Measure(l, nil) {
			areas = append(areas, n.Area)
		}
		if fmt.Sprint(areas) != fmt.Sprint(c.areas) {
			t.Errorf("%s: areas %v, want %v", c.name, areas, c.areas)
		}
		if all := strings.Join(e.Notes, "; "); !strings.Contains(all, c.note) || c.note == "" && all != "" {
			t.Errorf("%s: notes %q", c.name, all)
		}
	}
	for name, features := range map[string]string{
		"only points":   `{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]}}`,
		"deep":          `{"type":"Feature","geometry":{"type":"GeometryCollection","geometries":[{"type":"GeometryCollection"}]}}`,
		"nucleus of no": object("cell", square(0, 0, 8), `"nucleusGeometry":{"type":"Polygon","coordinates":7},`),
	} {
		if _, err := ReadGeoJSON(strings.NewReader(`[` + features + `]`)); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			oneLine(t, err)
		}
	}
}

// TestOutsideTheImage: nuclei that lie outside, or under others, are counted.
func TestOutsideTheImage(t *testing.T) {
	e, err := ReadGeoJSON(strings.NewReader(`[{"type":"Feature","geometry":` + square(2, 2, 4) + `},{"type":"Feature","geometry":` + square(200, 2, 4) +
		`},{"type":"Feature","geometry":` + square(3, 3, 2) + `},{"type":"Feature","geometry":` + square(-9, -9, 4) + `}]`))
	if err != nil {
		t.Fatal(err)
	}
	l, lost, err := e.Labels(20, 20)
	if err != nil || lost != (Lost{Overlap: 4, Outside: 2, Hidden: 1}) || l.Max() != 1 {
		t.Errorf("lost %+v, largest %d, %v", lost, l.Max(), err)
	}
	// One that only touches an edge of the image has no pixel in it.
	for _, at := range [][2]int{{-4, 2}, {20, 2}, {2, -4}, {2, 20}} {
		e, err := ReadGeoJSON(strings.NewReader(`[{"type":"Feature","geometry":` + square(at[0], at[1], 4) + `}]`))
		if err != nil {
			t.Fatal(err)
		}
		if _, lost, err := e.Labels(20, 20); err != nil || lost != (Lost{Outside: 1}) {
			t.Errorf("a square at %v: lost %+v, %v", at, lost, err)
		}
	}
}

// TestReadRegions: regions are QuPath's annotations, and where a file has none all that
// is in it.
func TestReadRegions(t *testing.T) {
	feature := func(x int, kind string) string {
		return `{"type":"Feature","properties":{"objectType":"` + kind + `"},"geometry":` + square(x, 0, 2) + `}`
	}
	for _, c := range []struct {
		features []string
		want     []uint32 // of a row of 8 pixels
	}{
		{[]string{feature(0, "annotation"), feature(3, "detection"), feature(6, "annotation")}, []uint32{1, 1, 0, 0, 0, 0, 2, 2}},
		{[]string{feature(0, "detection"), feature(3, "detection")}, []uint32{1, 1, 0, 2, 2, 0, 0, 0}},
	} {
		e, err := ReadRegions(strings.NewReader("[" + strings.Join(c.features, ",") + "]"))
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := e.Labels(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, l.ID); diff != "" {
			t.Errorf("%s: %s", c.features, diff)
		}
	}
}

// TestPackedGeoJSON: QuPath packs its exports when asked.
func TestPackedGeoJSON(t *testing.T) {
	text := `{"type":"FeatureCollection","features":[{"type":"Feature","geometry":` + square(2, 2, 4) + `}]}`
	var zipped, gzipped, two bytes.Buffer
	z := zip.NewWriter(&zipped)
	for name, content := range map[string]string{"a.geojson": text, "__MACOSX/._a.geojson": "\x00\x05\x16\x07"} {
		w, _ := z.Create(name)
		io.WriteString(w, content)
	}
	z.Close()
	g := gzip.NewWriter(&gzipped)
	io.WriteString(g, text)
	g.Close()
	z = zip.NewWriter(&two)
	z.Create("a.geojson")
	z.Create("b.geojson")
	z.Close()
	for name, b := range map[string]*bytes.Buffer{"zip": &zipped, "gzip": &gzipped} {
		if e, err := ReadGeoJSON(b); err != nil || e.Len() != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadGeoJSON(&two); err == nil || !strings.Contains(err.Error(), "several files") {
		t.Errorf("two files: %v", err)
	}
}

// TestGeoJSONHoldsNoNull: QuPath refuses measurements that are null.
func TestGeoJSONHoldsNoNull(t *testing.T) {
	l := imageio.NewLabels(3, 3)
	l.ID[4] = 1
	img := imageio.NewImage(3, 3, 1)
	img.Pix[4] = float32(math.NaN())
	var b bytes.Buffer
	if err := WriteAll(NewGeoJSON(&b), Source{Name: "a", W: 3, H: 3, Channels: []string{"x"}}, instance.Measure(l, img)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") || strings.Contains(b.String(), "NaN") || !json.Valid(b.Bytes()) {
		t.Error(b.String())
	}
}

// TestGeoJSONOfALevel: outlines are in pixels of the full resolution, whatever level of
// a pyramid they were found on.
func TestGeoJSONOfALevel(t *testing.T) {
	l := imageio.NewLabels(3, 3)
	l.ID[4] = 1
	var b bytes.Buffer
	if err := WriteAll(NewGeoJSON(&b), Source{Name: "a", W: 3, H: 3, FullW: 12, FullH: 7}, instance.Measure(l, nil)); err != nil {
		t.Fatal(err)
	}
	if want := `[[[4,2.333],[8,2.333],[8,4.667],[4,4.667],[4,2.333]]]`; !strings.Contains(b.String(), want) {
		t.Errorf("%s, want %s", b.String(), want)
	}
}

// roiAt is a .roi file of a rectangle, at a position and a slice of a stack.
func roiAt(position, slice int) []byte {
	b := make([]byte, roiHeader)
	copy(b, "Iout")
	b[roiAtType] = roiRect
	b[roiAtBounds+1], b[roiAtBounds+3], b[roiAtBounds+5], b[roiAtBounds+7] = byte(2+3*slice+position), 3, byte(4+3*slice+position), 5
	binary.BigEndian.PutUint32(b[roiAtPosition:], uint32(position))
	binary.BigEndian.PutUint32(b[roiAtHeader2:], roiHeader)
	b = append(b, make([]byte, roiHeader2Size)...)
	binary.BigEndian.PutUint32(b[roiHeader+roiAtSlice:], uint32(slice))
	return b
}

// archive packs files into a zip archive, in order.
func archive(t *testing.T, files ...any) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i].(string))
		if err != nil {
			t.Fatal(err)
		}
		w.Write(files[i+1].([]byte))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

// TestROIArchiveOfMacOS: what macOS adds when it packs a folder is no region.
func TestROIArchiveOfMacOS(t *testing.T) {
	r := archive(t, "rois/", []byte{}, "rois/1.roi", roiAt(0, 0), "__MACOSX/rois/._1.roi", []byte("\x00\x05\x16\x07"), "rois/.DS_Store", []byte("x"))
	e, err := ReadROI(r, r.Size())
	if err != nil || e.Len() != 1 {
		t.Fatalf("%+v %v", e, err)
	}
	r = archive(t, "a.geojson", []byte("{}"))
	if _, err := ReadROI(r, r.Size()); !errors.Is(err, ErrNoROI) {
		t.Errorf("an archive of GeoJSON: %v", err)
	}
	r = archive(t, "1.roi", append([]byte("Iuot"), roiAt(0, 0)[4:]...))
	if _, err := ReadROI(r, r.Size()); err == nil || !strings.Contains(err.Error(), `"1.roi": not an ImageJ region`) {
		t.Errorf("a file of another program under the name of a region: %v", err)
	}
	r = archive(t)
	if e, err := ReadROI(r, r.Size()); err != nil || e.Len() != 0 {
		t.Errorf("an empty archive: %v", err)
	}
}

// TestROIsOnSlices: of regions on several slices one slice is chosen.
func TestROIsOnSlices(t *testing.T) {
	for name, at := range map[string]func(z int) []byte{
		"stack":      func(z int) []byte { return roiAt(z, 0) },
		"hyperstack": func(z int) []byte { return roiAt(7, z) },
	} {
		read := func(z int) (int, error) {
			r := archive(t, "1.roi", at(1), "2.roi", at(3), "3.roi", at(3), "all.roi", roiAt(0, 0))
			e, err := ReadROI(r, r.Size())
			if err != nil {
				t.Fatal(err)
			}
			err = e.Slice(z)
			return e.Len(), err
		}
		if n, err := read(2); err != nil || n != 3 {
			t.Errorf("%s, slice 2: %d regions, %v", name, n, err)
		}
		var several *SliceError
		if _, err := read(-1); !errors.As(err, &several) || len(several.Slices) != 2 || several.Hint() == "" {
			t.Errorf("%s, none chosen: %v", name, err)
		}
		if _, err := read(1); !errors.As(err, &several) || several.Chosen != 1 {
			t.Errorf("%s, slice 1: %v", name, err)
		}
	}
	r := archive(t, "1.roi", roiAt(4, 0))
	if e, err := ReadROI(r, r.Size()); err != nil || e.Slice(-1) != nil {
		t.Errorf("all on one slice: %v", err)
	}
}

// TestROICurves: composite regions of ovals are Bézier curves.
func TestROICurves(t *testing.T) {
	const r, k = 10.0, 0.5522847498 // a quarter of a circle
	var b []byte
	put := func(v ...float64) {
		for _, f := range v {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(f)))
		}
	}
	put(shapeMove, 15+r, 15)
	for i := range 4 {
		c, s := []float64{1, 0, -1, 0}[i], []float64{0, 1, 0, -1}[i]
		put(shapeCubic, 15+r*(c-k*s), 15+r*(s+k*c), 15+r*(-s+k*c), 15+r*(c+k*s), 15-r*s, 15+r*c)
	}
	put(shapeClose)
	rings, err := shapeRings(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []instance.Point{{X: 25, Y: 15}, {X: 15, Y: 25}, {X: 5, Y: 15}, {X: 15, Y: 5}, {X: 25, Y: 15}} {
		if got := rings[0][i*(len(rings[0])-1)/4]; got != want {
			t.Errorf("quarter %d begins at %v, want %v", i, got, want)
		}
	}
	e := &Encoded{objects: []object{{polygons: [][][]instance.Point{rings}}}}
	l, _, err := e.Labels(30, 30)
	if err != nil {
		t.Fatal(err)
	}
	if a := instance.Measure(l, nil)[0].Area; math.Abs(float64(a)-math.Pi*r*r) > 8 {
		t.Errorf("a disk of radius %v has %d pixels", r, a)
	}
	for i := 4; i < len(b); i += 4 { // cut anywhere
		shapeRings(b[:i])
	}
	if _, err := shapeRings(b[12:]); err == nil {
		t.Error("a curve without a start was read")
	}
}

// TestROIsWithoutArea: lines and points among the areas of an archive are left out
// and told; an archive of nothing else is refused.
func TestROIsWithoutArea(t *testing.T) {
	rectangle := func(kind byte) []byte {
		b := make([]byte, 64)
		copy(b, "Iout")
		b[5] = 227
		b[6] = kind
		b[9], b[11], b[13], b[15] = 2, 3, 6, 9 // top, left, bottom, right
		return b
	}
	archive := func(kinds ...byte) *bytes.Reader {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for i, kind := range kinds {
			w, err := z.Create(fmt.Sprintf("%d.roi", i))
			if err == nil {
				_, err = w.Write(rectangle(kind))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return bytes.NewReader(b.Bytes())
	}
	const area, line = 1, 3
	r := archive(line, area, line)
	e, err := ReadROI(r, r.Size())
	if err != nil {
		t.Fatal(err)
	}
	l, _, err := e.Labels(20, 20)
	if err != nil {
		t.Fatal(err)
	}
	if n := instance.Measure(l, nil); len(n) != 1 || n[0].Area != 24 || len(e.Notes) != 1 || e.Notes[0] != "2 regions enclose no area and are left out" {
		t.Errorf("%d nuclei, notes %q", len(n), e.Notes)
	}
	r = archive(line)
	if _, err := ReadROI(r, r.Size()); err == nil || !strings.Contains(err.Error(), "encloses no area") {
		t.Errorf("%v", err)
	}
}

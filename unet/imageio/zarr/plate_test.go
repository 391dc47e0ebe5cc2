package zarr

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet/imageio/plane"
)

// writeTree writes files, by path, into a new folder of that name.
func writeTree(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// image4 adds an image of 4 x 4 samples of one value, with a level of 2 x 2, in
// pixels of 0.5 x 1 µm.
func image4(files map[string]string, dir string, value byte) {
	files[dir+"/.zattrs"] = `{"multiscales": [{"version": "0.4", "axes": [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}], "datasets": [
		{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5]}]},
		{"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [2, 1]}]}]}]}`
	for level, n := range []int{4, 2} {
		files[fmt.Sprintf("%s/%d/.zarray", dir, level)] = fmt.Sprintf(`{"zarr_format": 2, "shape": [%d, %d], "chunks": [%d, %d], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`, n, n, n, n)
		files[fmt.Sprintf("%s/%d/0.0", dir, level)] = strings.Repeat(string(rune(value)), n*n)
	}
}

func testPlate() map[string]string {
	files := map[string]string{
		".zattrs":      `{"plate": {"rows": [{"name": "B"}, {"name": "C"}], "columns": [{"name": "03"}], "wells": [{"path": "B/03"}, {"path": "C/03"}, {"path": "D/03"}]}}`,
		"B/03/.zattrs": `{"well": {"images": [{"path": "0"}, {"path": "1"}]}}`,
		"C/03/.zattrs": `{"well": {"images": [{"path": "0"}]}}`,
	}
	image4(files, "B/03/0", 1)
	image4(files, "B/03/1", 2)
	image4(files, "C/03/0", 3)
	return files
}

// TestPlate: all fields of all wells are read, named by well; wells that were
// not recorded are told.
func TestPlate(t *testing.T) {
	dir := writeTree(t, "plate.zarr", testPlate())
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "1 of the plate's 3 wells") {
		t.Errorf("notes %q", f.Notes)
	}
	var places []string
	for i, p := range f.Planes {
		m, err := f.ReadPlane(i)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, fmt.Sprintf("%s %d %g", p.Well, p.Field, m.Pix[0]))
		if p.PixelSize.X != 0.5 || p.PixelSize.Y != 1 {
			t.Errorf("pixel size %v", p.PixelSize)
		}
	}
	if got, want := strings.Join(places, ", "), "B03 0 1, B03 1 2, C03 0 3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if f.Levels != 2 {
		t.Fatalf("%d levels", f.Levels)
	}
	if err := f.UseLevel(1); err != nil {
		t.Fatal(err)
	}
	if p := f.Planes[2]; len(f.Planes) != 3 || p.W != 2 || p.Well != "C03" || p.PixelSize.X != 1 || p.PixelSize.Y != 2 {
		t.Errorf("level 1: %+v", f.Planes)
	}
	well, err := Open(filepath.Join(dir, "B", "03"))
	if err != nil {
		t.Fatal(err)
	}
	defer well.Close()
	if len(well.Planes) != 2 || well.Planes[1].Well != "B03" || well.Planes[1].Field != 1 {
		t.Errorf("%+v", well.Planes)
	}
}

// TestPlatesThatLie: hostile plates cost little and are told in one line.
func TestPlatesThatLie(t *testing.T) {
	for name, change := range map[string]map[string]string{
		"no wells":       {".zattrs": `{"plate": {"wells": []}}`},
		"well outside":   {".zattrs": `{"plate": {"wells": [{"path": "../B/03"}]}}`},
		"field outside":  {"B/03/.zattrs": `{"well": {"images": [{"path": "../../../x"}]}}`},
		"not a well":     {"B/03/.zattrs": `{"plate": {"wells": []}}`},
		"not an image":   {"B/03/0/.zattrs": `{}`},
		"circle":         {"B/03/.zattrs": `{"well": {"images": [{"path": "."}]}}`},
		"too many wells": {".zattrs": `{"plate": {"wells": [` + strings.Repeat(`{"path": "B/03"},`, maxWells) + `{"path": "B/03"}]}}`},
	} {
		files := testPlate()
		for k, v := range change {
			files[k] = v
		}
		_, err := Open(writeTree(t, "plate.zarr", files))
		var limit *plane.LimitError
		if err == nil {
			t.Errorf("%s was opened", name)
		} else if !errors.As(err, &limit) {
			checkHostile(t, err, "plate.zarr")
		}
	}
	// The same wells again and again are bounded by the planes.
	files := testPlate()
	files[".zattrs"] = `{"plate": {"wells": [` + strings.TrimSuffix(strings.Repeat(`{"path": "C/03"},`, 2000), ",") + `]}}`
	if f, err := Open(writeTree(t, "plate.zarr", files)); err != nil || len(f.Planes) != 2000 {
		t.Errorf("%v", err)
	}
}

// TestScaleWithoutUnit: a scale in no unit is no pixel size, which is told.
func TestScaleWithoutUnit(t *testing.T) {
	for _, c := range []struct {
		axes, scale string
		notes       int
		known       bool
	}{
		{`{"name": "y"}, {"name": "x"}`, "[1, 0.5]", 1, false},
		{`{"name": "y"}, {"name": "x"}`, "[1, 1]", 0, false},
		{`{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}`, "[1, 0.5]", 0, true},
		{`{"name": "y", "unit": "pixel"}, {"name": "x", "unit": "pixel"}`, "[2, 2]", 1, false},
	} {
		files := map[string]string{}
		image4(files, ".", 1)
		files["./.zattrs"] = `{"multiscales": [{"version": "0.4", "axes": [` + c.axes + `], "datasets": [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": ` + c.scale + `}]}]}]}`
		f, err := Open(writeTree(t, "a.zarr", files))
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if len(f.Notes) != c.notes || f.Planes[0].PixelSize.Known() != c.known {
			t.Errorf("%s %s: %v, notes %q", c.axes, c.scale, f.Planes[0].PixelSize, f.Notes)
		}
	}
}

// TestPlanesOfAPlate: the limit of planes is that of all images together.
func TestPlanesOfAPlate(t *testing.T) {
	for n, ok := range map[int64]bool{1: true, 2: false} {
		s := &zarrSource{out: plane.NewFile("plate.zarr", "", nil), planes: make([]zarrPlane, plane.MaxPlanes-1)}
		a := &zarrArray{shape: []int64{n, 4, 4}, t: plane.Type{Size: 1, Kind: 'u'}}
		err := s.add(a, []zarrAxis{{Name: "c"}, {Name: "y"}, {Name: "x"}}, plane.PixelSize{}, zarrAttributes{})
		var limit *plane.LimitError
		if (err == nil) != ok || err != nil && !errors.As(err, &limit) {
			t.Errorf("%d planes beside %d: %v", n, plane.MaxPlanes-1, err)
		}
	}
}

package segment

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
)

// planesFile lists planes of channels x z x t.
func planesFile(names []string, zs, ts int) *imageio.File {
	f := &imageio.File{Name: "f"}
	for t := range ts {
		for z := range zs {
			for c, name := range names {
				f.Planes = append(f.Planes, imageio.PlaneInfo{Page: len(f.Planes), Channel: c, Z: z, T: t, W: 8, H: 8, C: 1, Name: name})
			}
		}
	}
	return f
}

// plateFile lists the planes of two wells.
func plateFile() *imageio.File {
	f := &imageio.File{Name: "f"}
	for _, w := range []struct {
		well  string
		field int
	}{{"B03", 0}, {"B03", 1}, {"C12", 0}} {
		f.Planes = append(f.Planes, imageio.PlaneInfo{Well: w.well, Field: w.field, W: 8, H: 8, C: 1})
	}
	return f
}

// colourFile lists one colour plane.
func colourFile() *imageio.File {
	return &imageio.File{Name: "f", Planes: []imageio.PlaneInfo{{W: 8, H: 8, C: 3}}}
}

// TestChoiceOfNothing: what is not there is told with what is.
func TestChoiceOfNothing(t *testing.T) {
	none, _ := ParseSelection("DAPI", true)
	for _, k := range []struct {
		choice Choice
		has    string
	}{{Choice{Well: none}, "wells B03, C12"}, {Choice{Level: 3}, "levels 0-0"}, {Choice{Channel: none}, "wells B03, C12"}} {
		_, _, err := k.choice.Planes(plateFile())
		var choice *ChoiceError
		if !errors.As(err, &choice) || !strings.Contains(choice.Hint(), k.has) {
			t.Errorf("%+v: %v", k.choice, err)
		}
	}
}

// TestContentsOfOneWell: a plate of a single well is one, too.
func TestContentsOfOneWell(t *testing.T) {
	f := plateFile()
	f.Planes = f.Planes[:2]
	if text := Contents(f); !strings.HasSuffix(text, ", wells B03, fields 0-1") {
		t.Error(text)
	}
}

func TestChoice(t *testing.T) {
	stack := &imageio.File{Name: "stack"}
	for i := range 12 {
		stack.Planes = append(stack.Planes, imageio.PlaneInfo{Page: i, W: 8, H: 8, C: 1})
	}
	series := planesFile([]string{""}, 1, 1)
	series.Planes = append(series.Planes, imageio.PlaneInfo{Series: 1, Page: 1, W: 4, H: 4, C: 3})
	for _, k := range []struct {
		name     string
		file     *imageio.File
		options  map[string]string
		suffixes []string
		measured int // planes with the first job
		note     string
	}{
		{"one plane", planesFile([]string{"x"}, 1, 1), nil, []string{""}, 1, ""},
		{"unnamed channels", planesFile([]string{"", ""}, 1, 1), nil, []string{"_c0", "_c1"}, 2, "none named like a nuclear stain"},
		{"a nuclear stain", planesFile([]string{"GFP", "DAPI", "RFP"}, 2, 1), nil, []string{"_z0_c1", "_z1_c1"}, 3, "channel DAPI"},
		{"all on request", planesFile([]string{"GFP", "DAPI"}, 1, 1), map[string]string{"channel": "all"}, []string{"_c0", "_c1"}, 2, ""},
		{"by name", planesFile([]string{"GFP", "DAPI"}, 1, 2), map[string]string{"channel": "gfp", "t": "1"}, []string{"_t1_c0"}, 2, ""},
		{"by number", planesFile([]string{"", ""}, 3, 1), map[string]string{"channel": "1", "z": "0,2"}, []string{"_z0_c1", "_z2_c1"}, 2, ""},
		{"pages", stack, map[string]string{"page": "2-3,11"}, []string{"_p02", "_p03", "_p11"}, 1, ""},
		{"series", series, nil, []string{"_s0", "_s1"}, 1, ""},
		{"a plate", plateFile(), nil, []string{"_B03_f0", "_B03_f1", "_C12_f0"}, 1, ""},
		{"a well", plateFile(), map[string]string{"well": "b03"}, []string{"_B03_f0", "_B03_f1"}, 1, ""},
		{"a field", plateFile(), map[string]string{"field": "1"}, []string{"_B03_f1"}, 1, ""},
		{"a colour image", colourFile(), nil, []string{""}, 1, ""},
		{"its blue", colourFile(), map[string]string{"channel": "blue"}, []string{"_c2"}, 1, ""},
		{"its blue by number", colourFile(), map[string]string{"channel": "2"}, []string{"_c2"}, 1, ""},
		{"red and blue", colourFile(), map[string]string{"channel": "red,blue"}, []string{"_c0", "_c2"}, 2, ""},
		{"all of its colours", colourFile(), map[string]string{"channel": "red,green,blue"}, []string{""}, 1, ""},
		{"three channels as colours", planesFile([]string{"a", "b", "c"}, 1, 1), map[string]string{"channel": "Red,Green,Blue"}, []string{""}, 1, ""},
	} {
		var c Choice
		for name, s := range map[string]*Selection{"page": &c.Page, "channel": &c.Channel, "z": &c.Z, "t": &c.T, "well": &c.Well, "field": &c.Field} {
			var err error
			if *s, err = ParseSelection(k.options[name], name == "channel" || name == "well"); err != nil {
				t.Fatal(err)
			}
		}
		list, notes, err := c.Planes(k.file)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		var got []string
		for _, j := range list {
			got = append(got, j.Suffix)
		}
		if d := cmp.Diff(k.suffixes, got); d != "" {
			t.Errorf("%s: %s", k.name, d)
		}
		if len(list[0].Measured) != k.measured {
			t.Errorf("%s: %d planes are measured", k.name, len(list[0].Measured))
		}
		if s := strings.Join(notes, " "); !strings.Contains(s, k.note) || k.note == "" && s != "" {
			t.Errorf("%s: notes %q", k.name, s)
		}
	}
}

// FuzzSelection: whatever is asked for is understood or refused.
func FuzzSelection(f *testing.F) {
	for _, s := range []string{"all", "1", "0-3,5", "DAPI", "-", "9-1", ",", "1-99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if sel, err := ParseSelection(s, true); err == nil {
			sel.has(3, "x")
		}
	})
}

// TestPixelSizeChoosesALevel: of a pyramid that says the sizes of its pixels the
// level is read whose pixels are nearest to the size asked for, unless a level is
// given; of other files the size is what the user says.
func TestPixelSizeChoosesALevel(t *testing.T) {
	pyramid := filepath.Join(t.TempDir(), "a.zarr")
	for name, text := range map[string]string{
		".zattrs": `{"multiscales": [{"version": "0.4", "axes": [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}], "datasets": [
			{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.25, 0.25]}]},
			{"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5]}]},
			{"path": "2", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]}]}`,
		"0/.zarray": `{"zarr_format": 2, "shape": [8, 8], "chunks": [8, 8], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`,
		"1/.zarray": `{"zarr_format": 2, "shape": [4, 4], "chunks": [4, 4], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`,
		"2/.zarray": `{"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`,
	} {
		file := filepath.Join(pyramid, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	subIFDs := filepath.Join("..", "imageio", "testdata", "ome-pyramid.ome.tif")
	plain := filepath.Join("..", "imageio", "testdata", "u8-strips.tif")
	um := func(v float64) imageio.PixelSize { return imageio.PixelSize{X: v, Y: v} }
	open := func(name string) *imageio.File {
		f, err := imageio.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, c := range []struct {
		file   string
		choice Choice
		w      int // -1: that of the full resolution
		size   imageio.PixelSize
		note   string
	}{
		{pyramid, Choice{}, 8, um(0.25), ""},
		{pyramid, Choice{PixelSize: um(0.25)}, 8, um(0.25), "level 0 of 0 to 2"},
		{pyramid, Choice{PixelSize: um(0.45)}, 4, um(0.5), "level 1 of 0 to 2 is read: its pixels of 0.5 µm are nearest to 0.45 µm"},
		{pyramid, Choice{PixelSize: um(3)}, 2, um(1), "level 2"},
		{pyramid, Choice{PixelSize: um(3), Level: 1, LevelGiven: true}, 4, um(3), ""},
		{pyramid, Choice{PixelSize: um(3), LevelGiven: true}, 8, um(3), ""},
		{plain, Choice{PixelSize: um(0.3)}, -1, um(0.3), ""},
		{subIFDs, Choice{PixelSize: um(2)}, -1, um(2), ""}, // which says no sizes
	} {
		f := open(c.file)
		w, full := f.Planes[0].W, f.Planes[0].W
		list, _, err := c.choice.Planes(f)
		if err != nil {
			t.Errorf("%s %+v: %v", c.file, c.choice, err)
			continue
		}
		if c.w >= 0 {
			w = c.w
		}
		if p := list[0].Info; p.W != w || math.Abs(p.PixelSize.X-c.size.X) > 1e-9 || math.Abs(p.PixelSize.Y-c.size.Y) > 1e-9 || !strings.Contains(strings.Join(f.Notes, "; "), c.note) ||
			c.note == "" && strings.Contains(strings.Join(f.Notes, ""), "nearest") {
			t.Errorf("%s %+v: %d pixels of %v, notes %q", c.file, c.choice, p.W, p.PixelSize, f.Notes)
		}
		if p := list[0].Info; p.W < full && p.FullW != full || p.W == full && p.FullW != 0 {
			t.Errorf("%s %+v: %d pixels at full resolution, want %d", c.file, c.choice, p.FullW, full)
		}
	}
}

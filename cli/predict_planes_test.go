package cli

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet"
	"unet/unet/imageio"

	"github.com/google/go-cmp/cmp"
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

func TestPlaneJobs(t *testing.T) {
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
	} {
		var c planeChoice
		for name, s := range map[string]*selection{"page": &c.page, "channel": &c.channel, "z": &c.z, "t": &c.t} {
			var err error
			if *s, err = parseSelection(name, k.options[name], name == "channel"); err != nil {
				t.Fatal(err)
			}
		}
		jobs, notes, err := c.planeJobs(k.file)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		var got []string
		for _, j := range jobs {
			got = append(got, j.suffix)
		}
		if d := cmp.Diff(k.suffixes, got); d != "" {
			t.Errorf("%s: %s", k.name, d)
		}
		if len(jobs[0].measured) != k.measured {
			t.Errorf("%s: %d planes are measured", k.name, len(jobs[0].measured))
		}
		if s := strings.Join(notes, " "); !strings.Contains(s, k.note) || k.note == "" && s != "" {
			t.Errorf("%s: notes %q", k.name, s)
		}
	}
}

// TestPredictStacks predicts real multi-plane files: no plane is left out in
// silence, and all channels are measured.
func TestPredictStacks(t *testing.T) {
	model := brightnessModel(t, unet.Nuclei)
	for _, k := range []struct {
		file     string
		planes   int
		channels int
	}{
		{"pages-u8.tif", 0, 1}, {"ome-ctzyx.ome.tif", 0, 2}, {"gray8-4channels-planar.tif", 4, 4}, {"imagej-directories.tif", 0, 0}, {"rgb8-planar.tif", 1, 3},
	} {
		file := filepath.Join("../unet/imageio/testdata", k.file)
		f, err := imageio.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if k.planes == 0 {
			k.planes = len(f.Planes)
		}
		f.Close()
		stdout, stderr := mustRun(t, 0, "predict", file, "--model", model, "--out", t.TempDir(), "--json", "--channel", "all")
		var m manifest
		if err := json.Unmarshal([]byte(stdout), &m); err != nil {
			t.Fatal(err)
		}
		planes := m.Images[0].Planes
		if len(planes) != k.planes {
			t.Errorf("%s: %d results for %d planes\n%s", k.file, len(planes), k.planes, stderr)
		}
		var outputs []string
		for _, p := range planes {
			outputs = append(outputs, p.Outputs...)
		}
		slices.Sort(outputs)
		if len(slices.Compact(outputs)) != 3*k.planes {
			t.Errorf("%s: outputs %q", k.file, outputs)
		}
		n := 0
		for _, c := range planes[0].Columns {
			if strings.HasPrefix(c, "mean_") {
				n++
			}
		}
		if k.channels > 0 && n != k.channels {
			t.Errorf("%s: %d channels measured, want %d: %q", k.file, n, k.channels, planes[0].Columns)
		}
	}
}

// FuzzSelection: whatever is asked for is understood or refused.
func FuzzSelection(f *testing.F) {
	for _, s := range []string{"all", "1", "0-3,5", "DAPI", "-", "9-1", ",", "1-99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if sel, err := parseSelection("channel", s, true); err == nil {
			sel.has(3, "x")
		}
	})
}

// TestNameOutputs: names of outputs are unique whatever the inputs.
func TestNameOutputs(t *testing.T) {
	list := []input{
		{path: "/d/a/x.png", name: "x.png"}, {path: "/d/b/x.png", name: "x.png"}, {path: "/d/b/X.tif", name: "X.tif"},
		{path: "/e/b/x.png", name: "x.png"}, {path: "/e/y.ome.tif", name: "y.ome.tif"}, {path: "/x.png", name: "x.png"},
		{path: "/e/b/x.png/x.png", name: "x.png"},
	}
	nameOutputs(list)
	seen, names, ids := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, in := range list {
		key := strings.ToLower(in.base)
		if seen[key] || in.base == "" || !filepath.IsLocal(in.base) {
			t.Errorf("%s: output %q", in.path, in.base)
		}
		if names[in.name] || ids[in.id] {
			t.Errorf("%s: name %q, id %q", in.path, in.name, in.id)
		}
		seen[key], names[in.name], ids[in.id] = true, true, true
	}
	if in := list[4]; in.base != "y" || in.name != "y.ome.tif" || in.id != "y" {
		t.Errorf("%+v", in)
	}
}

package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// TestAnnotationsOfOtherPrograms: ImageJ's regions, GeoJSON, Cellpose's _seg.npy
// and nnU-Net's folders are annotations, the same nuclei as in a label image.
func TestAnnotationsOfOtherPrograms(t *testing.T) {
	l := imageio.NewLabels(4, 3)
	copy(l.ID, []uint32{0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 2}) // as in numpy/cellpose_seg.npy
	nuclei := instance.Measure(l, nil)
	encoded := func(w func(*bytes.Buffer) formats.Writer) []byte {
		var b bytes.Buffer
		if err := formats.WriteAll(w(&b), formats.Source{Name: "x", W: l.W, H: l.H}, nuclei); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	roi := encoded(func(b *bytes.Buffer) formats.Writer { return formats.NewROI(b) })
	geojson := encoded(func(b *bytes.Buffer) formats.Writer { return formats.NewGeoJSON(b) })
	npy, err := os.ReadFile("../formats/testdata/numpy/cellpose_seg.npy")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if data == nil {
			err = imageio.WriteLabels(file, l)
		} else {
			err = os.WriteFile(file, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func(folder string, want ...string) *Source {
		t.Helper()
		s, err := OpenSource(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		if !slices.Equal(s.IDs(), want) {
			t.Fatalf("%s: images %v, want %v", folder, s.IDs(), want)
		}
		for i := range s.Len() {
			if m, findings := s.Read(i); m == nil || !slices.Equal(m.Labels.ID, l.ID) {
				t.Errorf("%s, %s: %v", folder, s.IDs()[i], findings)
			}
		}
		return s
	}
	for name, data := range map[string][]byte{"a.rois.zip": roi, "b_RoiSet.zip": roi, "c.zip": roi, "d.geojson": geojson, "e_seg.npy": npy} {
		put("beside/"+name, data)
		put("beside/"+name[:1]+".png", nil)
		put("pairs/labels/"+strings.ToLower(name), data)
		put("pairs/images/"+name[:1]+".png", nil)
	}
	put("beside/other.zip", roi)
	put("beside/notes.txt", []byte("x"))
	s := read("beside", "a", "b", "c", "d", "e")
	var named []string
	for _, f := range s.findings {
		named = append(named, f.File+" "+f.Text)
	}
	slices.Sort(named)
	if want := []string{"notes.txt is neither an image nor an annotation", "other.zip is an archive, and named like no image"}; !slices.Equal(named, want) {
		t.Errorf("left out are %q, want %q", named, want)
	}
	read("pairs", "a", "b", "c", "d", "e")

	for _, name := range []string{"imagesTr/n_0000.png", "imagesTr/n_0001.png", "imagesTs/m_0000.png", "labelsTs/m.png"} {
		put("nnunet/"+name, nil)
	}
	for i, id := range l.ID { // one class
		l.ID[i] = min(id, 1)
	}
	put("nnunet/labelsTr/n.png", nil)
	s, err = OpenSource(filepath.Join(dir, "nnunet"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !slices.Equal(s.IDs(), []string{"m", "n"}) {
		t.Fatalf("nnU-Net: images %v", s.IDs())
	}
	for i := range s.Len() {
		if m, findings := s.Read(i); m == nil || m.Labels.Max() < 1 || !slices.ContainsFunc(findings, func(f Finding) bool { return f.Code == "classes" }) {
			t.Errorf("nnU-Net: %v", findings)
		}
	}
	if len(s.findings) != 1 || !strings.HasSuffix(s.findings[0].File, "n_0001.png") {
		t.Errorf("nnU-Net: left out are %v", s.findings)
	}
}

package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/unet/imageio"
)

// TestLabelsBeside: label images are found beside their images under the names
// of several programs, and what is left out is named with the reason.
func TestLabelsBeside(t *testing.T) {
	dir := t.TempDir()
	l := imageio.NewLabels(32, 32)
	for i := range 5 {
		l.ID[300+i] = 1
	}
	for _, f := range []string{"a.png", "b.png", "c.png", "d.png", "sub/e.png", "alone.png"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755)
		if err := imageio.WriteLabels(filepath.Join(dir, f), l); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a.labels.tif", "b_mask.png", "c_masks.tif", "d_cp_masks.png", "sub/e_labels.tif", "a_mask.png", "nobody.labels.tif"} {
		if err := imageio.WriteLabels(filepath.Join(dir, f), l); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenSource(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := s.IDs(), []string{"a", "b", "c", "d", "sub_e"}; !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
	for i := range s.Len() {
		if m, findings := s.Read(i); m == nil || m.Labels.Max() != 1 {
			t.Errorf("image %d: %v", i, findings)
		}
	}
	var named []string
	for _, f := range s.findings {
		named = append(named, f.File+" "+f.Text)
	}
	all := strings.Join(named, "\n")
	for _, want := range []string{"alone.png has no label image or regions beside it", "nobody.labels.tif is of no image", "annotates the same image"} {
		if !strings.Contains(all, want) {
			t.Errorf("not named: %s\n%s", want, all)
		}
	}
}

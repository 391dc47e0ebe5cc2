package segment

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestNameOutputs: names of outputs are unique whatever the inputs.
func TestNameOutputs(t *testing.T) {
	list := []Input{
		{Path: "/d/a/x.png", Name: "x.png"}, {Path: "/d/b/x.png", Name: "x.png"}, {Path: "/d/b/X.tif", Name: "X.tif"},
		{Path: "/e/b/x.png", Name: "x.png"}, {Path: "/e/y.ome.tif", Name: "y.ome.tif"}, {Path: "/x.png", Name: "x.png"},
		{Path: "/e/b/x.png/x.png", Name: "x.png"},
	}
	nameOutputs(list)
	seen, names, ids := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, in := range list {
		key := strings.ToLower(in.Base)
		if seen[key] || in.Base == "" || !filepath.IsLocal(in.Base) {
			t.Errorf("%s: output %q", in.Path, in.Base)
		}
		if names[in.Name] || ids[in.ID] {
			t.Errorf("%s: name %q, id %q", in.Path, in.Name, in.ID)
		}
		seen[key], names[in.Name], ids[in.ID] = true, true, true
	}
	if in := list[4]; in.Base != "y" || in.Name != "y.ome.tif" || in.ID != "y" {
		t.Errorf("%+v", in)
	}
}

// FuzzNames: every image of a list, one per line, gets outputs of its own within
// the folder.
func FuzzNames(f *testing.F) {
	f.Add([]byte("a.png\nb/a.png\r\n\n\ufeffc.tif\n/x/../b/a.PNG\n../a.png"))
	f.Add([]byte("a.ome.tif\na.tif\n.\n..\n/\n.png\n~\n"))
	f.Add([]byte("a\x00b\n\xff\xfe\n" + strings.Repeat("x", 300)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<12 {
			return
		}
		var inputs []Input
		for p := range strings.FieldsFuncSeq(string(b), func(r rune) bool { return r == '\n' }) {
			inputs = append(inputs, Input{Path: p, Name: filepath.ToSlash(filepath.Base(p))})
		}
		nameOutputs(inputs)
		seen := map[string]bool{}
		for _, in := range inputs {
			key := strings.ToLower(in.Base)
			if seen[key] {
				t.Errorf("two outputs %q of %q", in.Base, b)
			}
			seen[key] = true
			if out := under("out", in.Base+".csv"); in.Base == "" || !strings.HasPrefix(out, "out"+string(filepath.Separator)) {
				t.Errorf("%q: output %q", in.Path, out)
			}
		}
	})
}

package segment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	// Folders do not tell names apart that differ in case alone, and are not part of
	// them: a name leads to the image from the folder that holds them all.
	list = []Input{{Path: "/d/q.png", Name: "q.png"}, {Path: "/d/Q.png", Name: "Q.png"}, {Path: "/d/a/q.png", Name: "a/q.png"}, {Path: "/d/A/q.png", Name: "A/q.png"}}
	nameOutputs(list)
	for i, want := range []Input{{Name: "q.png", Base: "q"}, {Name: "Q.png", Base: "Q~1"}, {Name: "a/q.png", Base: "a/q"}, {Name: "A/q.png", Base: "A/q~1"}} {
		if list[i].Name != want.Name || list[i].Base != want.Base {
			t.Errorf("%+v, want %+v", list[i], want)
		}
	}
	// Some file systems hold these two names as one.
	list = []Input{{Path: "/d/x.png", Name: "x.png"}, {Path: "/d/X.tif", Name: "X.tif"}}
	if nameOutputs(list); strings.EqualFold(list[0].Base, list[1].Base) {
		t.Errorf("outputs %q and %q", list[0].Base, list[1].Base)
	}
}

// found lists what is found below a folder that holds files, and links to be
// made (name to target).
func found(t *testing.T, files []string, links map[string]string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range links {
		name = filepath.Join(dir, name)
		if err := os.Symlink(target, name); err != nil {
			t.Skip(err)
		}
		list, err := os.ReadDir(filepath.Dir(name))
		if !slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() == filepath.Base(name) && e.Type()&os.ModeSymlink != 0 }) {
			t.Skip("links are not listed here, as under Wine: ", err)
		}
	}
	for i, a := range args {
		args[i] = filepath.Join(dir, a)
	}
	var names []string
	for _, in := range Inputs(args, "") {
		name := in.Name
		if in.Err != nil {
			name += " fails"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestInputsFollowLinks: links to files and folders are followed, a circle of
// them is walked once, and one that leads nowhere is told.
func TestInputsFollowLinks(t *testing.T) {
	got := found(t, []string{"real/a.png", "set/x.png", "other/b.png"},
		map[string]string{"set/week1": "../real", "set/circle": "..", "set/gone.png": "nothing", "set/gone": "nothing", "set/b.png": "../other/b.png", "link": "real"}, "set")
	if d := cmp.Diff([]string{"b.png", "circle/link/a.png", "circle/other/b.png", "gone.png fails", "x.png"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"a.png"}, found(t, []string{"real/a.png"}, map[string]string{"link": "real"}, "link")); d != "" {
		t.Error("a link as argument: ", d)
	}
	if got := found(t, []string{"real/a.txt"}, map[string]string{"link": "real"}, "link"); len(got) != 1 || !strings.HasSuffix(got[0], " fails") {
		t.Errorf("a folder without images: %q", got)
	}
}

// TestResultsAreNoImages: results, our own and of other programs, beside images
// are not segmented; slides are found.
func TestResultsAreNoImages(t *testing.T) {
	got := found(t, []string{"a.png", "a_cp_masks.png", "a_cp_masks.tif", "a_seg.npy", "a_cp_outlines.png", "a.labels.tif", "a.overlay.png",
		"a_Probabilities.tif", "a_Object Identities.tif", "masks.png", "s.ndpi", "s.qptiff", "s.scn", "s.svs", "s.txt", "probabilities.tif"}, nil, ".")
	if d := cmp.Diff([]string{"a.png", "masks.png", "probabilities.tif", "s.ndpi", "s.qptiff", "s.scn", "s.svs"}, got); d != "" {
		t.Error(d)
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

// TestHashOfLinks: of a folder behind a link, and of files in it that are links, the
// samples are hashed.
func TestHashOfLinks(t *testing.T) {
	dir := t.TempDir()
	folder, link, chunk := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "chunk")
	put := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	put(filepath.Join(folder, "0"), "a")
	put(chunk, "a")
	if err := os.Symlink(folder, link); err != nil {
		t.Skip("no links here:", err)
	}
	if err := os.Symlink(chunk, filepath.Join(folder, "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(link); err != nil {
		t.Skip("links lead nowhere here:", err) // under Wine
	}
	seen := map[string]bool{}
	for _, change := range []string{filepath.Join(folder, "0"), chunk} {
		for range 2 {
			hash, err := hashInput(t.Context(), link)
			if err != nil {
				t.Fatal(err)
			}
			if direct, _ := hashInput(t.Context(), folder); direct != hash {
				t.Errorf("%s by the link, %s without", hash, direct)
			}
			seen[hash] = true
			put(change, "b")
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d hashes of 3 states", len(seen))
	}
}

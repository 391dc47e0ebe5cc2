package dataset

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Sizes and looks tell sources; a table overrules them; folds keep sources
// whole and cover all images.
func TestSources(t *testing.T) {
	var entries []Entry
	add := func(n, w, h int, look string) {
		for range n {
			id := fmt.Sprintf("%03d", len(entries))
			entries = append(entries, Entry{ID: id, SourceW: w, SourceH: h, Source: look, Kind: FluorescenceSmall, Group: id, Split: Train})
		}
	}
	add(2, 161, 519, "fluorescence-dark")
	add(3, 162, 519, "fluorescence-offset") // the same camera
	add(12, 256, 256, "fluorescence-dark")
	add(15, 256, 256, "fluorescence-offset")
	add(1, 256, 256, "purple-light")
	nameSources(entries)
	want := map[string]int{"161x519-fluorescence": 5, "256x256-fluorescence-dark": 12, "256x256-fluorescence-offset": 15, "256x256-purple": 1}
	if got := (&Set{Entries: entries}).Sources(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	last := entries[len(entries)-1].ID
	m := &Metadata{Entries: entries}
	m.applySources(map[string]string{last: "clinic", "nobody": "x"})
	if s := entries[len(entries)-1].Source; s != "clinic" || len(m.Findings) != 1 || m.Findings[0].ID != "nobody" {
		t.Errorf("%q, %v", s, m.Findings)
	}
	s := &Set{Entries: entries, Meta: &Metadata{}}
	folds, err := s.Folds(3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	tested := 0
	for _, f := range folds {
		for _, name := range f {
			seen[name]++
		}
		left, err := s.LeaveOut(f)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range left.Entries {
			if out := slices.Contains(f, entries[i].Source); (e.Split == Test) != out {
				t.Errorf("%s is in %q", e.ID, e.Split)
			}
		}
		if len(left.Split(Val)) == 0 {
			t.Error("no images for validation")
		}
		tested += len(left.Split(Test))
	}
	if len(seen) != 4 || tested != len(entries) {
		t.Errorf("%v: %d images tested", folds, tested)
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is in %d folds", name, n)
		}
	}
	if _, err := s.Folds(5); err == nil {
		t.Error("five folds of four sources accepted")
	}
	if _, err := s.LeaveOut([]string{"clinic", "ward"}); err == nil || !strings.Contains(err.Error(), "ward") {
		t.Errorf("an unknown source: %v", err)
	}
}

func TestReadSources(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"id,source\na,x\nb,y\n", ""},
		{"\ufeffImage, Lab\na,x\n", ""},
		{"id;source\r\na;x\r\n", ""},
		{"id,camera\na,x\n", "has no columns"},
		{"id,source\na,x\na,y\n", "second source"},
		{"id,source\n,x\n", "line 2"},
		{"", "not a table"},
	} {
		name := filepath.Join(t.TempDir(), "sources.csv")
		if err := os.WriteFile(name, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		table, err := ReadSources(name)
		var bad *InputError
		switch {
		case c.want == "" && (err != nil || table["a"] != "x"):
			t.Errorf("%q: %v, %v", c.text, table, err)
		case c.want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

// The looks of synthetic images give several sources.
func TestSourcesOfSynthetic(t *testing.T) {
	samples, err := Synthesise(Synthesis{Count: 10, Size: 96, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	looks := map[string]bool{}
	for _, s := range samples {
		looks[sourceLook(s)] = true
	}
	if !looks["gray"] || len(looks) < 4 {
		t.Errorf("looks: %v", looks)
	}
}

// repack makes a zip of some of the files of a synthetic one and of others.
func repack(t *testing.T, from []byte, keep func(name string) string, more map[string]string) string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(from), int64(len(from)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range r.File {
		if to := keep(f.Name); to != "" {
			g, err := f.OpenRaw()
			if err != nil {
				t.Fatal(err)
			}
			h := f.FileHeader
			h.Name = to
			w, err := z.CreateRaw(&h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(w, g); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range more {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "part.zip")
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// Corrections replace the masks of an image, and take images out.
func TestCorrectAndJoin(t *testing.T) {
	var b bytes.Buffer
	if err := Generate(t.Context(), &b, Synthesis{Count: 4, Size: 128, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	whole := repack(t, b.Bytes(), func(n string) string { return n }, nil)
	src, err := OpenSource(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	ids := src.IDs()
	first := true
	fixes := repack(t, b.Bytes(), func(n string) string {
		if !strings.HasPrefix(n, ids[1]+"/masks/") || !first {
			return ""
		}
		first = false
		return n
	}, map[string]string{"removed.txt": ids[0] + "\nnowhere\n", "nobody/masks/x.png": "?"})
	before, _ := src.Read(1)
	if err := src.Correct(fixes); err != nil {
		t.Fatal(err)
	}
	if got := src.IDs(); !slices.Equal(got, ids[1:]) {
		t.Errorf("%q remain, want %q", got, ids[1:])
	}
	if !slices.ContainsFunc(src.findings, func(f Finding) bool { return f.ID == "nowhere" && f.Code == "unknown-correction" }) {
		t.Errorf("removed.txt names an image that is not there: %v", src.findings)
	}
	if after, _ := src.Read(0); after.Labels.Max() != 1 || before.Labels.Max() < 2 {
		t.Errorf("%d nuclei before, %d after", before.Labels.Max(), after.Labels.Max())
	}
	out := filepath.Join(t.TempDir(), "set")
	m, err := Prepare(t.Context(), src, out, Options{Size: 64, Fractions: Fractions{Train: 0.4, Val: 0.3, Test: 0.3}})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil || m.Counts.Without() != 1 || !strings.Contains(string(text), "(4 images found, 1 left out)") {
		t.Errorf("%d left out, %v: %s", m.Counts.Without(), err, text)
	}
	if err := src.Join(whole); err == nil || !strings.Contains(err.Error(), "of that name") {
		t.Errorf("joining the same images: %v", err)
	}
	half := func(odd int) string {
		return repack(t, b.Bytes(), func(n string) string {
			if slices.Index(ids, strings.Split(n, "/")[0])%2 == odd {
				return n
			}
			return ""
		}, nil)
	}
	upper := repack(t, b.Bytes(), func(n string) string { return strings.ToUpper(n[:1]) + n[1:] }, nil)
	if strings.ToUpper(ids[1][:1]) != ids[1][:1] {
		if err := src.Join(upper); err == nil || !strings.Contains(err.Error(), "of that name") {
			t.Errorf("joining images whose names differ in case: %v", err)
		}
	}
	two, err := OpenSource(half(0))
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	if err := two.Join(half(1)); err != nil || !slices.Equal(two.IDs(), ids) {
		t.Errorf("%v: %q", err, two.IDs())
	}
	if err := two.Correct(filepath.Dir(half(0))); err == nil {
		t.Error("a folder without corrections accepted")
	}
}

// TestGroupFolds: the largest group goes first, each to the fold with the fewest images,
// and of a fold that is left out nothing is trained on.
func TestGroupFolds(t *testing.T) {
	s := &Set{Meta: &Metadata{}}
	for group, images := range map[string]int{"a": 1, "b": 4, "c": 2, "d": 3} {
		for i := range images {
			s.Entries = append(s.Entries, Entry{ID: fmt.Sprint(group, i), Group: group, Split: []string{Train, Val, Test}[i%3]})
		}
	}
	folds, err := s.GroupFolds(2)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"b", "a"}, {"d", "c"}}, folds); diff != "" {
		t.Error(diff)
	}
	for _, n := range []int{1, 5} {
		if _, err := s.GroupFolds(n); err == nil {
			t.Errorf("%d folds of 4 groups", n)
		}
	}
	out, err := s.LeaveOutGroups(folds[0])
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range out.Entries {
		was, left := s.Entries[i].Split, e.Group == "a" || e.Group == "b"
		if left != (e.Split == Test) || !left && was == Val && e.Split != Val {
			t.Errorf("%s of group %s, %s before, is in %s", e.ID, e.Group, was, e.Split)
		}
	}
	// Without any for validation a tenth of the others is split off.
	for i := range s.Entries {
		s.Entries[i].Split = Train
	}
	if out, err = s.LeaveOutGroups([]string{"a"}); err != nil || len(out.Split(Test)) != 1 || len(out.Split(Val)) == 0 || len(out.Split(Train)) == 0 {
		t.Errorf("%v: %d, %d, %d images", err, len(out.Split(Test)), len(out.Split(Val)), len(out.Split(Train)))
	}
}

// TestFoldsOfSharedFields: sources whose images show one field are in one fold, and
// where one of them alone is left out, images of that field are not trained on. The
// order of other sources is theirs.
func TestFoldsOfSharedFields(t *testing.T) {
	s := &Set{Meta: &Metadata{}}
	for _, e := range []struct{ source, group string }{
		{"a", "1"}, {"a", "2"}, {"b", "3"}, {"b", "4"}, {"b", "5"}, {"c", "2"}, {"d", "6"}, {"e", ""}, {"f", ""},
	} {
		s.Entries = append(s.Entries, Entry{ID: fmt.Sprint(len(s.Entries)), Source: e.source, Group: e.group, Split: Train})
	}
	folds, err := s.Folds(3)
	if diff := cmp.Diff([][]string{{"a", "c"}, {"b"}, {"d", "e", "f"}}, folds); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := s.Folds(6); err == nil || !strings.Contains(err.Error(), "5 separate sources") {
		t.Errorf("six folds of five: %v", err)
	}
	out, err := s.LeaveOut([]string{"c"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range out.Entries {
		if (e.Split == Test) != (e.Source == "c") || e.ID == "1" {
			t.Errorf("%s of source %s and group %s is in %s", e.ID, e.Source, e.Group, e.Split)
		}
	}
	if len(out.Entries) != len(s.Entries)-1 {
		t.Errorf("%d of %d images", len(out.Entries), len(s.Entries))
	}
}

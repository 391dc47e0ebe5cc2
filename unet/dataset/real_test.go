package dataset

import (
	"slices"
	"strings"
	"testing"

	"unet/unet/dataset/dsb2018"
)

// realSource opens the DSB2018 training set.
func realSource(t *testing.T) *Source {
	t.Helper()
	s, err := OpenSource(dsb2018.Archive(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Kinds, findings and groups of images that were looked at.
func TestRealImages(t *testing.T) {
	src := realSource(t)
	if src.Len() < 600 {
		t.Errorf("%d images", src.Len())
	}
	var looks []*look
	var fields, ids []string
	for _, c := range []struct {
		id, kind, findings string
		nuclei             int
		field              string // images that share it are crops of one field
	}{
		{"01d44a26", HistologyPurple, "", 7, "a"},
		{"0d3640c1", HistologyPurple, "", 21, "a"},
		{"709e094e", HistologyPurple, "", 22, "a"},
		{"bf4a61bb", HistologyPurple, "", 3, "a"},
		{"0121d675", HistologyPurple, "hole", 86, "b"},
		{"4193474b", PinkPurple, "", 12, "c"},
		{"57bd029b", PinkPurple, "", 9, "c"},
		{"87ea7289", PinkPurple, "", 14, "c"},
		{"8f27ebc7", PinkPurple, "", 13, "c"},
		{"1b44d226", GrayTissue, "hole sliver", 96, "d"},
		{"7b38c917", FluorescenceSmall, "", 1, "e"},
		{"00071198", FluorescenceSmall, "stray", 27, "f"},
		{"20c37b1a", FluorescenceLarge, "hole", 24, "g"},
		{"c901794d", FluorescenceLarge, "", 14, "h"},
		{"4327d275", FluorescenceLarge, "", 0, ""}, // much debris of dead cells
	} {
		i := slices.IndexFunc(src.IDs(), func(id string) bool { return strings.HasPrefix(id, c.id) })
		if i < 0 {
			continue
		}
		s, fs := src.Read(i)
		if s == nil {
			t.Errorf("%s: %v", c.id, fs)
			continue
		}
		looks = append(looks, lookOf(s.Image))
		fields, ids = append(fields, c.field), append(ids, c.id)
		if k := kindOf(s.Image, s.Labels); k != c.kind {
			t.Errorf("%s is %s, want %s", c.id, k, c.kind)
		}
		if c.nuclei > 0 && (int(s.Labels.Max()) != c.nuclei || codes(fs) != c.findings) {
			t.Errorf("%s: %d nuclei, findings %q, want %d, %q", c.id, s.Labels.Max(), codes(fs), c.nuclei, c.findings)
		}
	}
	if len(looks) < 10 {
		t.Skipf("only %d of the images are here", len(looks))
	}
	group := groupOf(len(looks), findLinks(t, looks, ids))
	for i := range looks {
		for j := range i {
			if same := fields[i] != "" && fields[i] == fields[j]; same != (group[i] == group[j]) {
				t.Errorf("%s and %s: one field %v, one group %v", ids[j], ids[i], same, !same)
			}
		}
	}
}

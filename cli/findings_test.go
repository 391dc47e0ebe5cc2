package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/dataset"
)

// TestFindingsInOrder: what is worse comes first, then what there is more of. Long
// names keep their beginning. What is no image's is in none.
func TestFindingsInOrder(t *testing.T) {
	long := "0123456789abcdefghijklmnopqrstuvwxyz"
	var out strings.Builder
	printFindings(&terminal{out: &out, err: &out}, []dataset.Finding{
		{Level: dataset.Info, ID: "a", Code: "small", Text: "is small"},
		{Level: dataset.Info, Code: "missing-kind", Text: "no image of kind a is in val"},
		{Level: dataset.Warning, ID: long, Code: "alike", Text: "looks like b"},
		{Level: dataset.Warning, ID: "c", Code: "overlap", File: "c/masks/1.png", Text: "overlaps"},
		{Level: dataset.Warning, ID: "d", Code: "overlap", Text: "overlaps"},
		{Level: dataset.Error, ID: "e", Code: "empty", Text: "is empty"},
	}, false)
	want := `error empty: 1 finding in 1 image
  e is empty
warning overlap: 2 findings in 2 images
  c 1.png: overlaps
  d overlaps
warning alike: 1 finding in 1 image
  0123456789ab... looks like b
info small: 1 finding in 1 image
  a is small
info missing-kind: 1 finding
  no image of kind a is in val

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestSplitTable: a kind of one image has a line, one of none has not.
func TestSplitTable(t *testing.T) {
	m := &dataset.Metadata{Entries: []dataset.Entry{{ID: "a", Kind: dataset.Kinds[1], Nuclei: 7}}}
	m.Counts = dataset.Counts{Images: 1, Kinds: map[string]int{dataset.Kinds[1]: 1}, Splits: map[string]int{dataset.Val: 1},
		Table: map[string]map[string]int{dataset.Kinds[1]: {dataset.Val: 1}}}
	want := [][]string{{dataset.Kinds[1], "0", "1", "0", "1", "7"}, {"all", "0", "1", "0", "1", "7"}}
	if diff := cmp.Diff(want, splitTable(m).Rows); diff != "" {
		t.Error(diff)
	}
}

package main

import (
	"strings"
	"testing"

	"unet/unet/dataset"
)

// TestSpread: images to annotate are of different fields, and what is scored shows none
// of these.
func TestSpread(t *testing.T) {
	for _, c := range []struct {
		groups      string // of images, a letter each
		n           int
		own, unseen string // positions
	}{
		{"aabbc", 1, "0", "234"},
		{"aabbc", 2, "02", "4"},
		{"aabbc", 3, "021", "4"},
		{"aabbc", 9, "0213", "4"},
		{"abc", 2, "01", "2"},
		{"aaaa", 3, "012", "3"},
		{"aa", 3, "01", ""},
	} {
		var list []*dataset.Sample
		for i, g := range c.groups {
			list = append(list, &dataset.Sample{ID: string(rune('0' + i)), Group: string(g)})
		}
		own, unseen := spread(list, c.n)
		names := func(list []*dataset.Sample) string {
			var b strings.Builder
			for _, s := range list {
				b.WriteString(s.ID)
			}
			return b.String()
		}
		if names(own) != c.own || names(unseen) != c.unseen {
			t.Errorf("%d of %s: %s to annotate and %s unseen, want %s and %s", c.n, c.groups, names(own), names(unseen), c.own, c.unseen)
		}
	}
}

package main

import (
	"math"
	"path/filepath"
	"testing"

	"unet/unet/dataset"
	"unet/unet/dataset/datasettest"
	"unet/unet/imageio"
)

// TestDerive: the set of a fold holds the sources left out to test on and nothing
// else there, generated scenes to train on, and fluorescence alone.
func TestDerive(t *testing.T) {
	set := datasettest.Prepared(t, dataset.Synthesis{Count: 20, Size: 64, Seed: 1}, dataset.Options{})
	generated := datasettest.Prepared(t, dataset.Synthesis{Count: 8, Size: 64, Seed: 2, Crowded: true}, dataset.Options{})
	want := map[string]int{}
	for i := range set.Entries {
		e := &set.Entries[i]
		e.Source, e.Group = "other", e.ID // of one field each: else those left out take others with them
		if i%4 == 0 {
			e.Source = "left out"
		}
		if fluorescent(*e) {
			want[e.Source]++
		}
	}
	for _, e := range generated.Entries {
		if fluorescent(e) {
			want["generated"]++
		}
	}
	if len(want) != 3 || want["generated"] == len(generated.Entries) {
		t.Fatalf("nothing to test with: %v", want)
	}
	fold, err := set.LeaveOut([]string{"left out"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "fold")
	if err := derive(dir, fold, generated); err != nil {
		t.Fatal(err)
	}
	got, err := dataset.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	have := got.Sources()
	for source, n := range want {
		if have[source] != n {
			t.Errorf("%d images of the source %q, want %d", have[source], source, n)
		}
	}
	if len(have) != len(want) || len(got.Split(dataset.Val)) == 0 {
		t.Errorf("sources %v, %d images to validate on", have, len(got.Split(dataset.Val)))
	}
	for i, e := range got.Entries {
		if (e.Split == dataset.Test) != (e.Source == "left out") || e.Source == "generated" && e.Split != dataset.Train {
			t.Errorf("%s of the source %q is in %s", e.ID, e.Source, e.Split)
		}
		if _, err := got.Load(i); err != nil {
			t.Error(err)
		}
	}
}

// row makes a label image of one row.
func row(ids ...uint32) *imageio.Labels { return &imageio.Labels{W: len(ids), H: 1, ID: ids} }

// TestStanding: scores worked by hand. Of three images, two of one source are
// found exactly; in the third, two nuclei are found as one, which is neither.
func TestStanding(t *testing.T) {
	s := &standing{}
	for _, c := range []struct {
		source       string
		truth, found *imageio.Labels
	}{
		{"a", row(1, 1, 0, 0), row(7, 7, 0, 0)},
		{"a", row(0, 1, 1, 0), row(0, 1, 1, 0)},
		{"b", row(1, 1, 2, 2, 0), row(3, 3, 3, 3, 3)},
	} {
		if err := s.add(&dataset.Sample{Source: c.source, Labels: c.truth}, c.found); err != nil {
			t.Fatal(err)
		}
	}
	if ap := s.all.Pooled()[0].AP; math.Abs(ap-2.0/5) > 1e-12 { // 2 right, 1 found wrongly, 2 not found
		t.Errorf("PooledAP50 %v, want 2/5", ap)
	}
	if score := s.all.Score(); math.Abs(score-2.0/3) > 1e-12 {
		t.Errorf("KaggleScore %v, want 2/3", score)
	}
	if mean := s.meanOverSources(); math.Abs(mean-1.0/2) > 1e-12 {
		t.Errorf("mean over sources %v, want 1/2", mean)
	}
	if s.matched != 2 || s.merged != 2 || s.missed != 0 {
		t.Errorf("%d matched, %d merged, %d missed", s.matched, s.merged, s.missed)
	}
	if err := s.add(&dataset.Sample{Labels: row(1, 1)}, row(1)); err == nil {
		t.Error("labels of another size are scored")
	}
}

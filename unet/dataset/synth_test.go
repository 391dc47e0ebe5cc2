package dataset

import (
	"bytes"
	"crypto/sha256"
	"runtime"
	"slices"
	"testing"
)

func TestGenerateIsDeterministic(t *testing.T) {
	sum := func(o Synthesis) [32]byte {
		var b bytes.Buffer
		if err := Generate(t.Context(), &b, o); err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b.Bytes())
	}
	a := sum(Synthesis{Count: 7, Size: 64, Seed: 1})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(5))
	if a != sum(Synthesis{Count: 7, Size: 64, Seed: 1}) {
		t.Error("threads make a difference")
	}
	if a == sum(Synthesis{Count: 7, Size: 64, Seed: 2}) {
		t.Error("the seed makes no difference")
	}
	if b := sum(Synthesis{Count: 7, Size: 64, Seed: 1, Crowded: true}); a == b || b != sum(Synthesis{Count: 7, Size: 64, Seed: 1, Crowded: true}) {
		t.Error("crowded images are others, and always the same")
	}
	for _, o := range []Synthesis{{}, {Count: -1}, {Count: 1, Size: 10}, {Count: 1, Size: 1 << 20}} {
		if err := Generate(t.Context(), &bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v accepted", o)
		}
	}
}

// TestSyntheticNuclei: an image without a nucleus would be one without annotation.
func TestSyntheticNuclei(t *testing.T) {
	for _, crowded := range []bool{false, true} {
		list, err := Synthesise(Synthesis{Count: 120, Size: minSynth, Seed: 1, Crowded: crowded})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list {
			if s.Labels.Max() == 0 {
				t.Errorf("%s has no nuclei", s.ID)
			}
		}
	}
}

// What comes out of the zip is what Synthesise makes; nothing in it is found
// wrong; the kinds are told right and the neighbouring crops found.
func TestSyntheticSource(t *testing.T) {
	o := Synthesis{Count: 13, Size: 128, Seed: 11}
	want, err := Synthesise(o)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(want, func(a, b *Sample) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	var b bytes.Buffer
	if err := Generate(t.Context(), &b, o); err != nil {
		t.Fatal(err)
	}
	src, err := openBytes(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	touching := 0
	m, err := Inspect(t.Context(), src, false, nil, func(i int, s *Sample) error {
		w := want[i]
		if s.ID != w.ID || s.Kind != w.Kind || !slices.Equal(s.Image.Pix, w.Image.Pix) || s.Labels.Max() != w.Labels.Max() {
			t.Errorf("%s, %s with %d nuclei, want %s, %s with %d", s.ID, s.Kind, s.Labels.Max(), w.ID, w.Kind, w.Labels.Max())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.Counts.LeftOut > 0 || len(m.Counts.Kinds) != len(Kinds) {
		t.Errorf("%+v", m.Counts)
	}
	for _, f := range m.Findings {
		if f.Code != "disconnected" && f.Code != "stray" && f.Code != "sliver" && f.Code != "hole" {
			t.Errorf("%v", f)
		}
	}
	groups := map[string]string{}
	for i, e := range m.Entries {
		g := want[i].Group
		if groups[g] == "" {
			groups[g] = e.Group
		}
	}
	seen := map[string]bool{}
	for _, g := range groups {
		if seen[g] {
			t.Error("two fields share a group")
		}
		seen[g] = true
	}
	for _, s := range want {
		for i := 1; i < len(s.Labels.ID); i++ {
			if a, b := s.Labels.ID[i-1], s.Labels.ID[i]; i%128 > 0 && a > 0 && b > 0 && a != b {
				touching++
			}
		}
	}
	if touching < 50 {
		t.Errorf("nuclei touch along %d pixels only", touching)
	}
}

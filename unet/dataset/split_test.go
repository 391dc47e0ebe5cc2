package dataset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSplitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]Fractions{DefaultFractions, {0.6, 0.2, 0.2}, {1, 0, 0}, {0.5, 0.5, 0}, {0.7, 0, 0.3}, {0, 0.5, 0.5}}).Draw(t, "fractions")
		seed := rapid.Uint64().Draw(t, "seed")
		var ms []member
		kinds := map[string]int{}
		groups := map[string]map[string]bool{}
		largest := map[string]int{}
		for g, n := range rapid.SliceOfN(rapid.IntRange(1, 9), 1, 60).Draw(t, "groups") {
			kind := Kinds[g%3]
			if groups[kind] == nil {
				groups[kind] = map[string]bool{}
			}
			groups[kind][fmt.Sprint(g)] = true
			largest[kind] = max(largest[kind], n)
			for i := range n {
				ms = append(ms, member{fmt.Sprintf("%d-%d", g, i), kind, fmt.Sprint(g)})
				kinds[kind]++
			}
		}
		split, err := splitMembers(ms, f, seed)
		if err != nil || len(split) != len(ms) {
			t.Fatalf("%d of %d assigned: %v", len(split), len(ms), err)
		}
		// The order of the images does not matter.
		back := slices.Clone(ms)
		slices.Reverse(back)
		if again, _ := splitMembers(back, f, seed); !maps.Equal(split, again) {
			t.Fatal("depends on the order")
		}
		of := map[string]string{}
		count := map[string]map[string]int{}
		for _, m := range ms {
			s := split[m.ID]
			if of[m.Group] != "" && of[m.Group] != s {
				t.Fatalf("group %s is in %s and %s", m.Group, of[m.Group], s)
			}
			of[m.Group] = s
			if count[m.Kind] == nil {
				count[m.Kind] = map[string]int{}
			}
			count[m.Kind][s]++
		}
		for kind, c := range count {
			total := float64(kinds[kind])
			for s, share := range map[string]float64{Val: f.Val, Test: f.Test} {
				if f.Train > 0 && float64(c[s]) > share*total+0.5+float64(largest[kind]) {
					t.Errorf("%s has %d of %d %s, share %g", s, c[s], kinds[kind], kind, share)
				}
				if share == 0 && c[s] > 0 {
					t.Errorf("%s has %d images and no share", s, c[s])
				}
			}
			n := len(groups[kind])
			if f.Train > 0 && c[Train] == 0 && !(n == 1 && c[Val] > 0) {
				t.Errorf("%s: none to train on", kind)
			}
			if f.Train > 0 && f.Val > 0 && n >= 2 && c[Val] == 0 || f.Train > 0 && f.Val > 0 && f.Test > 0 && n >= 3 && c[Test] == 0 {
				t.Errorf("%s: %d groups and %v", kind, n, c)
			}
		}
		n := map[string]int{}
		for _, s := range split {
			n[s]++
		}
		if len(of) > 1 && f.Train > 0 && f.Val > 0 && (n[Train] == 0 || n[Val] == 0) {
			t.Errorf("%d groups and %v: nothing can be trained", len(of), n)
		}
	})
}

// A few images, all of different kinds, can be trained on as well.
func TestSplitOfOneGroupPerKind(t *testing.T) {
	ms := []member{{"a", FluorescenceLarge, "1"}, {"b", FluorescenceLarge, "1"}, {"c", GrayTissue, "2"}}
	got, err := splitMembers(ms, DefaultFractions, 1)
	if want := map[string]string{"a": Train, "b": Train, "c": Val}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

// With many small groups the shares are met, and the seed matters.
func TestSplitShares(t *testing.T) {
	var ms []member
	for g := range 100 {
		for i := range 1 + g%4 {
			ms = append(ms, member{fmt.Sprintf("%d-%d", g, i), FluorescenceSmall, fmt.Sprint(g)})
		}
	}
	a, _ := splitMembers(ms, DefaultFractions, 1)
	n := map[string]int{}
	for _, s := range a {
		n[s]++
	}
	if total := float64(len(ms)); math.Abs(float64(n[Val])-0.1*total) > 1 || math.Abs(float64(n[Test])-0.1*total) > 1 {
		t.Errorf("%v of %d", n, len(ms))
	}
	if b, _ := splitMembers(ms, DefaultFractions, 2); maps.Equal(a, b) {
		t.Error("the seed makes no difference")
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, f := range []Fractions{{}, {0.5, 0.2, 0.2}, {1.2, -0.1, -0.1}, {math.NaN(), 0, 1}} {
		if _, err := splitMembers([]member{{"a", GrayTissue, "g"}}, f, 1); err == nil {
			t.Errorf("%v accepted", f)
		}
	}
}

package dataset

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Fractions of the images that go to each split; they sum to 1.
type Fractions struct {
	Train float64 `json:"train" yaml:"train"`
	Val   float64 `json:"val" yaml:"val"`
	Test  float64 `json:"test" yaml:"test"`
}

// DefaultFractions are 80/10/10.
var DefaultFractions = Fractions{0.8, 0.1, 0.1}

func (f Fractions) check() error {
	if f.Train < 0 || f.Val < 0 || f.Test < 0 || !(f.Train+f.Val+f.Test > 0.999 && f.Train+f.Val+f.Test < 1.001) {
		return fmt.Errorf("split fractions %g/%g/%g: must not be negative and must sum to 1", f.Train, f.Val, f.Test)
	}
	return nil
}

// Member is what Split needs to know of an image.
type Member struct{ ID, Kind, Group string }

// Split assigns Train, Val or Test to each image: whole groups only, each kind
// in the given proportions as far as its groups allow, the same for the same
// seed whatever the order of the images.
//
// Within a kind the groups are shuffled by the seed; each goes to Val or Test,
// whichever lacks more, when it fits what that one still lacks, else to Train.
// A kind is always in Train; one of two groups or more also in Val, of three or
// more also in Test: these get its smallest groups when none fits. Where that
// leaves Val empty, as no kind has two groups, it gets the smallest group of
// all, for nothing can be trained without. A group of several kinds counts as
// the kind of most of its images.
func Split(members []Member, f Fractions, seed uint64) (map[string]string, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	type group struct {
		name, kind string
		ids        []string
	}
	byName := map[string]*group{}
	kinds := map[string]map[string]int{} // group → kind → images
	for _, m := range members {
		g := byName[m.Group]
		if g == nil {
			g = &group{name: m.Group}
			byName[m.Group] = g
			kinds[m.Group] = map[string]int{}
		}
		g.ids = append(g.ids, m.ID)
		kinds[m.Group][m.Kind]++
	}
	byKind := map[string][]*group{}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		g := byName[name]
		most := 0
		for _, k := range slices.Sorted(maps.Keys(kinds[name])) {
			if n := kinds[name][k]; n > most {
				g.kind, most = k, n
			}
		}
		byKind[g.kind] = append(byKind[g.kind], g)
	}
	out := make(map[string]string, len(members))
	names := [3]string{Train, Val, Test}
	anyVal := false
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		gs := byKind[kind]
		rng := rand.New(rand.NewPCG(seed, hashString(kind)))
		rng.Shuffle(len(gs), func(i, j int) { gs[i], gs[j] = gs[j], gs[i] })
		total := 0
		for _, g := range gs {
			total += len(g.ids)
		}
		share := [3]float64{f.Train, f.Val, f.Test}
		of := make([]int, len(gs)) // split of each group
		var have, groups [3]int
		put := func(i, s int) {
			of[i] = s
			have[s] += len(gs[i].ids)
			groups[s]++
		}
		lack := func(s int) float64 { return share[s]*float64(total) - float64(have[s]) }
		for i, g := range gs {
			s := 1
			if lack(2) > lack(1) {
				s = 2
			}
			if f.Train > 0 && float64(len(g.ids)) > lack(s)+0.5 {
				s = 0
			}
			put(i, s)
		}
		move := func(i, to int) {
			groups[of[i]]--
			put(i, to)
		}
		if f.Train > 0 && groups[0] == 0 {
			// The largest group of the split that can best spare one.
			from := 2
			if groups[1] > groups[2] {
				from = 1
			}
			large := -1
			for i, g := range gs {
				if of[i] == from && (large < 0 || len(g.ids) > len(gs[large].ids)) {
					large = i
				}
			}
			move(large, 0)
		}
		for s := 1; s <= 2; s++ {
			if share[s] == 0 || groups[s] > 0 || groups[0] < 2 {
				continue
			}
			small := -1
			for i, g := range gs {
				if of[i] == 0 && (small < 0 || len(g.ids) < len(gs[small].ids)) {
					small = i
				}
			}
			move(small, s)
		}
		for i, g := range gs {
			for _, id := range g.ids {
				out[id] = names[of[i]]
			}
		}
		anyVal = anyVal || groups[1] > 0
	}
	if !anyVal && f.Train > 0 && f.Val > 0 && len(byName) > 1 {
		var small *group
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			if g := byName[name]; small == nil || len(g.ids) < len(small.ids) {
				small = g
			}
		}
		for _, id := range small.ids {
			out[id] = Val
		}
	}
	return out, nil
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

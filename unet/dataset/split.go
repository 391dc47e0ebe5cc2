package dataset

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Fractions of the images that go to each split; they sum to 1.
type Fractions struct {
	Train float64 `json:"train" yaml:"train"` // share to train on
	Val   float64 `json:"val" yaml:"val"`     // share to validate and tune with
	Test  float64 `json:"test" yaml:"test"`   // share to test on
}

// DefaultFractions are 80/10/10.
var DefaultFractions = Fractions{0.8, 0.1, 0.1}

func (f Fractions) check() error {
	if f.Train < 0 || f.Val < 0 || f.Test < 0 || !(f.Train+f.Val+f.Test > 0.999 && f.Train+f.Val+f.Test < 1.001) {
		return fmt.Errorf("split fractions %g/%g/%g: must not be negative and must sum to 1", f.Train, f.Val, f.Test)
	}
	return nil
}

// member is what splitMembers needs to know of an image.
type member struct{ ID, Kind, Group string }

// splitMembers assigns Train, Val or Test to each image: whole groups only, each kind
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
func splitMembers(members []member, f Fractions, seed uint64) (map[string]string, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	groups := groupsOf(members)
	byKind := map[string][]*group{}
	for _, g := range groups {
		byKind[g.kind] = append(byKind[g.kind], g)
	}
	anyVal := false
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		list := byKind[kind]
		rng := rand.New(rand.NewPCG(seed, hashString(kind)))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		d := newDivision(list, f)
		d.fill()
		d.mend()
		anyVal = anyVal || d.count[val] > 0
	}
	if !anyVal && f.Train > 0 && f.Val > 0 && len(groups) > 1 {
		slices.MinFunc(groups, bySize).split = val
	}
	out := make(map[string]string, len(members))
	for _, g := range groups {
		for _, id := range g.ids {
			out[id] = splitNames[g.split]
		}
	}
	return out, nil
}

// Splits by number.
const (
	train = iota
	val
	test
	splits
)

var splitNames = [splits]string{Train, Val, Test}

// group is a group of images, which stay together.
type group struct {
	name, kind string
	ids        []string
	split      int
}

func bySize(a, b *group) int { return cmp.Compare(len(a.ids), len(b.ids)) }

// groupsOf gathers the groups, in the order of their names.
func groupsOf(members []member) (list []*group) {
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
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		g, most := byName[name], 0
		for _, k := range slices.Sorted(maps.Keys(kinds[name])) {
			if n := kinds[name][k]; n > most {
				g.kind, most = k, n
			}
		}
		list = append(list, g)
	}
	return list
}

// division divides the groups of a kind.
type division struct {
	groups []*group
	want   [splits]float64 // images of each split
	have   [splits]int     // as filled
	count  [splits]int     // groups of each split
}

func newDivision(groups []*group, f Fractions) *division {
	d := &division{groups: groups}
	total := 0
	for _, g := range groups {
		total += len(g.ids)
	}
	for s, share := range [splits]float64{f.Train, f.Val, f.Test} {
		d.want[s] = share * float64(total)
	}
	return d
}

// lack is how many images a split needs as yet.
func (d *division) lack(s int) float64 { return d.want[s] - float64(d.have[s]) }

// fill gives every group to the split that lacks it most.
func (d *division) fill() {
	for _, g := range d.groups {
		g.split = val
		if d.lack(test) > d.lack(val) {
			g.split = test
		}
		if d.want[train] > 0 && float64(len(g.ids)) > d.lack(g.split)+0.5 {
			g.split = train
		}
		d.have[g.split] += len(g.ids)
		d.count[g.split]++
	}
}

// mend gives a group to each split that got none, as far as there are enough.
func (d *division) mend() {
	if d.want[train] > 0 && d.count[train] == 0 {
		from := test // which can best spare one
		if d.count[val] > d.count[test] {
			from = val
		}
		d.move(slices.MaxFunc(d.in(from), bySize), train)
	}
	for s := val; s <= test; s++ {
		if d.want[s] > 0 && d.count[s] == 0 && d.count[train] >= 2 {
			d.move(slices.MinFunc(d.in(train), bySize), s)
		}
	}
}

// in lists the groups of a split.
func (d *division) in(split int) (list []*group) {
	for _, g := range d.groups {
		if g.split == split {
			list = append(list, g)
		}
	}
	return list
}

func (d *division) move(g *group, to int) {
	d.count[g.split]--
	g.split = to
	d.count[to]++
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

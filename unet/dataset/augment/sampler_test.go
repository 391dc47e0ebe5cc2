package augment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestSamplerBalances(t *testing.T) {
	var images []Strata
	add := func(kind, source, group string, n int) {
		for range n {
			images = append(images, Strata{kind, source, group})
		}
	}
	add("fluorescence", "here", "a", 300)
	add("stained", "here", "b", 90)
	add("fluorescence", "there", "c", 100) // strata need not be in one piece
	add("stained", "here", "d", 10)
	add("fluorescence", "here", "e", 100)
	add("gray", "", "f", 4)
	const length = 10000
	for _, power := range []float64{0, Tempered, 1} {
		s, err := NewSampler(images, length, power)
		if err != nil {
			t.Fatal(err)
		}
		share := func(n int) float64 { return math.Pow(float64(n), power) }
		kindSum := share(500) + share(100) + share(4)
		here := share(500) / kindSum * share(400) / (share(400) + share(100))
		want := map[string]float64{
			"a": here * share(300) / (share(300) + share(100)),
			"e": here * share(100) / (share(300) + share(100)),
			"c": share(500) / kindSum * share(100) / (share(400) + share(100)),
			"b": share(100) / kindSum * share(90) / (share(90) + share(10)),
			"d": share(100) / kindSum * share(10) / (share(90) + share(10)),
			"f": share(4) / kindSum,
		}
		got, seen := map[string]float64{}, map[int]bool{}
		for i := range length {
			k := s.Index(7, 3, i)
			got[images[k].Group]++
			seen[k] = true
		}
		for g, w := range want {
			// Stratified draws: the count is exact but for the ends.
			if math.Abs(got[g]-w*length) > 3 {
				t.Errorf("power %v: group %s drawn %v times, want %v", power, g, got[g], w*length)
			}
		}
		if len(seen) != len(images) {
			t.Errorf("power %v: %d of %d images seen", power, len(seen), len(images))
		}
	}
}

func TestSamplerIsStatelessAndVaries(t *testing.T) {
	images := make([]Strata, 50)
	for i := range images {
		images[i].Group = fmt.Sprint(i % 5)
	}
	draw := func(seed uint64, epoch int) (order [64]int) {
		s, err := NewSampler(images, 64, Tempered)
		if err != nil {
			t.Fatal(err)
		}
		for i := range order {
			order[63-i] = s.Index(seed, epoch, 63-i) // any order of asking
		}
		return order
	}
	first := draw(1, 0)
	if first != draw(1, 0) {
		t.Error("same seed and epoch, different images")
	}
	if first == draw(1, 1) || first == draw(2, 0) {
		t.Error("another epoch or seed draws the same images in the same order")
	}
}

func TestPermuteIsOneToOne(t *testing.T) {
	for _, n := range []uint32{1, 2, 3, 5, 64, 1000} {
		seen := make([]bool, n)
		for x := range n {
			y := permute(99, x, n)
			if y >= n || seen[y] {
				t.Fatalf("n %d: %d maps to %d, out of range or taken", n, x, y)
			}
			seen[y] = true
		}
	}
}

func TestSourceDiffers(t *testing.T) {
	seen := map[uint64]string{}
	for seed := range uint64(5) {
		for epoch := range 5 {
			for position := range 50 {
				src := Source(seed, epoch, position)
				name := fmt.Sprint(seed, epoch, position)
				v := rand.New(&src).Uint64()
				if other, ok := seen[v]; ok {
					t.Fatalf("%s and %s draw the same number", name, other)
				}
				seen[v] = name
			}
		}
	}
}

func TestSamplerRefusesNonsense(t *testing.T) {
	one := []Strata{{Kind: "a"}}
	for name, call := range map[string]func() (*Sampler, error){
		"none":  func() (*Sampler, error) { return NewSampler(nil, 1, 1) },
		"epoch": func() (*Sampler, error) { return NewSampler(one, 0, 1) },
		"power": func() (*Sampler, error) { return NewSampler(one, 1, -1) },
	} {
		if _, err := call(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

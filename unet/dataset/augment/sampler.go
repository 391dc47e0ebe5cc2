package augment

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
)

// Tempered is the usual power of a Sampler: rare kinds, sources and groups are
// seen more often than their share, but not as often as common ones.
const Tempered = 0.5

// Sampler decides which image each position of each epoch sees. Images are
// balanced by kind (fluorescence, H&E, …), within a kind by source (a
// laboratory), and within a source by group (one acquisition): a kind of n
// images is drawn in proportion to n^power, and so is a source of its kind and
// a group of its source; images of one group are drawn equally often.
//
// A Sampler keeps no state: the image at a position follows from seed, epoch
// and position alone, so that training resumes exactly where it stopped. It
// may be used from several goroutines.
type Sampler struct {
	length int
	ends   []float64 // cumulative probability; ends[i] belongs to image order[i]
	order  []int
}

// Strata are what a Sampler balances an image by, from the widest to the narrowest.
type Strata struct{ Kind, Source, Group string }

// at returns the stratum that holds s at a level: 0 is all images, 1 a kind, 2
// a source of a kind, 3 a group of a source.
func (s Strata) at(level int) Strata {
	switch level {
	case 0:
		return Strata{}
	case 1:
		return Strata{Kind: s.Kind}
	case 2:
		return Strata{Kind: s.Kind, Source: s.Source}
	}
	return s
}

func (s Strata) compare(t Strata) int {
	return cmp.Or(strings.Compare(s.Kind, t.Kind), strings.Compare(s.Source, t.Source), strings.Compare(s.Group, t.Group))
}

// NewSampler returns a Sampler of epochs of length positions over the given
// images. A power of 0 draws all kinds (sources, groups) equally often, 1 by
// their number of images.
func NewSampler(images []Strata, length int, power float64) (*Sampler, error) {
	switch {
	case len(images) == 0:
		return nil, errors.New("augment: no images to sample from")
	case length < 1 || length > math.MaxInt32:
		return nil, fmt.Errorf("augment: epoch of %d positions, want at least 1", length)
	case !(power >= 0 && power <= 1):
		return nil, fmt.Errorf("augment: power %v, want 0 to 1", power)
	}
	const levels = 4 // all images, kinds, sources, groups
	var counts [levels]map[Strata]int
	for level := range counts {
		counts[level] = map[Strata]int{}
		for _, image := range images {
			counts[level][image.at(level)]++
		}
	}
	shares := make([]float64, len(images))
	for i, image := range images {
		shares[i] = 1 / float64(counts[levels-1][image])
	}
	for level := 1; level < levels; level++ {
		mass := func(image Strata) float64 { return math.Pow(float64(counts[level][image.at(level)]), power) }
		// Sums run over images, never over maps, whose order changes: one image
		// holds 1/n of its stratum's mass.
		within := map[Strata]float64{}
		for _, image := range images {
			within[image.at(level-1)] += mass(image) / float64(counts[level][image.at(level)])
		}
		for i, image := range images {
			shares[i] *= mass(image) / within[image.at(level-1)]
		}
	}
	s := &Sampler{length: length, ends: make([]float64, len(images)), order: make([]int, len(images))}
	for i := range s.order {
		s.order[i] = i
	}
	// Neighbours on the line share their strata: keep them together.
	slices.SortStableFunc(s.order, func(i, j int) int { return images[i].compare(images[j]) })
	sum := 0.0
	for at, i := range s.order {
		sum += shares[i]
		s.ends[at] = sum
	}
	for i := range s.ends {
		s.ends[i] /= sum
	}
	return s, nil
}

// Len returns the number of positions of an epoch.
func (s *Sampler) Len() int { return s.length }

// Index returns the image at a position (0 to Len()-1) of an epoch. Within an
// epoch the draws are stratified: every kind, group and image gets its share
// to within about one draw, in random order.
func (s *Sampler) Index(seed uint64, epoch, position int) int {
	key := mix(mix(seed+0x9e3779b97f4a7c15) ^ uint64(epoch))
	stratum := permute(key, uint32(position), uint32(s.length))
	jitter := float64(mix(key^uint64(position)<<32)>>11) / (1 << 53)
	u := (float64(stratum) + jitter) / float64(s.length)
	at := sort.SearchFloat64s(s.ends, u)
	return s.order[min(at, len(s.order)-1)]
}

// Source returns the random source of a position of an epoch; the same
// arguments give the same draws, different ones independent draws.
func Source(seed uint64, epoch, position int) rand.PCG {
	key := mix(mix(seed+0xd1b54a32d192ed03) ^ uint64(epoch))
	return *rand.NewPCG(key, mix(key+uint64(position)))
}

// permute maps 0..n-1 onto itself, one to one: a four-round Feistel network
// over the next even number of bits, walked until it lands below n.
func permute(key uint64, x, n uint32) uint32 {
	half := (bits.Len32(n-1) + 1) / 2
	mask := uint32(1)<<half - 1
	for {
		l, r := x>>half, x&mask
		for round := range uint64(4) {
			l, r = r, l^uint32(mix(key+round<<56^uint64(r)))&mask
		}
		x = l<<half | r
		if x < n {
			return x
		}
	}
}

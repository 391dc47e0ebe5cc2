package augment

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"sort"
)

// Tempered is the usual power of a Sampler: rare kinds and groups are seen
// more often than their share, but not as often as common ones.
const Tempered = 0.5

// Sampler decides which image each position of each epoch sees. Images are
// balanced by kind (fluorescence, H&E, …) and, within a kind, by group (one
// acquisition): a kind of n images is drawn in proportion to n^power, and so
// is a group of its kind; images of one group are drawn equally often.
//
// A Sampler keeps no state: the image at a position follows from seed, epoch
// and position alone, so that training resumes exactly where it stopped. It
// may be used from several goroutines.
type Sampler struct {
	length int
	ends   []float64 // cumulative probability; ends[i] belongs to image order[i]
	order  []int
}

// NewSampler returns a Sampler of epochs of length positions over images of
// the given kinds and groups, one of each per image. A power of 0 draws all
// kinds (groups) equally often, 1 by their number of images.
func NewSampler(kinds, groups []string, length int, kindPower, groupPower float64) (*Sampler, error) {
	switch {
	case len(kinds) == 0:
		return nil, errors.New("augment: no images to sample from")
	case len(kinds) != len(groups):
		return nil, fmt.Errorf("augment: %d kinds but %d groups", len(kinds), len(groups))
	case length < 1 || length > math.MaxInt32:
		return nil, fmt.Errorf("augment: epoch of %d positions, want at least 1", length)
	case !(kindPower >= 0 && kindPower <= 1) || !(groupPower >= 0 && groupPower <= 1):
		return nil, fmt.Errorf("augment: powers %v and %v, want 0 to 1", kindPower, groupPower)
	}
	type group struct{ kind, name string }
	perKind, perGroup := map[string]int{}, map[group]int{}
	for i, k := range kinds {
		perKind[k]++
		perGroup[group{k, groups[i]}]++
	}
	// Sums run over images, never over maps, whose order changes: one image
	// holds 1/n of its kind's or group's mass.
	mass := func(n int, power float64) float64 { return math.Pow(float64(n), power) / float64(n) }
	all, within := 0.0, map[string]float64{}
	for i, k := range kinds {
		all += mass(perKind[k], kindPower)
		within[k] += mass(perGroup[group{k, groups[i]}], groupPower)
	}
	s := &Sampler{length: length, ends: make([]float64, len(kinds)), order: make([]int, len(kinds))}
	for i := range s.order {
		s.order[i] = i
	}
	// Neighbours on the line share their strata: keep kinds and groups together.
	sort.SliceStable(s.order, func(a, b int) bool {
		i, j := s.order[a], s.order[b]
		if kinds[i] != kinds[j] {
			return kinds[i] < kinds[j]
		}
		return groups[i] < groups[j]
	})
	sum := 0.0
	for at, i := range s.order {
		k := kinds[i]
		ofKind := math.Pow(float64(perKind[k]), kindPower) / all
		sum += ofKind * mass(perGroup[group{k, groups[i]}], groupPower) / within[k]
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

package segment

import (
	"fmt"
	"regexp"
	"strconv"

	"unet/unet/imageio"
)

// nuclearStain matches names of channels that show nuclei.
var nuclearStain = regexp.MustCompile(`(?i)dapi|hoechst|nucle[ui]|nuclear|\bdna\b|draq|\bh2b|to-?pro|sytox|propidium`)

// maxMeasured is how many channels of one place are measured together.
const maxMeasured = 256

// place is where a plane was taken: planes of one place differ in their channel.
type place struct {
	well                      string
	field, series, z, t, page int
}

// places are the planes of a file by their place.
type places struct {
	planes []imageio.PlaneInfo
	of     []place
	at     map[place][]int
	stains map[place]int // the first plane named like a nuclear stain
}

func placesOf(planes []imageio.PlaneInfo) *places {
	// Channels that repeat at one place are pages of a plain stack.
	type channelAt struct {
		place
		channel int
	}
	seen := map[channelAt]bool{}
	stack := false
	for _, p := range planes {
		k := channelAt{place{p.Well, p.Field, p.Series, p.Z, p.T, 0}, p.Channel}
		stack = stack || seen[k]
		seen[k] = true
	}
	s := &places{planes: planes, at: map[place][]int{}, stains: map[place]int{}}
	for i, p := range planes {
		k := place{p.Well, p.Field, p.Series, p.Z, p.T, 0}
		if stack {
			k.page = p.Page
		}
		s.of = append(s.of, k)
		s.at[k] = append(s.at[k], i)
		if _, ok := s.stains[k]; !ok && nuclearStain.MatchString(p.Name) {
			s.stains[k] = i
		}
	}
	return s
}

// group lists the planes at the place of plane i.
func (s *places) group(i int) []int { return s.at[s.of[i]] }

// stain is the first plane at the place of plane i that is named like a nuclear
// stain, or -1 where none is.
func (s *places) stain(i int) int {
	if j, ok := s.stains[s.of[i]]; ok {
		return j
	}
	return -1
}

// nucleiElsewhere reports whether another plane at the place of plane i is the
// one named like a nuclear stain.
func (s *places) nucleiElsewhere(i int) bool {
	j := s.stain(i)
	return j >= 0 && j != i
}

// measuredWith lists the planes whose intensities are measured with plane i:
// those of its place and size, i among them; i alone where they are too many. Of
// colour images only i itself is one.
func (s *places) measuredWith(i int) (list []int) {
	group := s.group(i)
	if len(group) > maxMeasured {
		group = []int{i}
	}
	p := s.planes[i]
	for _, j := range group {
		if q := s.planes[j]; q.W == p.W && q.H == p.H && (q.C == 1 || j == i) {
			list = append(list, j)
		}
	}
	return list
}

// planeSuffixes returns a function that names the place of a plane by the axes
// along which the file has several.
func planeSuffixes(all []imageio.PlaneInfo) func(imageio.PlaneInfo) string {
	axes := []struct {
		letter string
		of     func(imageio.PlaneInfo) int
		top    int
	}{
		{"f", func(p imageio.PlaneInfo) int { return p.Field }, 0},
		{"s", func(p imageio.PlaneInfo) int { return p.Series }, 0},
		{"t", func(p imageio.PlaneInfo) int { return p.T }, 0},
		{"z", func(p imageio.PlaneInfo) int { return p.Z }, 0},
		{"c", func(p imageio.PlaneInfo) int { return p.Channel }, 0},
		{"p", func(p imageio.PlaneInfo) int { return p.Page }, 0},
	}
	last := len(axes) - 1
	type planeAt struct {
		well                         string
		field, series, t, z, channel int
	}
	seen := map[planeAt]bool{}
	pages := false // the other axes do not tell planes apart
	for _, p := range all {
		for i := range axes {
			axes[i].top = max(axes[i].top, axes[i].of(p))
		}
		k := planeAt{p.Well, p.Field, p.Series, p.T, p.Z, p.Channel}
		pages = pages || seen[k]
		seen[k] = true
	}
	return func(p imageio.PlaneInfo) string {
		suffix := ""
		if p.Well != "" {
			suffix = "_" + p.Well
		}
		for i, a := range axes {
			if a.top > 0 && (i != last || pages) {
				suffix += fmt.Sprintf("_%s%0*d", a.letter, len(strconv.Itoa(a.top)), a.of(p))
			}
		}
		return suffix
	}
}

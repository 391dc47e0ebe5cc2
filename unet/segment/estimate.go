package segment

import (
	"fmt"
	"math"
	"slices"

	"unet/unet/imageio"
	"unet/unet/instance"
)

const (
	fewest = 5 // nuclei are needed to tell their usual size
	grain  = 4 // pixels across: what is smaller is noise
	// agree is how far, as a factor, the diameters before and after scaling may
	// be apart.
	agree = 1.5
)

// areas are those of the nuclei of an image in pixels.
func areas(l *imageio.Labels) []int {
	list := make([]int, l.Max())
	for _, id := range l.ID {
		if id != 0 {
			list[id-1]++
		}
	}
	return list
}

// withSmaller returns the areas of nuclei at native scale down to the smallest:
// when those found are few or small, the usual size may lie below the least
// area of params.
func (s *Segmenter) withSmaller(found []int, m instance.Maps, params instance.Params) []int {
	const smallest = 4 // pixels
	low, _ := s.model.Card.KnownDiameters()
	if len(found) >= fewest && usualCount(found) > 1.5*low {
		return found
	}
	params.MinArea = min(params.MinArea, smallest)
	return areas(instance.Segment(m, params))
}

// estimate returns the usual diameter of the nuclei found at native scale, 0 if
// they are too few, and the scale that suits all, smaller ones included: 1
// where the model knows such nuclei. It takes their areas.
func (s *Segmenter) estimate(found, all []int) (diameter, scale float64) {
	if len(found) >= fewest {
		diameter = usualCount(found)
	}
	if len(all) < fewest {
		return diameter, 1
	}
	card := s.model.Card
	low, high := card.KnownDiameters()
	byCount, byArea := usual(all)
	// Fragments of one large nucleus are many, a clump of many small ones has
	// a large area: both must agree.
	switch small, large := min(byCount, byArea), max(byCount, byArea); {
	case large < grain:
		return diameter, 1
	case large < low:
		diameter = large
	case small > high:
		diameter = small
	default:
		return diameter, 1
	}
	return diameter, min(max(card.Diameter[1]/diameter, minScale), maxScale)
}

// usual returns the diameter of circles of the median area, and that of the
// nucleus in which the middle one of all nuclear pixels lies, of at least one
// area; it sorts areas.
func usual(areas []int) (byCount, byArea float64) {
	slices.Sort(areas)
	diameter := func(a int) float64 { return math.Sqrt(4 * float64(a) / math.Pi) }
	n := len(areas)
	byCount = (diameter(areas[(n-1)/2]) + diameter(areas[n/2])) / 2
	total := 0
	for _, a := range areas {
		total += a
	}
	sum := 0
	for _, a := range areas {
		if sum += a; 2*sum >= total {
			return byCount, diameter(a)
		}
	}
	return byCount, byCount
}

// usualCount is the first result of usual, 0 of no areas.
func usualCount(areas []int) float64 {
	if len(areas) == 0 {
		return 0
	}
	d, _ := usual(areas)
	return d
}

// scaleNote tells of a scale that was not asked for.
func (s *Segmenter) scaleNote(diameter, scale float64) string {
	low, high := s.model.Card.KnownDiameters()
	return fmt.Sprintf("nuclei are about %.1f pixels across, the model knows %.0f to %.0f: scaled by %.3g", diameter, low, high, scale)
}

// sizeWarning says when nuclei that are not to be scaled are far from what the
// model was trained on; "" if not.
func (s *Segmenter) sizeWarning(sum instance.Summary) string {
	low, high := s.model.Card.KnownDiameters()
	if s.diameter.Native && high > 0 && sum.Count >= fewest && (sum.DiameterMedian > high || sum.DiameterMedian < low) {
		return fmt.Sprintf("median diameter %.1f pixels, the model knows %.0f to %.0f: --diameter auto scales such images", sum.DiameterMedian, low, high)
	}
	return ""
}

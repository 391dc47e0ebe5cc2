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
	return areas(instance.Separate(m, params))
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
	return diameter, s.scaleFor(diameter)
}

// scaleFor is the scale at which nuclei of a diameter have that of training.
func (s *Segmenter) scaleFor(diameter float64) float64 {
	return min(max(s.model.Card.Diameter[1]/diameter, minScale), maxScale)
}

// agrees reports whether the diameter of nuclei after scaling bears an estimate out.
func agrees(diameter, estimate float64) bool {
	return diameter <= estimate*agree && diameter >= estimate/agree
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

// Nuclei larger than those of training fall into pieces, or are not found at all, at
// native scale, and pieces say nothing of their size. What tells is a look from afar.
const (
	sure     = 0.85 // the mean confidence of nuclei that are no pieces
	farSide  = 64   // pixels an image must have left then
	solid    = 0.9  // the least solidity of what is no piece
	farShare = 0.02 // of the image that nuclei of one piece must cover then, if they are not sure
	beyond   = 1.1  // how far, as a factor, their size must be beyond that of training
)

// farScales are looked from one after the other; the first costs a sixteenth of the time.
var farScales = []float64{1.0 / 4, 1.0 / 8}

// sighting is what is found in one or several parts of a plane, in its pixels.
type sighting struct {
	pixels     int     // looked at
	all        int     // in nuclei
	whole      int     // in those as solid as nuclei are
	right      float64 // in nuclei, each weighed by its confidence
	confidence float64 // of all nuclei, in sum; 0 where the model does not rate them
	areas      []int   // of all nuclei
	sizes      []int   // areas of the solid ones
}

// add adds what maps show, nuclei that are rated.
func (s *sighting) add(m instance.Maps, nuclei []instance.Nucleus) {
	s.pixels += m.W * m.H
	for i := range nuclei {
		n := &nuclei[i]
		s.all += n.Area
		s.right += float64(n.Area) * n.Confidence
		s.confidence += n.Confidence
		s.areas = append(s.areas, n.Area)
		if n.Solidity >= solid {
			s.whole += n.Area
			s.sizes = append(s.sizes, n.Area)
		}
	}
}

// share is how much of the plane nuclei of one piece cover.
func (s *sighting) share() float64 { return float64(s.whole) / float64(s.pixels) }

// mean is the mean confidence.
func (s *sighting) mean() float64 { return s.confidence / float64(max(1, len(s.areas))) }

// known reports whether what is seen are nuclei as the model knows them: by their
// confidence or, where the model does not rate nuclei, if most are of one piece and
// of the usual size at most.
func (s *sighting) known(usually float64) bool {
	if s.confidence > 0 {
		return s.mean() >= sure
	}
	if s.share() < farShare/2 || 2*s.whole < s.all {
		return false
	}
	_, byArea := usual(s.areas)
	return byArea <= usually
}

// clearer reports whether more is seen than in other: more that is probably right, and
// more surely, and of nuclei that can be trusted half as many at least; or, where the
// model does not say, twice as much in nuclei of one piece.
func (s *sighting) clearer(other *sighting) bool {
	if s.confidence == 0 {
		return s.share() >= farShare && s.share() >= 2*other.share()
	}
	return (s.share() >= farShare || s.mean() >= sure) && s.mean() > other.mean() &&
		s.right/float64(s.pixels) > other.right/float64(other.pixels) &&
		(expectedF1(other.mean()) < trusted || s.confidence/float64(s.pixels) >= other.confidence/float64(other.pixels)/2)
}

// larger looks at a plane from afar if what was found near may be pieces, larger than
// the nuclei of training, or next to nothing. It returns the usual diameter of the nuclei
// seen then, in pixels of the plane, if they are larger than those of training and
// seen more clearly; else 0. side is the shorter one of what is looked at.
func (s *Segmenter) larger(near sighting, side int, look func(scale float64) (sighting, error)) (diameter float64, err error) {
	usually := s.model.Card.Diameter[2]
	if near.known(usually) {
		return 0, nil
	}
	for _, scale := range farScales {
		if float64(side)*scale < farSide {
			break
		}
		far, err := look(scale)
		if err != nil {
			return 0, err
		}
		if !far.clearer(&near) {
			continue
		}
		if d := usualCount(far.sizes); d > beyond*usually {
			return d, nil
		}
		return 0, nil // a few large ones among many that are not
	}
	return 0, nil
}

// lost is the number of nuclei of which the model is sure that lie outside those of
// other labels.
func lost(nuclei []instance.Nucleus, l *imageio.Labels) (n int) {
	for i := range nuclei {
		r := nuclei[i].Runs[len(nuclei[i].Runs)/2]
		if nuclei[i].Confidence >= sure && l.ID[r.Y*l.W+(r.X0+r.X1)/2] == 0 {
			n++
		}
	}
	return n
}

// scaleNote tells of a scale that was not asked for.
func (s *Segmenter) scaleNote(diameter, scale float64) string {
	low, high := s.model.Card.KnownDiameters()
	if diameter >= low && diameter <= high {
		return fmt.Sprintf("nuclei are about %.1f pixels across, and clearer from afar: scaled by %.3g", diameter, scale)
	}
	return fmt.Sprintf("nuclei are about %.1f pixels across, the model knows %.0f to %.0f: scaled by %.3g", diameter, low, high, scale)
}

// sizes are the diameters that a model knows, the smallest, the usual and the
// largest one, and the one that was given. A model that resizes every image knows
// none: how large its nuclei are depends on the image.
type sizes struct {
	Low, Usual, High float64
	Given            Diameter
}

func (s *Segmenter) sizes() sizes {
	if s.model.Card.Input.Size > 0 {
		return sizes{Given: s.diameter}
	}
	low, high := s.model.Card.KnownDiameters()
	return sizes{low, s.model.Card.Diameter[1], high, s.diameter}
}

// warning says when nuclei that are not to be scaled are far from what the model
// was trained on; "" if not.
func (z sizes) warning(sum instance.Summary, scale float64) string {
	if d := z.Given; d.Pixels > 0 || d.Micrometres > 0 {
		given, found := z.Usual/scale, sum.DiameterMedian
		switch {
		case sum.Count > 0 && (found > farOff*given || found < given/farOff):
			return fmt.Sprintf("the nuclei found are %.1f pixels across, not %.1f as given; a diameter of \"auto\" is estimated from the image", found, given)
		case sum.Count == 0 && z.High > 0 && (given > farOff*z.High || given < z.Low/farOff):
			return fmt.Sprintf("no nuclei of the given diameter, %.1f pixels, were found; a diameter of \"auto\" is estimated from the image", given)
		}
		return ""
	}
	if z.Given.Native && z.High > 0 && sum.Count >= fewest && (sum.DiameterMedian > z.High || sum.DiameterMedian < z.Low) {
		return fmt.Sprintf("median diameter %.1f pixels, the model knows %.0f to %.0f; with a diameter of \"auto\" the image is scaled", sum.DiameterMedian, z.Low, z.High)
	}
	return ""
}

// tileWarning says that the scaled plane is computed in tiles by a network that
// looks at all of what it computes; "" if not.
func (s *Segmenter) tileWarning(p imageio.PlaneInfo, scale float64) string {
	w, h := s.scaled(p, scale)
	if s.model.Card.Arch.Norm != "group" || !s.predictor.Tiled(w, h) {
		return ""
	}
	return fmt.Sprintf("%d x %d pixels are computed in tiles, and the model's group norm takes its statistics of each tile, not of the image: compare with smaller images before you trust the numbers", w, h)
}

// farOff is the factor between a diameter that was given and that of the nuclei
// found from which on it cannot be meant.
const farOff = 2

// trusted is the least F1 at IoU 0.5 expected of an image without a warning.
const trusted = 0.7

// expectedF1 is that of nuclei of which a share p is right, if none is missed.
func expectedF1(p float64) float64 { return 2 * p / (1 + p) }

// doubt says that fewer of the nuclei found are right than one would want; ""
// if not, or if the model does not rate nuclei.
func doubt(sum instance.Summary) string {
	if p := sum.Confidence; p > 0 && expectedF1(p) < trusted {
		return fmt.Sprintf("unlike the images this model knows: expect about %.0f %% of these nuclei to be right", 100*p)
	}
	return ""
}

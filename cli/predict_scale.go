package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// diameter is how large nuclei are in an image: not asked, in pixels, in
// micrometres or to be estimated.
type diameter struct {
	pixels, micrometres float64
	auto                bool
}

const (
	diameterAuto   = "auto"
	diameterNative = "native"
)

func parseDiameter(s string) (d diameter, err error) {
	switch s {
	case diameterNative:
		return d, nil
	case diameterAuto:
		return diameter{auto: true}, nil
	}
	number, into := s, &d.pixels
	for _, unit := range []string{"um", "µm", "μm"} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			number, into = n, &d.micrometres
		}
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(number, "px")), 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		return d, usagef("--diameter %s: give pixels such as 25, micrometres such as 12um, auto or native", s)
	}
	*into = v
	return d, nil
}

const minScale, maxScale = 1.0 / 16, 16

// scaleOf is how much to enlarge a plane so that its nuclei are as large as in
// training, 1 when that is not asked or not known yet.
func (r *predictRun) scaleOf(t *task) (float64, error) {
	d := r.diameter.pixels
	if µm := r.diameter.micrometres; µm > 0 {
		size := r.pixelSize(t.job.info)
		if !size.Known() {
			return 0, withHint(fmt.Errorf("%s: --diameter in µm, but the file does not say how large its pixels are", t.in.path), "add --pixel-size")
		}
		d = µm / size.Length()
	}
	if d == 0 {
		return 1, nil
	}
	s := r.model.Card.Diameter[1] / d
	if s < minScale || s > maxScale {
		return 0, fmt.Errorf("%s: nuclei of %.4g pixels would need scaling by %.3g; %.4g to %.4g is possible", t.in.path, d, s, minScale, float64(maxScale))
	}
	return s, nil
}

func (r *predictRun) pixelSize(p imageio.PlaneInfo) imageio.PixelSize {
	if r.settings.PixelSize.Known() {
		return r.settings.PixelSize
	}
	return p.PixelSize
}

// paramsAt are the parameters for maps of an image that was scaled for the
// network and back: areas are those of the image.
func (r *predictRun) paramsAt(scale float64) instance.Params {
	p := r.settings.Instance
	if !r.settings.MinAreaSet {
		p.MinArea = int(math.Round(float64(p.MinArea) / scale / scale))
	}
	return p
}

// scaled is the size of a plane that the network sees.
func scaled(p imageio.PlaneInfo, scale float64) (w, h int) {
	return max(1, int(math.Round(float64(p.W)*scale))), max(1, int(math.Round(float64(p.H)*scale)))
}

// mapsAt computes the maps of a plane at another scale, at the plane's size.
func (r *predictRun) mapsAt(ctx context.Context, p *unet.Predictor, t *task, scale float64) (instance.Maps, error) {
	if scale == 1 {
		return p.Maps(ctx, t.img)
	}
	w, h := scaled(t.job.info, scale)
	heads := len(r.model.Card.Arch.Heads)
	if bytes := int64(w) * int64(h) * int64(8*t.img.C+4*heads); bytes > r.budget/2 {
		return instance.Maps{}, &imageio.LimitError{Name: t.in.path, What: fmt.Sprintf("scaled by %.3g it is %d x %d pixels", scale, w, h), Advice: "allow more with --max-memory"}
	}
	return p.MapsAt(ctx, t.img, w, h)
}

// segment turns the maps of a plane into nuclei. Unless their size is given,
// it is taken from these nuclei, and when it is far from that of training the
// plane is computed again at another scale, which c gets.
func (r *predictRun) segment(ctx context.Context, t *task, c *computed, rec *planeRecord) (*imageio.Labels, error) {
	labels := instance.Segment(c.maps, r.paramsAt(c.scale))
	if !r.diameter.auto {
		return labels, nil
	}
	found := areas(labels)
	c.scale = r.estimate(found, r.withSmaller(found, c.maps, r.settings.Instance), rec)
	if c.scale == 1 {
		return labels, nil
	}
	m, err := r.mapsAt(ctx, r.predictor, t, c.scale)
	var limit *imageio.LimitError
	if errors.As(err, &limit) { // nobody asked for this size
		c.scale = 1
		rec.Warnings = append(rec.Warnings, err.Error()+": native scale")
		return labels, nil
	}
	if err != nil {
		return nil, err
	}
	again := instance.Segment(m, r.paramsAt(c.scale))
	if d := usualCount(areas(again)); d > rec.Estimate*agree || d < rec.Estimate/agree {
		// Noise has grains of any size.
		rec.Notes = append(rec.Notes, fmt.Sprintf("scaled by %.3g the nuclei of %.1f pixels are %.1f: native scale", c.scale, rec.Estimate, d))
		rec.Estimate, c.scale = usualCount(areas(labels)), 1
		return labels, nil
	}
	r.noteScale(rec, c.scale)
	c.maps = m
	return again, nil
}

// agree is how far, as a factor, the diameters before and after scaling may be
// apart.
const agree = 1.5

// noteScale tells of a scale that was not asked for.
func (r *predictRun) noteScale(rec *planeRecord, scale float64) {
	low, high := r.model.Card.KnownDiameters()
	rec.Notes = append(rec.Notes, fmt.Sprintf("nuclei of %.1f pixels, the model knows %.0f to %.0f: scaled by %.3g", rec.Estimate, low, high, scale))
}

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

const (
	fewest = 5 // nuclei are needed to tell their usual size
	grain  = 4 // pixels across: what is smaller is noise
)

// withSmaller returns the areas of nuclei at native scale down to the smallest:
// when those found are few or small, the usual size may lie below the least
// area of params.
func (r *predictRun) withSmaller(found []int, m instance.Maps, params instance.Params) []int {
	const smallest = 4 // pixels
	low, _ := r.model.Card.KnownDiameters()
	if len(found) >= fewest {
		if usualCount(found) > 1.5*low {
			return found
		}
	}
	params.MinArea = min(params.MinArea, smallest)
	return areas(instance.Segment(m, params))
}

// estimate enters the usual diameter of the nuclei found at native scale in
// rec and returns the scale that suits all, smaller ones included: 1 where the
// model knows such nuclei. It takes their areas.
func (r *predictRun) estimate(found, all []int, rec *planeRecord) (scale float64) {
	if len(found) >= fewest {
		rec.Estimate = usualCount(found)
	}
	if len(all) < fewest {
		return 1
	}
	card := r.model.Card
	low, high := card.KnownDiameters()
	byCount, byArea := usual(all)
	// Fragments of one large nucleus are many, a clump of many small ones has
	// a large area: both must agree.
	switch small, large := min(byCount, byArea), max(byCount, byArea); {
	case large < grain:
		return 1
	case large < low:
		rec.Estimate = large
	case small > high:
		rec.Estimate = small
	default:
		return 1
	}
	return min(max(card.Diameter[1]/rec.Estimate, minScale), maxScale)
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

// sampleSide is the side in pixels of the four windows of a large plane from
// which the size of its nuclei is estimated.
const sampleSide = 512

// estimateLarge is estimate for a plane read in pieces: from windows in the
// middle of its quarters.
func (r *predictRun) estimateLarge(ctx context.Context, t *task, levels unet.Levels, rec *planeRecord) (scale float64, err error) {
	var found, all []int
	p := t.job.info
	params := r.settings.Instance
	params.RemoveEdge = true // what the window cuts is no nucleus
	w, h := min(sampleSide, p.W), min(sampleSide, p.H)
	for quarter := range 4 {
		x0 := min(max(p.W*(1+quarter%2*2)/4-w/2, 0), p.W-w)
		y0 := min(max(p.H*(1+quarter/2*2)/4-h/2, 0), p.H-h)
		window := unet.Rows{W: w, H: h, Read: func(y, n int) (*imageio.Image, error) {
			return t.file.ReadRegion(t.job.index, x0, y0+y, w, n)
		}}
		m := instance.NewMaps(w, h, r.model.Card.Arch.Heads...)
		err := r.predictor.Bands(ctx, window, levels, func(y int, part instance.Maps, _ *imageio.Image) error {
			for _, name := range part.Names {
				copy(m.Plane(name)[y*w:], part.Plane(name))
			}
			return nil
		})
		if err != nil {
			return 1, err
		}
		part := areas(instance.Segment(m, params))
		all = append(all, r.withSmaller(part, m, params)...)
		found = append(found, part...)
	}
	if scale = r.estimate(found, all, rec); scale != 1 {
		r.noteScale(rec, scale)
	}
	return scale, nil
}

// sizeWarning says when nuclei that are not to be scaled are far from what the
// model was trained on.
func (r *predictRun) sizeWarning(rec *planeRecord) string {
	low, high := r.model.Card.KnownDiameters()
	if r.diameter == (diameter{}) && high > 0 && rec.Nuclei >= fewest && (rec.Diameter > high || rec.Diameter < low) {
		return fmt.Sprintf("median diameter %.1f pixels, the model knows %.0f to %.0f: --diameter auto scales such images", rec.Diameter, low, high)
	}
	return ""
}

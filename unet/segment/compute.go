package segment

import (
	"context"
	"errors"
	"fmt"

	"unet/unet"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// mapper computes the maps of a plane, scaled for the network and back.
type mapper func(ctx context.Context, scale float64) (instance.Maps, error)

// compute finds and measures the nuclei of a plane in memory. Unless their size
// is given, it is taken from the nuclei found at native scale, and when it is
// far from that of training the plane is computed again at another scale.
func (s *Segmenter) compute(ctx context.Context, p *plane, scale float64, maps mapper) (*Result, error) {
	m, err := maps(ctx, scale)
	if err != nil {
		return nil, err
	}
	r := &Result{Maps: m, Scale: scale, Labels: instance.Separate(m, s.paramsAt(scale))}
	measured := s.options.stained(&r.Measured, p.measured, p.channels, s.pixelSize(p.info))
	r.Nuclei = s.rated(r.Maps, r.Labels, measured)
	if s.diameter.auto() {
		before := r.Labels
		if err := s.rescale(ctx, r, maps); err != nil {
			return nil, err
		}
		if r.Labels != before {
			r.Nuclei = s.rated(r.Maps, r.Labels, measured)
		}
	}
	if err := s.options.count(&r.Measured, r.Labels, measured, instance.Keeper{Rules: s.options.Keep, Region: p.region, Renumber: true}); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	if p.img.Float {
		note, warning := undefinedText(p.img.Undefined())
		r.Notes, r.Warnings = appendText(r.Notes, note), appendText(r.Warnings, warning)
	}
	sum := r.Summarise(p.info.W, p.info.H)
	for _, w := range []string{s.sizes().warning(sum, r.Scale), s.tileWarning(p.info, r.Scale), doubt(sum)} {
		r.Warnings = appendText(r.Warnings, w)
	}
	return r, nil
}

// appendText appends a text to a list unless it is "".
func appendText(list []string, text string) []string {
	if text == "" {
		return list
	}
	return append(list, text)
}

// undefinedText tells of samples that are no finite numbers, a share of all.
func undefinedText(share float64) (note, warning string) {
	switch {
	case share == 1:
		return "", "no sample is a finite number: there is nothing to find nuclei in"
	case share > 0:
		return fmt.Sprintf("%.2g %% of the samples are no finite numbers (NaN or infinite): nuclei there are not found", 100*share), ""
	}
	return "", ""
}

// rated measures the nuclei of labels of the size of the maps, with their confidence.
func (s *Segmenter) rated(m instance.Maps, l *imageio.Labels, measured *imageio.Image) []instance.Nucleus {
	nuclei := instance.Measure(l, measured)
	s.params.Confidence.Rate(m, nuclei)
	return nuclei
}

// rescale computes the maps and labels of r again if the nuclei found are of a
// size that the model does not know.
func (s *Segmenter) rescale(ctx context.Context, r *Result, maps mapper) error {
	found := areas(r.Labels)
	var near sighting
	near.add(r.Maps, r.Nuclei)
	large, err := s.larger(near, min(r.Maps.W, r.Maps.H), func(scale float64) (far sighting, err error) {
		m, err := maps(ctx, scale)
		if err == nil {
			far.add(m, s.rated(m, instance.Separate(m, s.paramsAt(scale)), nil))
		}
		return far, err
	})
	if err != nil {
		return err
	}
	var scale float64
	if large > 0 {
		r.Estimate, scale = large, s.scaleFor(large)
	} else {
		r.Estimate, scale = s.estimate(found, s.withSmaller(found, r.Maps, s.params))
	}
	if scale == 1 {
		return nil
	}
	m, err := maps(ctx, scale)
	var limit *imageio.LimitError
	if errors.As(err, &limit) { // nobody asked for this size
		r.Warnings = append(r.Warnings, err.Error()+": native scale")
		return nil
	}
	if err != nil {
		return err
	}
	again := instance.Separate(m, s.paramsAt(scale))
	if d := usualCount(areas(again)); !agrees(d, r.Estimate) {
		// Noise has grains of any size.
		r.Notes = append(r.Notes, fmt.Sprintf("scaled by %.3g the nuclei of %.1f pixels are %.1f: native scale", scale, r.Estimate, d))
		r.Estimate = usualCount(found)
		return nil
	}
	if n := lost(r.Nuclei, again); large > 0 && n > int(again.Max()) {
		r.Notes = append(r.Notes, fmt.Sprintf("there are nuclei of about %.1f pixels, too; scaled by %.3g for them %d others would be lost: native scale", large, scale, n))
		r.Estimate = usualCount(found)
		return nil
	}
	r.Notes = append(r.Notes, s.scaleNote(r.Estimate, scale))
	r.Maps, r.Labels, r.Scale = m, again, scale
	return nil
}

// maps computes the maps of a plane with one of the predictors.
func (s *Segmenter) maps(ctx context.Context, by *unet.Predictor, p *plane, scale float64) (instance.Maps, error) {
	w, h := s.scaled(p.info, scale)
	if w == p.info.W && h == p.info.H {
		return by.Maps(ctx, p.img)
	}
	heads := len(s.model.Card.Arch.Heads)
	if bytes := int64(w) * int64(h) * int64(8*p.img.C+4*heads); bytes > s.memory/2 {
		return instance.Maps{}, &imageio.LimitError{Name: p.name, What: fmt.Sprintf("scaled by %.3g it is %d x %d pixels", scale, w, h), Advice: "allow more memory", Option: "max-memory"}
	}
	return by.MapsAt(ctx, p.img, w, h)
}

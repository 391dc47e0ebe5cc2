package report

import (
	"image"
	"image/color"

	"unet/unet/imageio"
	"unet/unet/metrics"
)

// Key explains one colour of a picture.
type Key struct {
	Colour color.RGBA
	Text   string
}

// The colours of error pictures stay apart for every kind of colour vision
// (a test simulates them).
var (
	agreeColour    = color.RGBA{206, 212, 218, 255}
	missedColour   = color.RGBA{222, 102, 16, 255}
	inventedColour = color.RGBA{45, 150, 255, 255}
	mergedColour   = color.RGBA{190, 120, 190, 255}
	splitColour    = color.RGBA{250, 205, 50, 255}
	inexactColour  = color.RGBA{0, 132, 104, 255}
)

// pixelErrorKeys explains the colours of pixelErrors.
func pixelErrorKeys() []Key {
	return []Key{{agreeColour, "nucleus in both"}, {missedColour, "missed"}, {inventedColour, "invented"}}
}

// instanceErrorKeys explains the colours of instanceErrors.
func instanceErrorKeys() []Key {
	return []Key{{agreeColour, "matched"}, {missedColour, "missed"}, {inventedColour, "invented"},
		{mergedColour, "merged"}, {splitColour, "split"}, {inexactColour, "inexact outline"}}
}

// pixelErrors shows where truth and prediction have a nucleus (any non-zero
// label): in both pale grey, in the truth alone (missed) orange, in the
// prediction alone (invented) blue. It darkens base, draws on it, and scales the
// labels to its size.
func pixelErrors(base *image.RGBA, truth, pred *imageio.Labels) *image.RGBA {
	darken(base)
	t := resizeLabels(truth, base.Rect.Dx(), base.Rect.Dy())
	p := resizeLabels(pred, base.Rect.Dx(), base.Rect.Dy())
	for i := range t.ID {
		switch in, out := t.ID[i] != 0, p.ID[i] != 0; {
		case in && out:
			set(base, i, mix(get(base, i), agreeColour, 0.75))
		case in:
			set(base, i, missedColour)
		case out:
			set(base, i, inventedColour)
		}
	}
	return base
}

// Outcomes says what became of each nucleus of a truth and a prediction, by
// number; Overlap.Errors of package metrics finds them. A nucleus that is not
// listed counts as matched.
type Outcomes struct {
	Truth, Pred map[uint32]metrics.Outcome
}

// outcomeColour is indexed by metrics.Outcome.
var outcomeColour = [...]color.RGBA{
	metrics.Matched: agreeColour, metrics.Missed: missedColour, metrics.Invented: inventedColour,
	metrics.Merged: mergedColour, metrics.Split: splitColour, metrics.Inexact: inexactColour,
}

// instanceErrors outlines the matched true nuclei in thin grey, and every
// other nucleus of truth and prediction in the colour of its outcome with a
// tint inside. It darkens base, draws on it, and scales the labels to its size.
func instanceErrors(base *image.RGBA, truth, pred *imageio.Labels, o Outcomes) *image.RGBA {
	darken(base)
	t := resizeLabels(truth, base.Rect.Dx(), base.Rect.Dy())
	p := resizeLabels(pred, base.Rect.Dx(), base.Rect.Dy())
	for i := range t.ID {
		switch a, b := o.Truth[t.ID[i]], o.Pred[p.ID[i]]; {
		case t.ID[i] != 0 && a != metrics.Matched:
			set(base, i, mix(get(base, i), outcomeColour[a], 0.35))
		case p.ID[i] != 0 && b != metrics.Matched:
			set(base, i, mix(get(base, i), outcomeColour[b], 0.35))
		}
	}
	drawOutlines(base, t, outline(t), func(id uint32) (color.RGBA, bool) { return outcomeColour[o.Truth[id]], true })
	drawOutlines(base, p, outline(p), func(id uint32) (color.RGBA, bool) {
		out := o.Pred[id]
		return outcomeColour[out], out != metrics.Matched
	})
	return base
}

// darken turns a picture into a dim grey background for coloured marks, dark
// whether the image was bright or not.
func darken(m *image.RGBA) {
	sum := 0
	for i := 0; i < len(m.Pix); i += 4 {
		v := luma(m.Pix[i:])
		sum += v
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = uint8(v), uint8(v), uint8(v)
	}
	k := 0.45
	if n := len(m.Pix) / 4; n > 0 && sum/n > 120 {
		k = 0.3
	}
	for i := 0; i < len(m.Pix); i += 4 {
		v := uint8(float64(m.Pix[i]) * k)
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = v, v, v
	}
}

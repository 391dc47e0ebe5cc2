package report

import (
	"fmt"
	"image"
	"io"
	"strings"

	"unet/unet/imageio"
)

// Score is one named number of a sample or a table.
type Score struct {
	Name  string
	Value float64
}

// Sample is one image with what is known of it. Only Image is required.
type Sample struct {
	Name, Kind  string
	Image       *imageio.Image
	Truth, Pred *imageio.Labels
	// Prob is the foreground probability of each pixel, row by row.
	Prob []float32
	// Scores are shown beside the name.
	Scores []Score
	// Link, unless empty, is the file that the sample's tiles lead to, relative to
	// the page.
	Link string
	// Outcomes asks for the error picture of nuclei; without them the error
	// picture is that of pixels.
	Outcomes *Outcomes
}

// SampleSheet shows samples one per row: image, truth, probability,
// prediction and errors, without the columns that no sample has. Of an image
// larger than two tiles the part with most to see is shown: with the most
// differing pixels, or else the most nuclei.
func SampleSheet(title string, samples []Sample, tile int) (*Sheet, error) {
	sheet := &Sheet{Title: title, Tile: tile}
	var truth, prob, pred, pixels, nuclei bool
	for _, s := range samples {
		truth = truth || s.Truth != nil
		prob = prob || len(s.Prob) > 0
		pred = pred || s.Pred != nil
		both := s.Truth != nil && s.Pred != nil
		nuclei = nuclei || both && s.Outcomes != nil
		pixels = pixels || both && s.Outcomes == nil
	}
	show := func(on bool, heading string) bool {
		if on {
			sheet.Headings = append(sheet.Headings, heading)
		}
		return on
	}
	show(true, "image")
	show(truth, "truth")
	show(prob, "probability")
	show(pred, "prediction")
	show(pixels || nuclei, "errors")
	switch {
	case nuclei:
		sheet.Keys = instanceErrorKeys()
		if pixels {
			sheet.Keys[0].Text = "matched, nucleus in both"
		}
	case pixels:
		sheet.Keys = pixelErrorKeys()
	}
	for i := range samples {
		s := &samples[i]
		v, err := s.view(sheet.tile())
		if err != nil {
			return nil, fmt.Errorf("sample %q: %w", s.Name, err)
		}
		row := Row{Title: s.Name, Note: s.note(v, true), Link: s.Link}
		add := func(on bool, img *image.RGBA) {
			if on {
				var t Tile
				if img != nil {
					t.Image = img
				}
				row.Tiles = append(row.Tiles, t)
			}
		}
		add(true, v.copy())
		add(truth, v.outlined(v.truth))
		if prob {
			add(true, v.heat())
		}
		add(pred, v.outlined(v.pred))
		if pixels || nuclei {
			var m *image.RGBA
			switch {
			case v.truth == nil || v.pred == nil:
			case s.Outcomes != nil:
				m = instanceErrors(v.copy(), v.truth, v.pred, *s.Outcomes)
			default:
				m = pixelErrors(v.copy(), v.truth, v.pred)
			}
			add(true, m)
		}
		sheet.Rows = append(sheet.Rows, row)
	}
	return sheet, nil
}

// outlineTiles shows samples for a contact sheet: the image with the outlines
// of its truth, or alone where there is none; name, size and scores below.
func outlineTiles(samples []Sample, tile int) ([]Tile, error) {
	var tiles []Tile
	side := (&Sheet{Tile: tile}).tile()
	for i := range samples {
		s := &samples[i]
		v, err := s.view(side)
		if err != nil {
			return nil, fmt.Errorf("sample %q: %w", s.Name, err)
		}
		t := Tile{Image: v.base, Caption: short(s.Name, 16)}
		if v.truth != nil {
			t.Image = v.outlined(v.truth)
		}
		t.Caption += " · " + s.note(v, false)
		tiles = append(tiles, t)
	}
	return tiles, nil
}

// short cuts the middle out of a long name.
func short(name string, most int) string {
	r := []rune(name)
	if len(r) <= most {
		return name
	}
	return string(r[:most/2]) + "…" + string(r[len(r)-(most-1)/2:])
}

// note lists the kind if wanted, the size and the scores of a sample.
func (s *Sample) note(v *view, kind bool) string {
	var parts []string
	if kind && s.Kind != "" {
		parts = append(parts, s.Kind)
	}
	parts = append(parts, fmt.Sprintf("%d×%d", s.Image.W, s.Image.H))
	if v.cropped {
		parts[len(parts)-1] = "part of " + parts[len(parts)-1]
	}
	for _, x := range s.Scores {
		parts = append(parts, strings.TrimSpace(x.Name+" "+Number(x.Value, 3)))
	}
	return strings.Join(parts, " · ")
}

// view is the shown part of a sample: base is the stretched picture at the
// size of the tile, the maps have w x h image pixels.
type view struct {
	base        *image.RGBA
	truth, pred *imageio.Labels
	prob        []float32
	w, h        int
	cropped     bool
}

func (s *Sample) view(side int) (*view, error) {
	img := s.Image
	if img == nil || img.W < 1 || img.H < 1 {
		return nil, fmt.Errorf("has no pixels")
	}
	for name, l := range map[string]*imageio.Labels{"truth": s.Truth, "prediction": s.Pred} {
		if l != nil && (l.W != img.W || l.H != img.H) {
			return nil, fmt.Errorf("the image is %dx%d but the %s is %dx%d", img.W, img.H, name, l.W, l.H)
		}
	}
	if n := len(s.Prob); n != 0 && n != img.W*img.H {
		return nil, fmt.Errorf("the image has %d pixels but the probability map %d", img.W*img.H, n)
	}
	box := s.window(2 * side)
	v := &view{w: box.Dx(), h: box.Dy(), cropped: box.Dx() < img.W || box.Dy() < img.H}
	part := image.NewRGBA(image.Rect(0, 0, v.w, v.h))
	whole := Stretch(img)
	for y := range v.h {
		copy(part.Pix[y*part.Stride:(y+1)*part.Stride], whole.Pix[whole.PixOffset(box.Min.X, box.Min.Y+y):])
	}
	w, h := fitSize(v.w, v.h, side)
	v.base = resize(part, w, h)
	v.truth, v.pred = crop(s.Truth, box), crop(s.Pred, box)
	if len(s.Prob) > 0 {
		for y := box.Min.Y; y < box.Max.Y; y++ {
			v.prob = append(v.prob, s.Prob[y*img.W+box.Min.X:y*img.W+box.Max.X]...)
		}
	}
	return v, nil
}

// window chooses the part of the image to show, at most most pixels wide and
// high: the one with the most wrong pixels, or nucleus pixels where nothing
// is wrong or known to be.
func (s *Sample) window(most int) image.Rectangle {
	w, h := s.Image.W, s.Image.H
	vw, vh := min(w, most), min(h, most)
	best := image.Rect((w-vw)/2, (h-vh)/2, (w-vw)/2+vw, (h-vh)/2+vh)
	if vw == w && vh == h || s.Truth == nil && s.Pred == nil {
		return best
	}
	// sums is the summed-area table of the weights.
	sums := make([]int, (w+1)*(h+1))
	for y := range h {
		line := 0
		for x := range w {
			t := s.Truth != nil && s.Truth.ID[y*w+x] != 0
			p := s.Pred != nil && s.Pred.ID[y*w+x] != 0
			switch {
			case s.Truth != nil && s.Pred != nil && t != p:
				line += 1 << 20 // outweighs all nuclei of a view
			case t || p:
				line++
			}
			sums[(y+1)*(w+1)+x+1] = sums[y*(w+1)+x+1] + line
		}
	}
	most = -1
	const step = 16
	for y0 := 0; ; y0 = min(y0+step, h-vh) {
		for x0 := 0; ; x0 = min(x0+step, w-vw) {
			n := sums[(y0+vh)*(w+1)+x0+vw] - sums[y0*(w+1)+x0+vw] - sums[(y0+vh)*(w+1)+x0] + sums[y0*(w+1)+x0]
			if n > most {
				most, best = n, image.Rect(x0, y0, x0+vw, y0+vh)
			}
			if x0 == w-vw {
				break
			}
		}
		if y0 == h-vh {
			break
		}
	}
	return best
}

func crop(l *imageio.Labels, box image.Rectangle) *imageio.Labels {
	if l == nil || box.Dx() == l.W && box.Dy() == l.H {
		return l
	}
	out := imageio.NewLabels(box.Dx(), box.Dy())
	for y := range out.H {
		copy(out.ID[y*out.W:(y+1)*out.W], l.ID[(box.Min.Y+y)*l.W+box.Min.X:])
	}
	return out
}

func (v *view) copy() *image.RGBA {
	m := *v.base
	m.Pix = append([]uint8(nil), v.base.Pix...)
	return &m
}

func (v *view) outlined(l *imageio.Labels) *image.RGBA {
	if l == nil {
		return nil
	}
	return overlay(v.copy(), l, OverlayOptions{})
}

func (v *view) heat() *image.RGBA {
	if v.prob == nil {
		return nil
	}
	return resize(heatPicture(v.prob, v.w, v.h, 0, 1), v.base.Rect.Dx(), v.base.Rect.Dy())
}

// WriteErrors writes the error picture of the whole image as PNG, a pixel for a
// pixel, or of small images several.
func (s *Sample) WriteErrors(w io.Writer) error {
	if s.Truth == nil || s.Pred == nil {
		return fmt.Errorf("sample %q: truth and prediction are both needed", s.Name)
	}
	const least = 512 // pixels along the longer side
	base := Stretch(s.Image)
	if k := least / max(base.Rect.Dx(), base.Rect.Dy(), 1); k > 1 {
		base = resize(base, k*base.Rect.Dx(), k*base.Rect.Dy())
	}
	if s.Outcomes != nil {
		return EncodePNG(w, instanceErrors(base, s.Truth, s.Pred, *s.Outcomes))
	}
	return EncodePNG(w, pixelErrors(base, s.Truth, s.Pred))
}

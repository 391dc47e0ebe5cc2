package instance

import (
	"math"

	"unet/unet/imageio"
)

// Ring is what was measured in the ring around a nucleus.
type Ring struct {
	Area     int         `json:"area"`               // number of pixels
	Channels []Intensity `json:"channels,omitempty"` // intensities of each channel; none of an empty ring
}

// MeasureRings measures the image around every nucleus: the pixels of no nucleus
// whose distance to the nearest pixel of this one is at most width, and greater
// to every other nucleus. These are the pixels that expand_labels of scikit-image
// adds. The width, and the distance, are in pixels or, of an image whose pixel
// size is known and not square, in widths of a pixel.
func MeasureRings(l *imageio.Labels, img *imageio.Image, nuclei []Nucleus, width float64) {
	rings := expand(l, width, img.PixelSize)
	index := make(map[uint32]int, len(nuclei))
	for i := range nuclei {
		index[nuclei[i].ID] = i
		nuclei[i].Ring = &Ring{}
	}
	// The pixels in runs, as those of nuclei are kept.
	outer := make([]Nucleus, len(nuclei))
	for y := range l.H {
		row := rings[y*l.W:][:l.W]
		for x := 0; x < l.W; {
			id, start := row[x], x
			for x++; x < l.W && row[x] == id; x++ {
			}
			if i, ok := index[id]; ok {
				outer[i].Runs = append(outer[i].Runs, Run{y, start, x})
				outer[i].Area += x - start
			}
		}
	}
	for i := range outer {
		ring := nuclei[i].Ring
		if ring.Area = outer[i].Area; ring.Area == 0 {
			continue
		}
		for c := range img.C {
			ring.Channels = append(ring.Channels, outer[i].intensity(img.Plane(c), img.W, 0))
		}
	}
}

// expand gives each pixel of no nucleus within width of one the number of the
// nearest; the others, those of nuclei among them, are 0. It is a Euclidean
// distance transform in two passes (P. Felzenszwalb and D. Huttenlocher, 2012):
// the nearest pixel of each column, then the lower envelope of the parabolas of a
// row.
func expand(l *imageio.Labels, width float64, size imageio.PixelSize) []uint32 {
	w, h := l.W, l.H
	tall := 1.0 // height of a pixel in widths
	if size.Known() {
		tall = size.Y / size.X
	}
	// near is the distance along the column to the nearest nucleus, and which.
	near := make([]int32, w*h)
	of := make([]uint32, w*h)
	far := int32(h + 1)
	scan := func(from, step int) {
		for x := range w {
			d, id := far, uint32(0)
			for y := from; y >= 0 && y < h; y += step {
				i := y*w + x
				if v := l.ID[i]; v != 0 {
					d, id = 0, v
				} else if d < far {
					d++
				}
				if step > 0 || d < near[i] {
					near[i], of[i] = d, id
				}
			}
		}
	}
	scan(0, 1)
	scan(h-1, -1)
	out := make([]uint32, w*h)
	limit := width * width * (1 + 1e-9) // the width itself is within, whatever the rounding
	at := make([]int, w)                // columns of the envelope
	from := make([]float64, w+1)        // where each begins
	for y := range h {
		d, id := near[y*w:][:w], of[y*w:][:w]
		height := func(q int) float64 {
			v := float64(d[q]) * tall
			return v * v
		}
		k := -1
		for q := range w {
			if d[q] >= far || height(q) > limit {
				continue
			}
			for {
				if k < 0 {
					k, at[0], from[0] = 0, q, math.Inf(-1)
					break
				}
				p := at[k]
				s := (height(q) + float64(q*q) - height(p) - float64(p*p)) / float64(2*(q-p))
				if s > from[k] {
					k++
					at[k], from[k] = q, s
					break
				}
				k--
			}
		}
		if k < 0 {
			continue
		}
		from[k+1] = math.Inf(1)
		j := 0
		for x := range w {
			for from[j+1] < float64(x) {
				j++
			}
			q := at[j]
			dx := float64(x - q)
			if i := y*w + x; l.ID[i] == 0 && dx*dx+height(q) <= limit {
				out[i] = id[q]
			}
		}
	}
	return out
}

package report

import (
	"fmt"
	"image"
	"image/color"
	"maps"
	"slices"
	"strconv"

	"unet/unet/imageio"
)

// OverlayOptions chooses what Overlay draws besides the outlines.
type OverlayOptions struct {
	// Fill tints the inside of every nucleus.
	Fill bool
	// IDs writes the instance number on every nucleus that is large enough.
	IDs bool
	// By colours the nuclei by a measurement, and fills them; nil: so that
	// neighbours differ.
	By *Colouring
	// Scale enlarges or shrinks the picture, outlines and numbers with it. 0
	// means 1.
	Scale float64
}

// Overlay draws the outlines of the nuclei over the stretched image. The
// colours of nuclei that lie close to each other differ; they are dark where
// the image is bright, and avoid the hue of a stain. A nil img gives a black
// background.
func Overlay(img *imageio.Image, labels *imageio.Labels, opt OverlayOptions) (*image.RGBA, error) {
	if labels == nil {
		return nil, fmt.Errorf("overlay: no label image")
	}
	if opt.Scale == 0 {
		opt.Scale = 1
	}
	w, h := scaled(labels.W, opt.Scale), scaled(labels.H, opt.Scale)
	if opt.Scale != 1 && (w > 1<<15 || h > 1<<15) {
		return nil, fmt.Errorf("overlay: %dx%d times %g is too large; use a smaller scale", labels.W, labels.H, opt.Scale)
	}
	if img == nil {
		return overlay(Stretch(imageio.NewImage(w, h, 0)), labels, opt), nil
	}
	base, err := backdrop(img, labels)
	if err != nil {
		return nil, err
	}
	return overlay(resize(base, w, h), labels, opt), nil
}

// OverlayBytes is the memory that Overlay takes, besides image and labels: the
// picture, of the image's size and of its own, its labels and three masks of
// outlines.
func OverlayBytes(img *imageio.Image, labels *imageio.Labels, scale float64) int64 {
	n := float64(labels.W) * float64(labels.H)
	bytes := (4 + 3) * n * scale * scale
	if scale != 1 {
		bytes += 4 * n * scale * scale
		if img != nil {
			bytes += 4*n + 4*8*n*scale // as large as the image, and between columns and rows
		}
	}
	if img != nil && img.C > 3 {
		bytes += 3 * 4 * n // their colours, added up
	}
	return int64(bytes)
}

// strokeSide is the side of a picture, in pixels, for each pixel of the width of
// its outlines: a large picture is looked at from afar.
const strokeSide = 1024

// stroke is the width of outlines in pixels.
func stroke(w, h int, scale float64) int {
	return max(1, int(scale+0.5), (max(w, h)+strokeSide/2)/strokeSide)
}

func scaled(n int, by float64) int { return max(1, int(float64(n)*by+0.5)) }

// backdrop returns the stretched image, or black where there is none, after
// checking that it is as large as the labels.
func backdrop(img *imageio.Image, labels *imageio.Labels) (*image.RGBA, error) {
	if labels == nil {
		return nil, fmt.Errorf("overlay: no label image")
	}
	if img == nil {
		return Stretch(imageio.NewImage(labels.W, labels.H, 0)), nil
	}
	if img.W != labels.W || img.H != labels.H {
		return nil, fmt.Errorf("overlay: the image is %dx%d but the label image is %dx%d", img.W, img.H, labels.W, labels.H)
	}
	return Stretch(img), nil
}

// overlay draws on base, scaling the labels to its size.
func overlay(base *image.RGBA, labels *imageio.Labels, opt OverlayOptions) *image.RGBA {
	lab := resizeLabels(labels, base.Rect.Dx(), base.Rect.Dy())
	edge := outline(lab)
	width := stroke(lab.W, lab.H, opt.Scale)
	thicken(edge, lab, width)
	var colours map[uint32]color.RGBA
	if opt.By != nil {
		colours = opt.By.colours(lab)
		fillNuclei(base, lab, colours, 0.6)
	} else {
		colours = contrasting(base, lab, edge, colourIndex(labels))
	}
	if opt.Fill {
		fillNuclei(base, lab, colours, 0.35)
	}
	drawCasing(base, lab, edge, width)
	drawOutlines(base, lab, edge, func(id uint32) (color.RGBA, bool) {
		c, ok := colours[id]
		return c, ok
	})
	if opt.IDs {
		drawIDs(base, lab, 10*max(1, opt.Scale))
	}
	return base
}

// fillNuclei tints the inside of nuclei.
func fillNuclei(dst *image.RGBA, lab *imageio.Labels, colours map[uint32]color.RGBA, opacity float64) {
	for i, id := range lab.ID {
		if id != 0 {
			set(dst, i, mix(get(dst, i), colours[id], opacity))
		}
	}
}

// contrasting chooses the colours of outlines by what lies under them: dark
// on bright pixels, and on a stained image only hues away from the stain's.
func contrasting(base *image.RGBA, lab *imageio.Labels, edge []bool, index map[uint32]int) map[uint32]color.RGBA {
	type mean struct{ sum, n int }
	under := make(map[uint32]mean, len(index))
	var r, g, b, n int
	for i, on := range edge {
		if on {
			p := base.Pix[4*i : 4*i+3]
			r, g, b, n = r+int(p[0]), g+int(p[1]), b+int(p[2]), n+1
			m := under[lab.ID[i]]
			under[lab.ID[i]] = mean{m.sum + luma(p), m.n + 1}
		}
	}
	from, span := 0.05, 1.0
	if n > 0 {
		chroma, hue := chromaHue(color.RGBA{uint8(r / n), uint8(g / n), uint8(b / n), 255})
		if chroma > 0.04 {
			from, span = hue+0.5-0.22, 0.44
		}
	}
	out := make(map[uint32]color.RGBA, len(index))
	for id, k := range index {
		c := labelColour(k, from, span)
		if m := under[id]; m.n > 0 && m.sum/m.n > 165 {
			c = mix(c, color.RGBA{0, 0, 0, 255}, 0.45)
		}
		out[id] = c
	}
	return out
}

// luma returns the brightness 0..255 of the pixel at the start of pix.
func luma(pix []uint8) int { return (2*int(pix[0]) + 5*int(pix[1]) + int(pix[2])) / 8 }

// drawOutlines paints the pixels of edge, the outlines, of the instances that
// colour knows.
func drawOutlines(dst *image.RGBA, lab *imageio.Labels, edge []bool, colour func(id uint32) (color.RGBA, bool)) {
	for i, on := range edge {
		if on {
			if c, ok := colour(lab.ID[i]); ok {
				set(dst, i, c)
			}
		}
	}
}

// outline marks the pixels of an instance that have a neighbour above, below,
// left or right that is not of it. The image's edge is no neighbour: a nucleus
// cut by it stays open there.
func outline(l *imageio.Labels) []bool {
	on := make([]bool, len(l.ID))
	for y := range l.H {
		for x := range l.W {
			i := y*l.W + x
			id := l.ID[i]
			on[i] = id != 0 && (x > 0 && l.ID[i-1] != id || x+1 < l.W && l.ID[i+1] != id ||
				y > 0 && l.ID[i-l.W] != id || y+1 < l.H && l.ID[i+l.W] != id)
		}
	}
	return on
}

// thicken grows outlines inwards until they are width pixels wide.
func thicken(edge []bool, l *imageio.Labels, width int) {
	for range width - 1 {
		eachNeighbour(edge, l, func(i, from int) {
			if l.ID[i] == l.ID[from] {
				edge[i] = true
			}
		})
	}
}

// drawCasing darkens what lies beside the outlines, so that they stand out on
// bright nuclei and bright backgrounds, too.
func drawCasing(dst *image.RGBA, l *imageio.Labels, edge []bool, width int) {
	beside := append([]bool{}, edge...)
	for range (width + 1) / 2 {
		eachNeighbour(beside, l, func(i, _ int) { beside[i] = true })
	}
	for i, on := range beside {
		if on && !edge[i] {
			set(dst, i, mix(get(dst, i), color.RGBA{0, 0, 0, 255}, 0.5))
		}
	}
}

// eachNeighbour calls f for the pixels that are not on but lie above, below,
// left or right of one, from, that was on before.
func eachNeighbour(on []bool, l *imageio.Labels, f func(i, from int)) {
	before := append([]bool{}, on...)
	try := func(i, from int) {
		if !before[i] {
			f(i, from)
		}
	}
	for i, b := range before {
		if !b {
			continue
		}
		x := i % l.W
		if x > 0 {
			try(i-1, i)
		}
		if x+1 < l.W {
			try(i+1, i)
		}
		if i >= l.W {
			try(i-l.W, i)
		}
		if i+l.W < len(before) {
			try(i+l.W, i)
		}
	}
}

// drawIDs writes instance numbers at the centre of each instance.
func drawIDs(dst *image.RGBA, lab *imageio.Labels, size float64) {
	type box struct{ x, y, n, x0, x1 int }
	boxes := map[uint32]box{}
	for i, id := range lab.ID {
		if id == 0 {
			continue
		}
		x, y := i%lab.W, i/lab.W
		b, ok := boxes[id]
		if !ok {
			b.x0, b.x1 = x, x
		}
		b.x, b.y, b.n = b.x+x, b.y+y, b.n+1
		b.x0, b.x1 = min(b.x0, x), max(b.x1, x)
		boxes[id] = b
	}
	for _, id := range slices.Sorted(maps.Keys(boxes)) {
		b := boxes[id]
		s := strconv.FormatUint(uint64(id), 10)
		w := textWidth(s, size, true)
		if w > float64(b.x1-b.x0) {
			continue
		}
		x, y := float64(b.x)/float64(b.n)+0.5, float64(b.y)/float64(b.n)+0.4*size
		for _, d := range [...]point{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			drawText(dst, x+d.x, y+d.y, s, size, color.RGBA{0, 0, 0, 160}, middle, true)
		}
		drawText(dst, x, y, s, size, color.RGBA{255, 255, 255, 255}, middle, true)
	}
}

// Colours gives every instance a bright colour. The colour follows from the
// instance number, so that it is the same in every picture, except that
// instances within two pixels of each other never share one.
func Colours(labels *imageio.Labels) map[uint32]color.RGBA {
	out := map[uint32]color.RGBA{}
	for id, k := range colourIndex(labels) {
		out[id] = labelColour(k, 0.05, 1)
	}
	return out
}

const hues = 12

// colourIndex numbers the colour of each instance: by its number among the
// hues, or the next index that no neighbour has.
func colourIndex(labels *imageio.Labels) map[uint32]int {
	neighbours := adjacency(labels, 2)
	index := make(map[uint32]int, len(neighbours))
	for _, id := range slices.Sorted(maps.Keys(neighbours)) {
		taken := map[int]bool{}
		for _, n := range neighbours[id] {
			if k, ok := index[n]; ok {
				taken[k] = true
			}
		}
		// 5 and 12 have no common factor: all hues are tried before the
		// palette grows.
		k := int(id % hues * 5 % hues)
		for try := 1; taken[k]; try++ {
			k = (k + 5) % hues
			if try >= hues {
				k = try
			}
		}
		index[id] = k
	}
	return index
}

// labelColour returns colour k: twelve hues over span turns of the colour
// circle, then the same lighter, darker and paler with hues between.
func labelColour(k int, from, span float64) color.RGBA {
	ring := k / hues
	l := []float64{0.78, 0.66, 0.88, 0.58}[ring%4]
	turn := (float64(k%hues) + float64(ring)/4) / hues
	return oklch(l, 0.24-0.03*float64(ring%4), from+span*turn)
}

// adjacency lists for each instance those within reach pixels of it, along
// rows, columns and diagonals. Every instance has an entry.
func adjacency(l *imageio.Labels, reach int) map[uint32][]uint32 {
	out := map[uint32][]uint32{}
	type pair struct{ a, b uint32 }
	seen := map[pair]bool{}
	var last pair
	add := func(a, b uint32) {
		if a > b {
			a, b = b, a
		}
		p := pair{a, b}
		if p == last || seen[p] {
			return
		}
		last, seen[p] = p, true
		out[a] = append(out[a], b)
		out[b] = append(out[b], a)
	}
	prev := uint32(0)
	for i, id := range l.ID {
		if id == 0 {
			continue
		}
		if id != prev {
			if _, ok := out[id]; !ok {
				out[id] = nil
			}
			prev = id
		}
		x, y := i%l.W, i/l.W
		if x+1 < l.W && y+1 < l.H && l.ID[i+1] == id && l.ID[i+l.W] == id {
			// What is near is near its neighbour on the right or below, too, or
			// comes up from the other side.
			continue
		}
		for dy := 0; dy <= reach && y+dy < l.H; dy++ {
			for dx := -reach; dx <= reach; dx++ {
				if dy == 0 && dx <= 0 || x+dx < 0 || x+dx >= l.W {
					continue
				}
				if other := l.ID[i+dy*l.W+dx]; other != 0 && other != id {
					add(id, other)
				}
			}
		}
	}
	return out
}

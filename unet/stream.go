package unet

import (
	"context"
	"fmt"
	"math"
	"slices"

	"unet/core"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// Rows is an image that is read by bands of whole rows, because it is too
// large to be held at once.
type Rows struct {
	W, H int
	// From is the first row of which the maps are wanted.
	From int
	// Read returns rows y to y+h-1.
	Read func(y, h int) (*imageio.Image, error)
}

// Levels are what normalisation needs to know of a whole image.
type Levels struct {
	// Low and High are the sample values that become 0 and 1.
	Low, High float64
	// Clip says that samples above High count as High.
	Clip bool
	// Gray says that all channels hold the same samples, so that one counts.
	Gray bool
	// Undefined is the share of the samples that are no finite numbers, of those that
	// were looked at.
	Undefined float64
}

// scanSamples bounds the samples read at once, and those kept of an image
// whose samples are not whole numbers of up to 16 bits.
const scanSamples = 1 << 24

// Levels reads an image once and finds its levels. For samples of up to 16
// bits they are exactly those of Apply, from a histogram of every sample. Of
// other images with more than 16 Mi samples an evenly spaced part is taken.
func (in Input) Levels(ctx context.Context, src Rows) (Levels, error) {
	const signed = 1 << 15 // samples of 16 bits may have a sign
	var hist []int
	var kept []float32
	var first *imageio.Image
	gray := true
	stride, next := 1, 0
	rows := bandRows(src.W, 3)
	for y := 0; y < src.H; y += rows {
		if err := context.Cause(ctx); err != nil {
			return Levels{}, err
		}
		m, err := src.Read(y, min(rows, src.H-y))
		if err != nil {
			return Levels{}, err
		}
		if first == nil {
			first = &imageio.Image{C: m.C, Bits: m.Bits, Float: m.Float}
			gray = m.C > 1
			if m.Bits <= 16 && !m.Float {
				hist = make([]int, 3*signed) // from -signed on
			}
			n := src.W * src.H * min(m.C, 3)
			stride = (n + scanSamples - 1) / scanSamples
			if stride > 1 {
				stride |= 1 // an even stride could walk along one column
			}
		}
		gray = gray && m.Gray().C == 1
		samples := m.Pix[:min(m.C, 3)*m.W*m.H]
		if hist != nil {
			for _, v := range samples {
				hist[max(0, min(int(v)+signed, len(hist)-1))]++
			}
			continue
		}
		for ; next < len(samples); next += stride {
			kept = append(kept, samples[next])
		}
		next -= len(samples)
	}
	var l Levels
	if hist != nil && gray {
		for i := range hist {
			hist[i] /= min(first.C, 3) // counted once per channel
		}
	}
	if hist != nil && in.Normalise == "percentile" {
		l = in.levels(histogramPercentiles(hist, -signed), true)
	} else {
		l = in.levelsOf(kept, first)
		first.Pix = kept
		l.Undefined = first.Undefined()
	}
	l.Gray = gray
	return l, nil
}

// bandRows is how many rows of an image make a band of at most scanSamples:
// a whole number of rows of tiles where possible.
func bandRows(w, channels int) int {
	n := max(1, scanSamples/(w*channels))
	if n > 256 {
		n = n / 256 * 256
	}
	return n
}

const (
	streamRows  = 128      // rows handed on at once
	streamBytes = 24       // per pixel held by instance.Stream and its output
	baseBytes   = 96 << 20 // the program, its buffers and its garbage
)

// MaxRows returns how many rows instance.Stream may hold when Bands predicts
// an image of width w within budget bytes, and the bytes the network takes of
// them; BandsAt with the network seeing it seen x height pixels large. channels are
// those that are measured.
func (p *Predictor) MaxRows(w, seen, height, channels int, budget int64) (rows int, network int64, err error) {
	tileW, tileH := p.tileW, p.tileH
	if seen*height <= p.whole && seen*height > tileW*tileH {
		tileW, tileH = seen, height // which the network sees as one tile
	}
	n, err := p.model.memory(tileW, tileH, p.BFloat16)
	if err != nil {
		return 0, 0, err
	}
	network = int64(n)
	heads, sides := int64(len(p.model.Card.Arch.Heads)), int64(channels+1)
	fixed := baseBytes + network + int64(seen)*(4*sides*int64(p.tileH+streamRows)+4*heads*int64(p.tileH+streamRows))
	if seen != w { // bands on their way between the two sizes
		fixed += 4 * 3 * streamRows * (sides + heads) * int64(w+seen)
	}
	row := int64(w) * (streamBytes + 4*int64(channels))
	if p.model.Card.Instance.Confidence != (instance.Calibration{}) {
		row += 8 * int64(w) // the maps that nuclei are rated by
	}
	rows = int((budget-fixed)/row) - streamRows
	if rows < 256 {
		return 0, 0, &imageio.LimitError{Name: "prediction",
			What: fmt.Sprintf("an image %d pixels wide needs %s of memory, and %s is allowed", w,
				imageio.BytesText(fixed+(256+streamRows)*row), imageio.BytesText(budget)),
			Advice: "cut the image, or allow more memory", Option: "max-memory"}
	}
	return min(rows, 8192, math.MaxInt32/(w+2)-2*streamRows), network, nil
}

// Bands computes the maps of a large image from row src.From to its bottom. emit
// gets consecutive rows with the image's own samples, one channel when levels.Gray.
// The maps have the same bits as those of Maps.
func (p *Predictor) Bands(ctx context.Context, src Rows, levels Levels, emit func(y int, m instance.Maps, img *imageio.Image) error) error {
	card := p.model.Card
	if card.Input.Size > 0 {
		return &imageio.LimitError{Name: "prediction", What: fmt.Sprintf("a %s model sees the image as a whole", card.Kind), Advice: "use a nuclei model, or allow more memory", Option: "max-memory"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	heads := len(card.Arch.Heads)
	xs, ys := p.tiles(src.W, src.H)
	band := band{src: src, gray: levels.Gray}
	var out []float32
	for _, y := range ys {
		if y.to <= src.From {
			continue
		}
		if err := band.move(y.start, min(y.start+y.size, src.H)); err != nil {
			return err
		}
		rows := y.to - y.from
		out = slices.Grow(out[:0], heads*rows*src.W)[:heads*rows*src.W]
		for _, x := range xs {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			part := band.part(x.start, min(x.start+x.size, src.W), y.start, band.end)
			levels.Apply(part)
			prob, err := p.tile(ctx, part, cut{size: x.size}, cut{size: y.size})
			if err != nil {
				return err
			}
			for k := range heads {
				for row := range rows {
					s := prob[(k*y.size+y.from-y.start+row)*x.size+x.from-x.start:]
					copy(out[(k*rows+row)*src.W+x.from:][:x.to-x.from], s)
				}
			}
		}
		for r := max(0, src.From-y.from); r < rows; r += streamRows {
			n := min(streamRows, rows-r)
			slice := make([]float32, 0, heads*n*src.W)
			for k := range heads {
				slice = append(slice, out[(k*rows+r)*src.W:][:n*src.W]...)
			}
			img := band.part(0, src.W, y.from+r, y.from+r+n)
			if err := emit(y.from+r, instance.Maps{W: src.W, H: n, Names: card.Arch.Heads, Pix: slice}, img); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tiled reports whether an image of w x h is computed in tiles.
func (p *Predictor) Tiled(w, h int) bool {
	return p.model.Card.Input.Size == 0 && w*h > p.whole
}

// tiles cuts an image along both axes.
func (p *Predictor) tiles(w, h int) (xs, ys []cut) {
	tw, th := p.tileW, p.tileH
	if w*h <= p.whole {
		tw, th = w, h
	}
	return p.model.Card.Arch.cuts(w, tw), p.model.Card.Arch.cuts(h, th)
}

// band holds rows y to end-1 of an image.
type band struct {
	src    Rows
	gray   bool
	y, end int
	like   *imageio.Image // one of its parts, for the description of samples
	planes [][]float32
}

// move makes the band hold rows y to end-1, reading those it does not have.
func (b *band) move(y, end int) error {
	w := b.src.W
	for c, p := range b.planes {
		b.planes[c] = p[:copy(p, p[(y-b.y)*w:])]
	}
	b.y, b.end = y, max(b.end, y)
	for b.end < end {
		n := min(streamRows, end-b.end)
		m, err := b.src.Read(b.end, n)
		if err != nil {
			return err
		}
		if b.gray {
			m.C = 1
		}
		if b.like == nil {
			b.like = &imageio.Image{Bits: m.Bits, Float: m.Float, Channels: m.Channels, PixelSize: m.PixelSize}
			b.planes = make([][]float32, m.C)
			for c := range b.planes {
				b.planes[c] = make([]float32, 0, (end-y)*w)
			}
		}
		for c := range b.planes {
			b.planes[c] = append(b.planes[c], m.Plane(c)...)
		}
		b.end += n
	}
	return nil
}

// part copies columns x0 to x1-1 of rows y0 to y1-1.
func (b *band) part(x0, x1, y0, y1 int) *imageio.Image {
	m := *b.like
	m.W, m.H, m.C = x1-x0, y1-y0, len(b.planes)
	m.Pix = make([]float32, 0, m.C*m.W*m.H)
	for _, p := range b.planes {
		for y := y0; y < y1; y++ {
			m.Pix = append(m.Pix, p[(y-b.y)*b.src.W+x0:(y-b.y)*b.src.W+x1]...)
		}
	}
	return &m
}

// Apply normalises m in place.
func (l Levels) Apply(m *imageio.Image) {
	if l.Clip {
		top := float32(l.High)
		for i, v := range m.Pix {
			m.Pix[i] = min(v, top)
		}
	}
	scale, shift := float32(1/(l.High-l.Low)), float32(-l.Low/(l.High-l.Low))
	for i, v := range m.Pix {
		m.Pix[i] = v*scale + shift
	}
}

// tile computes the heads of one tile, x.size by y.size from (x.start,
// y.start) of in on. The result is valid until the next call. p.mu is held.
func (p *Predictor) tile(ctx context.Context, in *imageio.Image, x, y cut) ([]float32, error) {
	net, err := p.network(1, y.size, x.size)
	if err != nil {
		return nil, err
	}
	channels := p.model.Card.Arch.Channels
	input := net.prog.Data(net.input)
	fillTile(input, in, channels, x, y)
	if !p.TTA {
		return net.maps.Prob(), net.prog.Run(ctx, core.Forward)
	}
	// Tiles are mirrored with their padding, so that the result does not
	// depend on where an image is cut.
	tile := append([]float32(nil), input...)
	var sum []float32
	for k := range 4 {
		alongX, alongY := k&1 != 0, k&2 != 0
		copy(net.prog.Data(net.input), mirror(tile, x.size, y.size, alongX, alongY))
		if err := net.prog.Run(ctx, core.Forward); err != nil {
			return nil, err
		}
		m := mirror(net.maps.Prob(), x.size, y.size, alongX, alongY)
		if k == 0 {
			sum = append(sum, m...)
			continue
		}
		for i, v := range m {
			sum[i] += v
		}
	}
	for i := range sum {
		sum[i] /= 4
	}
	return sum, nil
}

// cuts divides n pixels into tiles of one size, at most tile unless the
// network's halo needs more. They start at multiples of 64 pixels (4 of
// Winograd times 2^depth for the default depth) and the last ends where the
// padded image does; so do the others, up to a multiple of 64, and mirrored
// tiles see the same phase as well. Every pixel kept has its whole receptive
// field in its tile, so seams show in the last bits of rounding only.
func (a Arch) cuts(n, tile int) []cut {
	up := func(v, m int) int { return (v + m - 1) / m * m }
	step := max(64, 4*a.Multiple())
	end := up(n, a.Multiple())
	if n <= tile {
		return []cut{{0, end, 0, n}}
	}
	halo := up(a.Halo(), step)
	odd := end % step
	size := max((tile-odd)/step*step, 2*halo+step) + odd
	if size >= end {
		return []cut{{0, end, 0, n}}
	}
	var list []cut
	for from, start := 0, 0; ; {
		if start+size >= end {
			return append(list, cut{end - size, size, from, n})
		}
		to := start + size - halo
		list = append(list, cut{start, size, from, to})
		from = to
		start = min((to-halo)/step*step, end-size)
	}
}

package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	stdimage "image"
	"math"
	"os"
	"path/filepath"
	"strings"

	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
)

// overviewStep is how many times smaller each overview is than the version it is
// made of.
const overviewStep = 8

// overview holds smaller versions of a plane that is large and has none in its
// file. They are made once, band by band, and kept beside the results, at a
// sixtieth of the size of the image.
type overview struct {
	i, k   int // place and channel
	c      int // samples of a pixel
	began  bool
	done   bool
	err    error
	levels []*source

	// While it is being made, the smallest version and its rows so far.
	small *imageio.Image
	rows  int
}

// overview returns that of a channel. It is done where earlier work is found.
func (p *picture) overview(i, k int) *overview {
	plane := channels(p.refs[i])[k]
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.overviews[plane]
	if o == nil {
		o = &overview{i: i, k: k, c: p.refs[i].Info.C}
		p.overviews[plane] = o
		o.open(p)
	}
	return o
}

// file is where the overview of a size lies. Its name holds what the image was
// when it was made.
func (o *overview) file(p *picture, factor int) string {
	sum := sha256.Sum256(fmt.Append(nil, p.stamp, channels(p.refs[o.i])[o.k], len(p.levels), p.refs[o.i].Info))
	return filepath.Join(p.folder, fmt.Sprintf("%s-%s-%d.tif", p.id, hex.EncodeToString(sum[:8]), factor))
}

// factors are those of the versions to make, as multiples of the file's smallest.
func (o *overview) factors(p *picture) (list []int) {
	w, h := p.levels[len(p.levels)-1].size(o.i)
	for f := overviewStep; ; f *= overviewStep {
		list = append(list, f)
		if max(w, h)/f <= 4096 && int64(w/f)*int64(h/f) <= int64(largePixels)/16 {
			return list
		}
	}
}

// open opens the files, if they are there.
func (o *overview) open(p *picture) {
	last := p.levels[len(p.levels)-1]
	w, h := last.size(o.i)
	var levels []*source
	for _, f := range o.factors(p) {
		s := &source{factor: last.factor * float64(f), w: (w + f - 1) / f, h: (h + f - 1) / f, c: o.c}
		file, err := imageio.Open(o.file(p, f))
		if err == nil && (file.Planes[0].W != s.w*s.c || file.Planes[0].H != s.h) {
			file.Close()
			err = os.ErrInvalid
		}
		if err != nil {
			for _, l := range levels {
				l.file.Close()
			}
			return
		}
		s.file = file
		levels = append(levels, s)
	}
	o.levels, o.done, o.small = levels, true, nil
}

// make makes the files. It calls progress after each band.
func (o *overview) make(p *picture, progress func(done float64) error) error {
	last := p.levels[len(p.levels)-1]
	w, h := last.size(o.i)
	factors := o.factors(p)
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return err
	}
	o.tidy(p)
	var files []*tiff.Writer
	defer func() {
		for _, f := range files {
			f.Abort() // nothing after Close
		}
	}()
	for _, f := range factors {
		file, err := tiff.Create(o.file(p, f), tiff.Options{W: (w + f - 1) / f * o.c, H: (h + f - 1) / f, Bits: 32, Float: true, Tiled: true})
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	top := factors[len(factors)-1]
	p.mu.Lock()
	o.small = imageio.NewImage((w+top-1)/top, (h+top-1)/top, o.c)
	p.mu.Unlock()
	plane := channels(last.refs[o.i])[o.k]
	rows := max(1, largePixels/w/o.c/top) * top
	for y := 0; y < h; y += rows {
		m, err := last.read(plane, stdimage.Rect(0, y, w, min(y+rows, h)))
		if err != nil {
			return err
		}
		for _, file := range files {
			columns, lines := bounds(0, (m.W+overviewStep-1)/overviewStep, overviewStep, m.W), bounds(0, (m.H+overviewStep-1)/overviewStep, overviewStep, m.H)
			m = shrink(m, stdimage.Point{}, columns, lines)
			if err := file.WriteFloats(sideBySide(m)); err != nil {
				return err
			}
		}
		p.mu.Lock()
		for c := range o.c {
			copy(o.small.Plane(c)[o.rows*m.W:], m.Plane(c))
		}
		o.rows += m.H
		gone := p.gone
		p.mu.Unlock()
		if gone {
			return errClosed
		}
		if err := progress(float64(y+rows) / float64(h)); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.open(p)
	if p.gone { // after close has looked
		for _, s := range o.levels {
			s.file.Close()
		}
		o.levels = nil
	}
	return nil
}

// tidy removes the overviews of what the file was before.
func (o *overview) tidy(p *picture) {
	keep := map[string]bool{}
	for i, ref := range p.refs {
		for k := range channels(ref) {
			other := &overview{i: i, k: k}
			for _, f := range o.factors(p) {
				keep[filepath.Base(other.file(p, f))] = true
			}
		}
	}
	list, err := os.ReadDir(p.folder)
	if err != nil {
		return
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), p.id+"-") && !keep[e.Name()] {
			os.Remove(filepath.Join(p.folder, e.Name()))
		}
	}
}

// sideBySide puts the rows of all samples into one.
func sideBySide(m *imageio.Image) []float32 {
	if m.C == 1 {
		return m.Pix
	}
	out := make([]float32, 0, len(m.Pix))
	for y := range m.H {
		for c := range m.C {
			out = append(out, m.Plane(c)[y*m.W:(y+1)*m.W]...)
		}
	}
	return out
}

// sketch is rectangle r at 1/scale of the size from what there is of the smallest
// version so far; the rest are no numbers, and black.
func (o *overview) sketch(p *picture, scale float64, r stdimage.Rectangle) *imageio.Image {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := imageio.NewImage(r.Dx(), r.Dy(), max(o.c, 1))
	for i := range out.Pix {
		out.Pix[i] = float32(math.NaN())
	}
	if o.small == nil {
		return out
	}
	list := o.factors(p)
	by := scale / (p.levels[len(p.levels)-1].factor * float64(list[len(list)-1]))
	for c := range out.C {
		for y := range out.H {
			v := int(float64(r.Min.Y+y) * by)
			if v >= o.rows {
				break
			}
			for x := range out.W {
				out.Plane(c)[y*out.W+x] = o.small.Plane(c)[v*o.small.W+min(int(float64(r.Min.X+x)*by), o.small.W-1)]
			}
		}
	}
	return out
}

// samples are those of the smallest version so far.
func (o *overview) samples(p *picture) []float32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.small == nil {
		return nil
	}
	return o.small.Pix[:o.rows*o.small.W]
}

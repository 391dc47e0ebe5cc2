package serve

import (
	"bytes"
	"fmt"
	stdimage "image"
	"image/color"
	"image/jpeg"
	"math"
	"net/http"
	"sync"

	"unet/unet/imageio"
	"unet/unet/report"
	"unet/unet/segment"
)

// tileSide is the side of tiles in pixels.
const tileSide = 512

// picture shows an image file at any zoom. Nothing is held whole but what its
// format decodes whole: tiles are read from the level of the file's pyramid that
// is just fine enough, or from an overview (overview.go) where it has none.
type picture struct {
	id, path, name string
	stamp          string // of the file when it was opened
	choice         string // that chose refs
	refs           []segment.PlaneRef
	levels         []*source // of the file, the finest first
	folder         string    // of the overviews
	bytes          int64     // that it may take of the memory

	mu        sync.Mutex
	windows   map[int]window    // by plane of the file
	overviews map[int]*overview // by plane of the file
	gone      bool
}

// source is one version of the planes, factor times smaller than the first: a
// level of the file, or an overview of one plane.
type source struct {
	factor float64
	refs   []segment.PlaneRef // of a level
	// An overview has w x h pixels. Its c samples lie side by side in one plane.
	w, h, c int

	mu   sync.Mutex
	file *imageio.File // nil when it is closed
}

// window is what a channel shows as black and as white, and the range of its
// samples.
type window struct{ Black, White, Low, High float32 }

// cacheBytes is what an open file may keep of its chunks.
const cacheBytes = 64 << 20

// openPicture opens the image of a file, unless it has to be decoded whole into
// more than limit bytes.
func openPicture(im *image, path, folder string, choice segment.Choice, limit int64) (*picture, error) {
	decoded := imageio.RasterBytes(path)
	if decoded > limit {
		return nil, &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("%s: its format is decoded as a whole, which takes %d MiB of the %d MiB that the page may use for it; store it as a tiled TIFF, which is read in pieces", im.Name, decoded>>20, limit>>20)}
	}
	p := &picture{id: im.ID, path: path, name: im.Name, stamp: im.stamp, choice: im.shape(), folder: folder, windows: map[int]window{}, overviews: map[int]*overview{}}
	choice.Level = im.level(path, choice)
	for level := choice.Level; ; level++ {
		f, err := imageio.Open(path)
		if err != nil {
			return nil, p.failed(err)
		}
		c := choice
		c.Level = level
		refs, _, err := c.Planes(f)
		if err != nil || level > choice.Level && len(refs) != len(p.refs) {
			f.Close()
			if p.levels != nil {
				break // levels of another shape are of no use here
			}
			return nil, p.failed(err)
		}
		if p.levels == nil {
			p.refs = refs
		}
		p.levels = append(p.levels, &source{factor: float64(p.refs[0].Info.W) / float64(refs[0].Info.W), refs: refs, file: f})
		p.bytes += cacheBytes
		if level+1 >= f.Levels {
			break
		}
	}
	p.bytes += decoded
	return p, nil
}

// level is that of the pyramid which was segmented: the size of pixels that was given
// may have chosen it, and then the size of the labels tells.
func (im *image) level(path string, choice segment.Choice) int {
	if !im.origin.Settings.PixelSize.Known() {
		return choice.Level
	}
	for c, last := choice, choice.Level; c.Level <= last; c.Level++ {
		f, err := imageio.Open(path)
		if err != nil {
			break // who opens it next says why
		}
		refs, _, err := c.Planes(f)
		last = f.Levels - 1
		f.Close()
		for i := range refs {
			if rec := im.plane(refs[i].Suffix); err == nil && rec != nil && rec.Width == refs[i].Info.W && rec.Height == refs[i].Info.H {
				return c.Level
			}
		}
	}
	return choice.Level
}

// shape tells apart how an image is shown: its channels, and the size of what was
// segmented.
func (im *image) shape() string {
	var w, h int
	if im.record != nil && len(im.record.Planes) > 0 {
		w, h = im.record.Planes[0].Width, im.record.Planes[0].Height
	}
	return fmt.Sprint(im.choice, w, h)
}

func (p *picture) failed(err error) error {
	p.close()
	return &apiError{http.StatusUnprocessableEntity, err.Error()}
}

// close waits for reads under way and closes the files.
func (p *picture) close() {
	p.mu.Lock()
	if p.gone {
		p.mu.Unlock()
		return
	}
	p.gone = true
	all := p.levels
	for _, o := range p.overviews {
		all = append(all, o.levels...)
	}
	p.mu.Unlock()
	for _, s := range all {
		s.mu.Lock()
		if s.file != nil {
			s.file.Close()
			s.file = nil
		}
		s.mu.Unlock()
	}
}

// size is that of place i in pixels.
func (s *source) size(i int) (w, h int) {
	if s.c > 0 {
		return s.w, s.h
	}
	return s.refs[i].Info.W, s.refs[i].Info.H
}

// read reads a rectangle of one plane of a source.
func (s *source) read(plane int, r stdimage.Rectangle) (*imageio.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil, errClosed
	}
	var out *imageio.Image
	for k := range max(s.c, 1) {
		m, err := s.file.ReadRegion(plane, k*s.w+r.Min.X, r.Min.Y, r.Dx(), r.Dy())
		switch {
		case err != nil:
			return nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
		case out == nil:
			out = m
		default:
			out.Pix, out.C = append(out.Pix, m.Pix...), out.C+1
		}
	}
	return out, nil
}

// ref returns a place of the file by its number.
func (p *picture) ref(i int) (segment.PlaneRef, error) {
	if i < 0 || i >= len(p.refs) {
		return segment.PlaneRef{}, &apiError{http.StatusNotFound, fmt.Sprintf("there is no plane %d of %s", i, p.name)}
	}
	return p.refs[i], nil
}

// channels are the planes of the file that are shown together at a place: all
// channels, or the one colour plane.
func channels(ref segment.PlaneRef) []int {
	if ref.Info.C > 1 || len(ref.Measured) == 0 {
		return []int{ref.Index}
	}
	return ref.Measured
}

// region reads all channels of a place at full resolution, as they are measured.
func (p *picture) region(i int, r stdimage.Rectangle) (*imageio.Image, error) {
	ref, err := p.ref(i)
	if err != nil {
		return nil, err
	}
	list := []int{ref.Index}
	if len(ref.Measured) > 1 {
		list = ref.Measured
	}
	var out *imageio.Image
	for _, plane := range list {
		m, err := p.levels[0].read(plane, r)
		switch {
		case err != nil:
			return nil, err
		case out == nil:
			out = m
		default:
			out.Pix, out.C = append(out.Pix, m.Pix...), out.C+m.C
		}
	}
	return out, nil
}

// finest is the source of a plane to read for a picture 1/scale of its size: the
// smallest that is no smaller. With several channels in a place, k counts them.
// It is nil where an overview is needed that is not made yet.
func (p *picture) finest(i, k int, scale float64) (*source, int, *overview) {
	best := p.levels[0]
	for _, s := range p.levels {
		if s.factor <= scale*1.01 {
			best = s
		}
	}
	plane := channels(best.refs[i])[k]
	if last := p.levels[len(p.levels)-1]; scale >= last.factor*overviewStep && last.large(i) {
		o := p.overview(i, k)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !o.done {
			return nil, 0, o
		}
		for _, s := range o.levels {
			if s.factor <= scale*1.01 {
				best, plane = s, 0
			}
		}
	}
	return best, plane, nil
}

// large reports whether a plane is too large to be shown from all its samples.
func (s *source) large(i int) bool {
	w, h := s.size(i)
	return int64(w)*int64(h) > int64(largePixels)
}

// largePixels is the size of images that are shown, measured and listed whole. Tests
// make it less.
var largePixels = 1 << 24

// shown is a channel as the user wants to see it.
type shown struct {
	Channel      int
	Black, White float32
	Colour       color.RGBA
}

// tile is a part of the picture of a place at 1/2^level of its size, as JPEG.
// It is not whole while an overview is being made.
func (p *picture) tile(i, level, x, y int, show []shown) (jpg []byte, whole bool, err error) {
	ref, err := p.ref(i)
	if err != nil {
		return nil, false, err
	}
	none := &apiError{http.StatusNotFound, "there is no such tile"}
	if level > 30 {
		return nil, false, none
	}
	scale := 1 << level
	w, h := (ref.Info.W+scale-1)/scale, (ref.Info.H+scale-1)/scale
	r := stdimage.Rect(x*tileSide, y*tileSide, (x+1)*tileSide, (y+1)*tileSide).Intersect(stdimage.Rect(0, 0, w, h))
	if r.Empty() {
		return nil, false, none
	}
	m, whole, err := p.paint(i, float64(scale), r, show)
	if err != nil {
		return nil, false, err
	}
	var b bytes.Buffer
	err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 92})
	return b.Bytes(), whole, err
}

// paint draws rectangle r of the picture of a place at 1/scale of its size.
func (p *picture) paint(i int, scale float64, r stdimage.Rectangle, show []shown) (m stdimage.Image, whole bool, err error) {
	if len(show) == 0 {
		if show, err = p.usual(i); err != nil {
			return nil, false, err
		}
	}
	whole = true
	sum := make([]float32, 3*r.Dx()*r.Dy())
	for _, c := range show {
		if c.Channel < 0 || c.Channel >= len(channels(p.refs[i])) {
			return nil, false, &apiError{http.StatusNotFound, fmt.Sprintf("there is no channel %d", c.Channel)}
		}
		part, all, err := p.reduced(i, c.Channel, scale, r)
		if err != nil {
			return nil, false, err
		}
		whole = whole && all
		c.add(sum, part)
	}
	return rgb(sum, r.Dx(), r.Dy()), whole, nil
}

// add blends the samples of a channel into the sums of red, green and blue.
func (c shown) add(sum []float32, m *imageio.Image) {
	gain := float32(1)
	if c.White != c.Black {
		gain = 255 / (c.White - c.Black)
	}
	tint := [3]float32{float32(c.Colour.R) / 255, float32(c.Colour.G) / 255, float32(c.Colour.B) / 255}
	for k := range 3 {
		for j, v := range m.Plane(min(k, m.C-1)) {
			if t := min((v-c.Black)*gain, 255); t > 0 { // false for NaN
				sum[3*j+k] += t * tint[k]
			}
		}
	}
}

// rgb makes a picture of sums, a gray one where all are gray: it is a smaller file.
func rgb(sum []float32, w, h int) stdimage.Image {
	level := func(v float32) uint8 { return uint8(min(v+0.5, 255)) }
	gray := stdimage.NewGray(stdimage.Rect(0, 0, w, h))
	for j := range w * h {
		if sum[3*j] != sum[3*j+1] || sum[3*j] != sum[3*j+2] {
			m := stdimage.NewRGBA(stdimage.Rect(0, 0, w, h))
			for j := range w * h {
				m.Pix[4*j], m.Pix[4*j+1], m.Pix[4*j+2], m.Pix[4*j+3] = level(sum[3*j]), level(sum[3*j+1]), level(sum[3*j+2]), 255
			}
			return m
		}
		gray.Pix[j] = level(sum[3*j])
	}
	return gray
}

// reduced reads rectangle r of a channel at 1/scale of its size: means of the
// pixels below each pixel.
func (p *picture) reduced(i, k int, scale float64, r stdimage.Rectangle) (m *imageio.Image, whole bool, err error) {
	s, plane, o := p.finest(i, k, scale)
	if s == nil {
		return o.sketch(p, scale, r), false, nil
	}
	w, h := s.size(i)
	by := scale / s.factor
	columns, rows := bounds(r.Min.X, r.Max.X, by, w), bounds(r.Min.Y, r.Max.Y, by, h)
	from := stdimage.Rect(columns[0][0], rows[0][0], columns[len(columns)-1][1], rows[len(rows)-1][1])
	in, err := s.read(plane, from)
	if err != nil {
		return nil, false, err
	}
	return shrink(in, from.Min, columns, rows), true, nil
}

// bounds are, for pixels from to to of a row or column, the first pixel below
// each and the one after the last, of n.
func bounds(from, to int, by float64, n int) [][2]int {
	const tiny = 1e-6 // factors of pyramids are quotients
	list := make([][2]int, 0, to-from)
	for i := from; i < to; i++ {
		a := min(int(float64(i)*by+tiny), n-1)
		list = append(list, [2]int{a, min(max(a+1, int(float64(i+1)*by+tiny)), n)})
	}
	return list
}

// shrink takes means over blocks of an image whose first pixel is at origin.
func shrink(in *imageio.Image, origin stdimage.Point, columns, rows [][2]int) *imageio.Image {
	if len(columns) == in.W && len(rows) == in.H {
		return in
	}
	out := imageio.NewImage(len(columns), len(rows), in.C)
	sum := make([]float32, len(columns))
	for c := range in.C {
		from, to := in.Plane(c), out.Plane(c)
		for y, row := range rows {
			clear(sum)
			for v := row[0]; v < row[1]; v++ {
				line := from[(v-origin.Y)*in.W:][:in.W]
				for x, col := range columns {
					for u := col[0] - origin.X; u < col[1]-origin.X; u++ {
						sum[x] += line[u]
					}
				}
			}
			for x, col := range columns {
				to[y*out.W+x] = sum[x] / float32((row[1]-row[0])*(col[1]-col[0]))
			}
		}
	}
	return out
}

// usual shows the channel in which nuclei are sought, as report.Stretch does.
func (p *picture) usual(i int) ([]shown, error) {
	ref, err := p.ref(i)
	if err != nil {
		return nil, err
	}
	k := own(ref)
	w, err := p.window(i, k)
	return []shown{{k, w.Black, w.White, color.RGBA{255, 255, 255, 255}}}, err
}

// own is which of the channels of a place nuclei are sought in.
func own(ref segment.PlaneRef) int {
	for k, plane := range channels(ref) {
		if plane == ref.Index {
			return k
		}
	}
	return 0
}

// probe reads samples from all over a channel of which there is no overview yet.
func (p *picture) probe(i, k int) (samples []float32, err error) {
	const side, parts = 64, 4
	last := p.levels[len(p.levels)-1]
	w, h := last.size(i)
	plane := channels(last.refs[i])[k]
	for n := range parts * parts {
		x, y := (w-1)*(2*(n%parts)+1)/(2*parts), (h-1)*(2*(n/parts)+1)/(2*parts)
		m, err := last.read(plane, stdimage.Rect(x, y, min(x+side, w), min(y+side, h)))
		if err != nil {
			return nil, err
		}
		samples = append(samples, m.Pix...)
	}
	return samples, nil
}

// window finds how to show a channel, from all of it in the smallest version.
func (p *picture) window(i, k int) (window, error) {
	plane := channels(p.refs[i])[k]
	p.mu.Lock()
	w, ok := p.windows[plane]
	p.mu.Unlock()
	if ok {
		return w, nil
	}
	s, at, o := p.finest(i, k, math.Inf(1))
	var samples []float32
	if s == nil {
		if samples = o.samples(p); len(samples) == 0 {
			var err error
			if samples, err = p.probe(i, k); err != nil {
				return w, err
			}
		}
	} else {
		width, height := s.size(i)
		m, err := s.read(at, stdimage.Rect(0, 0, width, height))
		if err != nil {
			return w, err
		}
		samples = m.Pix
	}
	w.Black, w.White = report.Window(samples)
	w.Low, w.High = w.Black, w.White
	for _, v := range samples {
		if !math.IsInf(float64(v), 0) && v == v {
			w.Low, w.High = min(w.Low, v), max(w.High, v)
		}
	}
	if s != nil {
		p.mu.Lock()
		p.windows[plane] = w
		p.mu.Unlock()
	}
	return w, nil
}

package serve

import (
	"fmt"
	stdimage "image"
	"os"
	"path/filepath"

	"unet/unet/imageio"
	"unet/unet/imageio/tiff"
)

// sampleSide is the side of the parts of a large image that teaching learns from.
const sampleSide = 1024

// writeSamples writes a corrected plane and its labels into the folders images
// and labels below dir. Of a large image those parts are taken that edits touch:
// the rest nobody has looked at.
func (d *document) writeSamples(dir, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.ready(); err != nil {
		return err
	}
	whole := stdimage.Rect(0, 0, d.w, d.h)
	if int64(d.w)*int64(d.h) <= int64(largePixels) {
		return d.writeSample(dir, name, whole)
	}
	parts := map[stdimage.Point]bool{}
	for _, e := range d.history.inEffect() {
		for _, s := range e.spans {
			parts[stdimage.Pt(s.X0/sampleSide, s.Y/sampleSide)] = true
		}
	}
	for at := range parts {
		r := stdimage.Rect(at.X*sampleSide, at.Y*sampleSide, (at.X+1)*sampleSide, (at.Y+1)*sampleSide).Intersect(whole)
		if err := d.writeSample(dir, fmt.Sprintf("%s_x%d_y%d", name, r.Min.X, r.Min.Y), r); err != nil {
			return err
		}
	}
	return nil
}

// writeSample writes a part of the plane and its labels.
func (d *document) writeSample(dir, name string, r stdimage.Rectangle) error {
	for _, sub := range []string{"images", "labels"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	l, err := d.history.region(r)
	if err != nil {
		return err
	}
	if err := imageio.WriteLabels(filepath.Join(dir, "labels", name+".tif"), l, tiff.Options{Bits: max(16, imageio.LabelBits(l.Max()))}); err != nil {
		return err
	}
	ref := d.picture.refs[d.plane]
	m, err := d.picture.levels[0].read(ref.Index, r)
	if err != nil {
		return err
	}
	return writeImage(filepath.Join(dir, "images", name), m.Gray())
}

// writeImage writes samples as they are: 8 bits as PNG, others as TIFF.
func writeImage(base string, m *imageio.Image) error {
	whole, top := !m.Float, float32(0)
	for _, v := range m.Pix {
		whole = whole && v >= 0 && v == float32(uint32(v))
		top = max(top, v)
	}
	switch {
	case whole && m.Bits <= 8 && top <= 255 && (m.C == 1 || m.C == 3):
		return imageio.WritePNG(base+".png", eightBits(m))
	case whole && top <= 65535 && m.C == 1:
		l := imageio.NewLabels(m.W, m.H)
		for i, v := range m.Pix {
			l.ID[i] = uint32(v)
		}
		return imageio.WriteLabels(base+".tif", l, tiff.Options{Bits: 16})
	}
	return imageio.WriteMaps(base+".tif", m)
}

// eightBits is a picture of the samples as they are.
func eightBits(m *imageio.Image) stdimage.Image {
	if m.C == 1 {
		out := stdimage.NewGray(stdimage.Rect(0, 0, m.W, m.H))
		for i, v := range m.Pix {
			out.Pix[i] = uint8(v)
		}
		return out
	}
	out := stdimage.NewNRGBA(stdimage.Rect(0, 0, m.W, m.H))
	for i := range m.W * m.H {
		for c := range 3 {
			out.Pix[4*i+c] = uint8(m.Plane(c)[i])
		}
		out.Pix[4*i+3] = 255
	}
	return out
}

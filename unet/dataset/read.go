package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/png"
	"path"
	"slices"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
)

// maxPixels bounds the size of one training image (width x height).
const maxPixels = 1 << 27

// maxMaskPixels bounds the work of decoding the masks of one image, which can
// be packed a million to one: 5,000 masks of 4096x4096 are within it.
const maxMaskPixels = 1 << 37

// Read decodes image i with its annotation, checks it and reports what it
// found. The sample is nil when a finding of level Error forbids its use. Kind
// and Group are left empty: they need all images (see Prepare).
func (s *Source) Read(i int) (*Sample, []Finding) {
	r := s.read(context.Background(), i)
	if r.sample != nil {
		r.findings = append(r.findings, checkLabels(r.sample.ID, r.sample.Labels)...)
	}
	return r.sample, r.findings
}

// reading is everything learnt about an image but the defects of its labels.
type reading struct {
	sample   *Sample
	digests  Digests
	findings []Finding
}

func (r *reading) note(level Level, id, file, code, format string, args ...any) {
	r.findings = append(r.findings, Finding{level, id, file, code, fmt.Sprintf(format, args...)})
}

func (s *Source) read(ctx context.Context, i int) *reading {
	it := s.items[i]
	r := &reading{}
	data, err := it.image.read()
	if err != nil {
		r.note(Error, it.id, it.image.name, "unreadable", "%s", oneLine(err))
		return r
	}
	r.digests.Image = hexSum(data)
	// Its header tells first: decoding takes a thousand times what hostile files do.
	if w, h := imageio.Size(it.image.name, data); h > 0 && w > maxPixels/h {
		r.note(Error, it.id, it.image.name, "too-large", "%dx%d pixels, more than %d in all; cut it into smaller images", w, h, maxPixels)
		return r
	}
	img, err := imageio.Decode(it.image.name, data)
	if err != nil {
		r.note(Error, it.id, it.image.name, "unreadable", "%s", decodeReason(it.image.name, err))
		return r
	}
	if !opaque(data) {
		r.note(Warning, it.id, it.image.name, "alpha", "has pixels that are not opaque; they were put on black")
	}
	if bad := notFinite(img); bad > 0 {
		r.note(Error, it.id, it.image.name, "not-finite", "%d samples are NaN or infinite", bad)
		return r
	}
	img = img.Gray()
	if img.C != 1 && img.C != 3 {
		r.note(Error, it.id, it.image.name, "channels", "has %d channels; export the nuclear channel alone, or RGB", img.C)
		return r
	}
	if lo, hi := sampleRange(img); lo == hi {
		r.note(Error, it.id, it.image.name, "constant", "every pixel has the value %g", lo)
		return r
	}
	var labels *imageio.Labels
	switch {
	case it.label != nil:
		labels = readLabel(it, img, r)
	case len(it.masks) > 0:
		labels = mergeMasks(ctx, it, img, r)
	default:
		r.note(Error, it.id, it.image.name, "no-annotation", "has no masks and no label image")
	}
	if labels == nil {
		return r
	}
	if labels.Max() == 0 {
		r.note(Warning, it.id, "", "no-nuclei", "nothing is annotated")
	}
	r.sample = &Sample{ID: it.id, Image: img, Labels: labels}
	return r
}

// mergeMasks paints one mask per nucleus into a label image. A pixel that
// several masks claim goes to the smallest of them, so that a nucleus inside a
// wrongly large mask survives; of equals, to the first.
func mergeMasks(ctx context.Context, it item, img *imageio.Image, r *reading) *imageio.Labels {
	w, h := img.W, img.H
	if n := len(it.masks); n > maxMaskPixels/(w*h) {
		r.note(Error, it.id, "", "too-many-masks", "%d masks of %dx%d pixels; give one label image instead", n, w, h)
		return nil
	}
	labels := imageio.NewLabels(w, h)
	area := []int{0} // by label, before overlaps
	names := []string{""}
	type pair struct{ a, b uint32 }
	overlaps := map[pair]int{}
	digest := sha256.New()
	for _, m := range it.masks {
		if ctx.Err() != nil {
			return nil // the caller sees it too
		}
		data, err := m.read()
		if err != nil {
			r.note(Error, it.id, m.name, "unreadable", "%s", oneLine(err))
			return nil
		}
		addPart(digest, data)
		if mw, mh := imageio.Size(m.name, data); mw*mh > 0 && mw*mh != w*h { // before it is decoded
			r.note(Error, it.id, m.name, "size-mismatch", "the mask has %dx%d pixels, its image %dx%d", mw, mh, w, h)
			return nil
		}
		pix, mw, mh, err := maskPixels(m.name, data, w, h)
		if err != nil {
			r.note(Error, it.id, m.name, "unreadable", "%s", decodeReason(m.name, err))
			return nil
		}
		if mw != w || mh != h {
			r.note(Error, it.id, m.name, "size-mismatch", "the mask has %dx%d pixels, its image %dx%d", mw, mh, w, h)
			return nil
		}
		if len(pix) == 0 {
			r.note(Warning, it.id, m.name, "empty-mask", "marks no pixel and was left out")
			continue
		}
		k := uint32(len(area))
		area = append(area, len(pix))
		names = append(names, m.name)
		for _, p := range pix {
			old := labels.ID[p]
			if old != 0 {
				overlaps[pair{old, k}]++
				if area[old] <= len(pix) {
					continue
				}
			}
			labels.ID[p] = k
		}
	}
	r.digests.Masks = hex.EncodeToString(digest.Sum(nil))
	if n := len(overlaps); n > 0 {
		px := 0
		for _, c := range overlaps {
			px += c
		}
		r.note(Warning, it.id, "", "overlap", "%d pairs of masks overlap in %d pixels; these went to the smaller nucleus", n, px)
	}
	left := areas(labels, len(area))
	for k := 1; k < len(area); k++ {
		if left[k] == 0 {
			r.note(Warning, it.id, names[k], "duplicate-mask", "lies wholly under other masks and was left out")
		}
	}
	compact(labels)
	return labels
}

// readLabel reads a label image. One that holds a single value in several
// places is a binary mask: its connected parts are numbered.
func readLabel(it item, img *imageio.Image, r *reading) *imageio.Labels {
	f := *it.label
	data, err := f.read()
	if err != nil {
		r.note(Error, it.id, f.name, "unreadable", "%s", oneLine(err))
		return nil
	}
	r.digests.Masks = hexSum(data)
	if isRegions(f.name) {
		return readRegions(it, data, img, r)
	}
	if w, h := imageio.Size(f.name, data); w*h > 0 && w*h != img.W*img.H { // before it is decoded
		r.note(Error, it.id, f.name, "size-mismatch", "the label image has %dx%d pixels, its image %dx%d", w, h, img.W, img.H)
		return nil
	}
	l, err := imageio.DecodeLabels(f.name, data)
	if err != nil {
		r.note(Error, it.id, f.name, "unreadable", "%s", decodeReason(f.name, err))
		return nil
	}
	if l.W != img.W || l.H != img.H {
		r.note(Error, it.id, f.name, "size-mismatch", "the label image has %dx%d pixels, its image %dx%d", l.W, l.H, img.W, img.H)
		return nil
	}
	if it.classes {
		parts := findParts(l)
		for i := range l.ID {
			if l.ID[i] != 0 {
				l.ID[i] = uint32(parts.of[i]) + 1
			}
		}
		n := compact(l)
		r.note(Info, it.id, f.name, "classes", "its numbers are of classes, as nnU-Net's are; its %d connected parts were numbered as nuclei", n)
		return l
	}
	doubts := l.Doubts()
	if n := compact(l); n > 1 {
		for _, d := range doubts {
			r.note(Warning, it.id, f.name, "doubtful-labels", "%s", d)
		}
	} else if n == 1 {
		parts := findParts(l)
		if len(parts.list) > 1 {
			for i := range l.ID {
				if l.ID[i] != 0 {
					l.ID[i] = uint32(parts.of[i]) + 1
				}
			}
			n := compact(l)
			r.note(Info, it.id, f.name, "binary-mask", "holds one value only; its %d connected parts were numbered as nuclei", n)
		}
	}
	return l
}

// readRegions draws the regions of an ImageJ archive or of GeoJSON, or reads an array
// of NumPy.
func readRegions(it item, data []byte, img *imageio.Image, r *reading) *imageio.Labels {
	name := it.label.name
	l, lost, err := decodeRegions(name, data, img.W, img.H)
	switch {
	case err != nil:
		r.note(Error, it.id, name, "unreadable", "%s", oneLine(err))
		return nil
	case l.W != img.W || l.H != img.H:
		r.note(Error, it.id, name, "size-mismatch", "the label image has %dx%d pixels, its image %dx%d", l.W, l.H, img.W, img.H)
		return nil
	}
	if lost.Overlap > 0 {
		r.note(Warning, it.id, name, "overlap", "regions overlap in %d pixels; these went to the earlier one", lost.Overlap)
	}
	if n := lost.Outside + lost.Hidden; n > 0 {
		r.note(Warning, it.id, name, "lost-regions", "%d regions lie outside the image, under others, or are smaller than a pixel, and were left out", n)
	}
	compact(l)
	return l
}

func decodeRegions(name string, data []byte, w, h int) (l *imageio.Labels, lost formats.Lost, err error) {
	var e *formats.Encoded
	switch strings.ToLower(path.Ext(name)) {
	case ".npy":
		l, err = formats.ReadNPY(bytes.NewReader(data))
		return l, lost, err
	case ".zip", ".roi":
		e, err = formats.ReadROI(bytes.NewReader(data), int64(len(data)))
		if errors.Is(err, formats.ErrNoROI) { // QuPath packs GeoJSON
			e, err = formats.ReadGeoJSON(bytes.NewReader(data))
		}
	default:
		e, err = formats.ReadGeoJSON(bytes.NewReader(data))
	}
	if err == nil {
		err = e.Slice(-1)
	}
	if err != nil {
		return nil, lost, err
	}
	return e.Labels(w, h)
}

// maskPixels decodes a mask and lists the pixels above half of its own
// maximum, in order. It does not decode a PNG whose header shows another size
// than w x h.
func maskPixels(name string, data []byte, w, h int) (pix []int32, mw, mh int, err error) {
	if kind, pw, ph := pngHeader(data); kind == 0 { // gray, as masks usually are
		if pw != w || ph != h {
			return nil, pw, ph, nil
		}
		p, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, 0, 0, err
		}
		if g, ok := p.(*image.Gray); ok {
			return grayPixels(g), w, h, nil
		}
	}
	m, err := imageio.Decode(name, data)
	if err != nil {
		return nil, 0, 0, err
	}
	var top float32
	for _, v := range m.Pix {
		top = max(top, v)
	}
	n := m.W * m.H
	for i := range n {
		for c := range m.C {
			if v := m.Pix[c*n+i]; v > top/2 {
				pix = append(pix, int32(i))
				break
			}
		}
	}
	return pix, m.W, m.H, nil
}

// grayPixels lists the pixels above half of the maximum of an 8-bit mask. Most
// of a mask is background, which it skips eight pixels at a time.
func grayPixels(g *image.Gray) []int32 {
	var top byte
	var set []int32 // not background
	p := g.Pix
	i := 0
	for i < len(p) {
		if i+8 <= len(p) && binary.LittleEndian.Uint64(p[i:]) == 0 {
			i += 8
			continue
		}
		for end := min(i+8, len(p)); i < end; i++ {
			if p[i] != 0 {
				set = append(set, int32(i))
				top = max(top, p[i])
			}
		}
	}
	return slices.DeleteFunc(set, func(i int32) bool { return p[i] <= top/2 })
}

// pngHeader returns the colour type and size of a PNG, kind -1 for others.
func pngHeader(data []byte) (kind, w, h int) {
	if len(data) < 26 || !bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) || string(data[12:16]) != "IHDR" {
		return -1, 0, 0
	}
	return int(data[25]), int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
}

// compact renumbers labels 1..n in their order and returns n.
func compact(l *imageio.Labels) int {
	top := l.Max()
	if int64(top) > int64(4*len(l.ID))+1<<16 { // sparse numbers: too many for a table
		return compactSparse(l)
	}
	to := make([]uint32, int(top)+1)
	for _, v := range l.ID {
		to[v] = 1
	}
	to[0] = 0
	n := uint32(0)
	for k := 1; k < len(to); k++ {
		if to[k] != 0 {
			n++
			to[k] = n
		}
	}
	for i, v := range l.ID {
		l.ID[i] = to[v]
	}
	return int(n)
}

// areas counts the pixels of each label below n.
func areas(l *imageio.Labels, n int) []int {
	a := make([]int, n)
	for _, v := range l.ID {
		a[v]++
	}
	return a
}

// opaque says whether a PNG is free of transparency; other formats pass.
func opaque(data []byte) bool {
	if kind, _, _ := pngHeader(data); kind != 4 && kind != 6 {
		return true
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return true // reported by the decoder proper
	}
	o, ok := m.(interface{ Opaque() bool })
	return !ok || o.Opaque()
}

func notFinite(m *imageio.Image) int {
	n := 0
	for _, v := range m.Pix {
		if v-v != 0 {
			n++
		}
	}
	return n
}

func sampleRange(m *imageio.Image) (lo, hi float32) {
	lo, hi = m.Pix[0], m.Pix[0]
	for _, v := range m.Pix {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// decodeReason is imageio's error without the name, which findings carry, and
// with its advice.
func decodeReason(name string, err error) string {
	reason := strings.TrimPrefix(oneLine(err), name+": ")
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		reason += "; " + h.Hint()
	}
	return reason
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

package formats

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"unet/unet/instance"
)

// The layout of an ImageJ .roi file, from ij.io.RoiDecoder: a header of 64
// bytes, big-endian, then coordinates, then a second header with the name.
const (
	roiVersion  = 228
	roiHeader   = 64
	roiPolygon  = 0
	roiRect     = 1
	roiOval     = 2
	roiFreehand = 7
	roiTraced   = 8

	roiAtType      = 6
	roiAtBounds    = 8 // top, left, bottom, right
	roiAtN         = 16
	roiAtBig       = 18 // number of coordinates beyond 65535, or rectangle as floats
	roiAtShape     = 36 // floats in the shape of a composite
	roiAtOptions   = 50
	roiAtPosition  = 56
	roiAtHeader2   = 60
	roiSubpixel    = 128
	roiAtName      = 16 // in the second header: offset and length
	roiAtSlice     = 8  // in the second header
	roiHeader2Size = 64

	shapeMove  = 0
	shapeLine  = 1
	shapeQuad  = 2 // as many further points as the number says
	shapeCubic = 3
	shapeClose = 4

	// ImageJ stores bounds in 16 bits and takes values whose signed form
	// is below -5000 as unsigned. Composites hold floats, of any size.
	roiMaxCoordinate = 65535 - 5000
	roiMaxFile       = 64 << 20 // bytes of one .roi file read
	roiMaxFiles      = 1 << 22
)

// roiArchive writes an ImageJ ROI archive.
type roiArchive struct {
	z     *zip.Writer
	src   Source
	begun bool
}

// NewROI returns a writer of an ImageJ ROI archive (.zip of .roi files), as
// the ROI Manager opens it: one region per nucleus, named by its number, with
// the outline along pixel edges that ImageJ's wand gives. Nuclei with holes or
// several parts, and those beyond what the 16 bits of simple regions reach, become
// composite regions. One image per archive.
func NewROI(w io.Writer) Writer { return &roiArchive{z: zip.NewWriter(w)} }

func (a *roiArchive) Begin(src Source) error {
	if a.begun {
		return fmt.Errorf("%s: an ImageJ ROI archive holds the nuclei of one image", src.Name)
	}
	a.src, a.begun = src, true
	return nil
}

func (a *roiArchive) Write(n *instance.Nucleus) error {
	if !a.begun {
		return errNoImage
	}
	name := fmt.Sprintf("%04d", n.ID)
	f, err := a.z.Create(name + ".roi")
	if err != nil {
		return err
	}
	_, err = f.Write(encodeROI(n, name))
	return err
}

func (a *roiArchive) Close() error { return a.z.Close() }

// encodeROI returns the .roi file of one nucleus.
func encodeROI(n *instance.Nucleus, name string) []byte {
	polygons := n.Outline()
	var rings [][]instance.Point
	for _, p := range polygons {
		rings = append(append(rings, p.Outer), p.Holes...)
	}
	b := make([]byte, roiHeader)
	be := binary.BigEndian
	copy(b, "Iout")
	be.PutUint16(b[4:], roiVersion)
	for i, v := range [4]int{n.Y0, n.X0, n.Y1, n.X1} {
		be.PutUint16(b[roiAtBounds+2*i:], uint16(min(v, roiMaxCoordinate)))
	}
	far := n.X1 > roiMaxCoordinate || n.Y1 > roiMaxCoordinate ||
		n.X1-n.X0 > math.MaxInt16 || n.Y1-n.Y0 > math.MaxInt16
	if outer := rings[0]; len(rings) == 1 && len(outer) <= math.MaxUint16 && !far {
		b[roiAtType] = roiTraced
		be.PutUint16(b[roiAtN:], uint16(len(outer)))
		for _, p := range outer {
			b = be.AppendUint16(b, uint16(int(p.X)-n.X0))
		}
		for _, p := range outer {
			b = be.AppendUint16(b, uint16(int(p.Y)-n.Y0))
		}
	} else {
		b[roiAtType] = roiRect
		floats := 0
		put := func(v ...float64) {
			floats += len(v)
			for _, f := range v {
				b = be.AppendUint32(b, math.Float32bits(float32(f)))
			}
		}
		for _, ring := range rings {
			for i, p := range ring {
				kind := float64(shapeLine)
				if i == 0 {
					kind = shapeMove
				}
				put(kind, p.X, p.Y)
			}
			put(shapeClose)
		}
		be.PutUint32(b[roiAtShape:], uint32(floats))
	}
	be.PutUint32(b[roiAtHeader2:], uint32(len(b)))
	h2 := make([]byte, roiHeader2Size)
	units := utf16.Encode([]rune(name))
	be.PutUint32(h2[roiAtName:], uint32(len(b)+roiHeader2Size))
	be.PutUint32(h2[roiAtName+4:], uint32(len(units)))
	b = append(b, h2...)
	for _, u := range units {
		b = be.AppendUint16(b, u)
	}
	return b
}

// ReadROI reads the regions of an ImageJ ROI archive of size bytes, or of a
// single .roi file, in the order of the archive. Read are polygon, freehand,
// traced, composite, rectangle and oval regions; other kinds (lines, points,
// text) enclose no pixels and are an error. What macOS adds to archives is
// passed over. Limits: 64 MiB per region, 4 million regions. The result has no
// name and no size.
func ReadROI(r io.ReaderAt, size int64) (*Encoded, error) {
	e := &Encoded{}
	head := make([]byte, 4)
	if _, err := r.ReadAt(head, 0); err == nil && string(head) == "Iout" {
		data, err := io.ReadAll(io.LimitReader(io.NewSectionReader(r, 0, size), roiMaxFile))
		if err == nil {
			err = e.addROI(data)
		}
		if err != nil {
			return nil, fmt.Errorf("ROI file: %w", err)
		}
		return e, nil
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("ROI archive: %w", err)
	}
	if len(z.File) > roiMaxFiles {
		return nil, fmt.Errorf("ROI archive: %d entries, more than the limit of %d", len(z.File), roiMaxFiles)
	}
	others, pointless := 0, 0
	for _, f := range z.File {
		if macOS(f.Name) || strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !strings.EqualFold(path.Ext(f.Name), ".roi") {
			others++
			continue
		}
		err := e.addEntry(f)
		if errors.Is(err, errOpenROI) {
			pointless++
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("ROI archive, %q: %w", f.Name, err)
		}
	}
	if len(e.objects) == 0 && pointless > 0 {
		return nil, fmt.Errorf("ROI archive: %w", errOpenROI)
	}
	e.note(pointless, "region encloses no area and is left out", "regions enclose no area and are left out")
	if len(e.objects) == 0 && others > 0 {
		return nil, ErrNoROI
	}
	return e, nil
}

// ErrNoROI says that an archive holds other files than regions.
var ErrNoROI = errors.New("ROI archive: no .roi file in it")

func (e *Encoded) addEntry(f *zip.File) error {
	if f.UncompressedSize64 > roiMaxFile {
		return fmt.Errorf("%d bytes, more than the limit of %d", f.UncompressedSize64, roiMaxFile)
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, roiMaxFile))
	if err != nil {
		return err
	}
	return e.addROI(data)
}

// addROI adds the region of a .roi file. Regions of hyperstacks name a slice in
// the second header, those of other stacks a position, both from 1; 0 is all.
func (e *Encoded) addROI(b []byte) error {
	rings, err := roiRings(b)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	z := int(be.Uint32(b[roiAtPosition:]))
	if at := int64(be.Uint32(b[roiAtHeader2:])); at >= roiHeader && at+roiAtSlice+4 <= int64(len(b)) {
		if slice := int(be.Uint32(b[at+roiAtSlice:])); slice > 0 {
			z = slice
		}
	}
	if z < 0 || z > maxSlice {
		z = 0
	}
	e.objects = append(e.objects, object{polygons: [][][]instance.Point{rings}, slice: z})
	return nil
}

// errOpenROI says that a region is a line, an angle or points.
var errOpenROI = errors.New("the region encloses no area; save areas (polygon, freehand, traced, rectangle, oval, composite)")

var errShortROI = errors.New("the region ends too early")

// roiRings returns the outline of a .roi file.
func roiRings(b []byte) ([][]instance.Point, error) {
	if len(b) < roiHeader || string(b[:4]) != "Iout" {
		return nil, errors.New("not an ImageJ region")
	}
	be := binary.BigEndian
	var box [4]float64 // top, left, bottom, right
	for i := range box {
		v := be.Uint16(b[roiAtBounds+2*i:])
		box[i] = float64(int16(v))
		if box[i] < -5000 {
			box[i] = float64(v)
		}
	}
	top, left, bottom, right := box[0], box[1], box[2], box[3]
	if n := int(be.Uint32(b[roiAtShape:])); n > 0 {
		if n > (len(b)-roiHeader)/4 {
			return nil, errShortROI
		}
		return shapeRings(b[roiHeader:][:4*n])
	}
	subpixel := be.Uint16(b[roiAtOptions:])&roiSubpixel != 0
	switch kind := b[roiAtType]; kind {
	case roiRect:
		return [][]instance.Point{{{X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}, {X: left, Y: bottom}}}, nil
	case roiOval:
		// A polygon of the ellipse's chords would lose pixels; 720
		// corners err by less than a thousandth of its radius.
		ring := make([]instance.Point, 720)
		for i := range ring {
			s, co := math.Sincos(2 * math.Pi * float64(i) / float64(len(ring)))
			ring[i] = instance.Point{X: (left+right)/2 + (right-left)/2*co, Y: (top+bottom)/2 + (bottom-top)/2*s}
		}
		return [][]instance.Point{ring}, nil
	case roiPolygon, roiFreehand, roiTraced:
		n := int(be.Uint16(b[roiAtN:]))
		if n == 0 {
			n = int(be.Uint32(b[roiAtBig:]))
		}
		need := 4
		if subpixel {
			need = 12
		}
		if n > (len(b)-roiHeader)/need {
			return nil, errShortROI
		}
		xs, ys := b[roiHeader:], b[roiHeader+2*n:]
		ring := make([]instance.Point, n)
		for i := range ring {
			ring[i] = instance.Point{X: left + float64(int16(be.Uint16(xs[2*i:]))), Y: top + float64(int16(be.Uint16(ys[2*i:])))}
		}
		if subpixel {
			xs, ys := b[roiHeader+4*n:], b[roiHeader+8*n:]
			for i := range ring {
				ring[i] = instance.Point{X: float64(math.Float32frombits(be.Uint32(xs[4*i:]))), Y: float64(math.Float32frombits(be.Uint32(ys[4*i:])))}
			}
		}
		return [][]instance.Point{ring}, nil
	default:
		return nil, errOpenROI
	}
}

// shapeRings reads the path of a composite region: segments of a kind and
// its points as floats.
func shapeRings(b []byte) ([][]instance.Point, error) {
	var rings [][]instance.Point
	at := func(i int) float64 { return float64(math.Float32frombits(binary.BigEndian.Uint32(b[4*i:]))) }
	point := func(i int) instance.Point { return instance.Point{X: at(i), Y: at(i + 1)} }
	n := len(b) / 4
	for i := 0; i < n; {
		switch kind := at(i); kind {
		case shapeMove, shapeLine:
			if i+3 > n {
				return nil, errShortROI
			}
			if kind == shapeMove || len(rings) == 0 {
				rings = append(rings, nil)
			}
			last := len(rings) - 1
			rings[last] = append(rings[last], instance.Point{X: at(i + 1), Y: at(i + 2)})
			i += 3
		case shapeQuad, shapeCubic:
			controls := int(kind)
			if i+1+2*controls > n {
				return nil, errShortROI
			}
			if len(rings) == 0 || len(rings[len(rings)-1]) == 0 {
				return nil, errors.New("a curve begins nowhere")
			}
			ring := &rings[len(rings)-1]
			curve := []instance.Point{(*ring)[len(*ring)-1]}
			for k := range controls {
				curve = append(curve, point(i+1+2*k))
			}
			*ring = append(*ring, flatten(curve)...)
			i += 1 + 2*controls
		case shapeClose:
			i++
		default:
			return nil, fmt.Errorf("path segment of kind %v", kind)
		}
	}
	return rings, nil
}

// flatten returns points along a Bézier curve, without the first (de Casteljau).
func flatten(curve []instance.Point) []instance.Point {
	const steps = 16
	var out []instance.Point
	for i := 1; i <= steps; i++ {
		t := float64(i) / steps
		p := slices.Clone(curve)
		for n := len(p) - 1; n > 0; n-- {
			for k := range n {
				p[k].X += t * (p[k+1].X - p[k].X)
				p[k].Y += t * (p[k+1].Y - p[k].Y)
			}
		}
		out = append(out, p[0])
	}
	return out
}

package serve

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	stdimage "image"
	"image/jpeg"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/image/draw"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/tiff"
	"unet/unet/instance"
	"unet/unet/report"
	"unet/unet/segment"
)

// document is an image that is looked at: samples, picture, labels, nuclei.
type document struct {
	id     string
	source formats.Source
	// img is shown, measured gives the intensities.
	img, measured *imageio.Image
	bytes         int64

	mu      sync.Mutex
	levels  []*stdimage.RGBA // of the picture, each half the one before
	history *history         // nil while the image is not segmented
	nuclei  []instance.Nucleus
	rated   map[rating]float64 // confidence of the model's own nuclei
	gone    bool
}

// tileSide is the side of tiles in pixels.
const tileSide = 512

// opened returns the document of an image if it is open.
func (s *Server) opened(id string) *document {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.documents {
		if d.id == id {
			return d
		}
	}
	return nil
}

// open returns the document of an image. Those used longest ago are closed where
// all together would take more than a quarter of the memory.
func (s *Server) open(im *image) (*document, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.documents, func(d *document) bool { return d.id == im.ID }); i >= 0 {
		d := s.documents[i]
		s.documents = slices.Insert(slices.Delete(s.documents, i, i+1), 0, d)
		if d.history == nil && im.plane != nil {
			return d, d.load(s, im)
		}
		return d, nil
	}
	d, err := s.read(im)
	if err != nil {
		return nil, err
	}
	s.documents = slices.Insert(s.documents, 0, d)
	total := int64(0)
	for i, e := range s.documents {
		if total += e.bytes; total > s.o.Memory/4 && i > 0 {
			for _, old := range s.documents[i:] {
				old.close()
			}
			s.documents = s.documents[:i]
			break
		}
	}
	return d, nil
}

// forget closes the document of an image whose results are new.
func (s *Server) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents = slices.DeleteFunc(s.documents, func(d *document) bool {
		if d.id == id {
			d.close()
		}
		return d.id == id
	})
}

func (s *Server) read(im *image) (*document, error) {
	f, err := imageio.Open(filepath.Join(s.o.Dir, filepath.FromSlash(im.Name)))
	if err != nil {
		return nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	defer f.Close()
	refs, _, err := segment.Choice{}.Planes(f)
	if err != nil {
		return nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	info := refs[0].Info
	bytes := int64(info.W) * int64(info.H) * int64(4*max(info.C, 1)+4+6)
	if bytes > s.o.Memory/4 {
		return nil, &apiError{http.StatusRequestEntityTooLarge, fmt.Sprintf("%s has %d x %d pixels, more than the page can show in the memory it may use; unet predict segments it", im.Name, info.W, info.H)}
	}
	img, err := segment.ReadChannels(f, refs[0].Index)
	if err != nil {
		return nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	measured := img
	if len(refs[0].Measured) > 1 {
		if measured, err = segment.ReadChannels(f, refs[0].Measured...); err != nil {
			return nil, &apiError{http.StatusUnprocessableEntity, err.Error()}
		}
	}
	d := &document{id: im.ID, img: img, measured: measured, bytes: bytes, levels: []*stdimage.RGBA{report.Stretch(img)}}
	d.source = formats.Source{Name: im.Name, W: img.W, H: img.H, PixelSize: info.PixelSize, Channels: measured.Channels}
	if im.plane != nil {
		d.source.Name += im.plane.Suffix
		if err := d.load(s, im); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// load reads the labels: the model's own, with the edits of the journal.
func (d *document) load(s *Server, im *image) error {
	own := s.ownFile(im)
	if _, err := os.Stat(own); errors.Is(err, fs.ErrNotExist) {
		from := s.output(im, ".labels.tif")
		if from == "" {
			return nil // results without labels
		}
		if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
			return err
		}
		if err := copyFile(own, from); err != nil {
			return err
		}
	}
	labels, err := imageio.ReadLabels(own)
	if err != nil {
		return err
	}
	if labels.W != d.img.W || labels.H != d.img.H {
		return &apiError{http.StatusConflict, fmt.Sprintf("%s was segmented when it had another size", im.Name)}
	}
	h, err := openHistory(s.journalFile(im), labels)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.history = h
	d.rated = readRatings(s.output(im, extensions[segment.CSV]))
	d.measure()
	return nil
}

func copyFile(to, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return atomicfile.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// measure brings the nuclei up to date with the labels. Those that nobody has
// touched keep their confidence.
func (d *document) measure() {
	d.nuclei = instance.Measure(d.history.labels, d.measured)
	for i := range d.nuclei {
		d.nuclei[i].Confidence = d.rated[ratingOf(&d.nuclei[i])]
	}
}

// rating knows a nucleus again by its number, area and place.
type rating struct {
	id, area string
	x, y     string
}

func ratingOf(n *instance.Nucleus) rating {
	return rating{strconv.FormatUint(uint64(n.ID), 10), strconv.Itoa(n.Area), formats.Number(n.X), formats.Number(n.Y)}
}

// readRatings reads the confidence of nuclei from their table: only the network
// knows it, and it is not in label images.
func readRatings(file string) map[rating]float64 {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil
	}
	var at [5]int
	for i, name := range []string{"nucleus", "area", "x", "y", "confidence"} {
		if at[i] = slices.Index(rows[0], name); at[i] < 0 {
			return nil
		}
	}
	list := map[rating]float64{}
	for _, row := range rows[1:] {
		if v, err := strconv.ParseFloat(row[at[4]], 64); err == nil {
			list[rating{row[at[0]], row[at[1]], row[at[2]], row[at[3]]}] = v
		}
	}
	return list
}

// close releases the journal.
func (d *document) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gone = true
	if d.history == nil {
		return
	}
	d.history.close()
}

// numbers are those of the list of images.
func (d *document) numbers() (corrected bool, count int, diameter float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.history == nil {
		return false, 0, 0
	}
	sum := instance.Summarise(d.nuclei, d.img.W, d.img.H)
	return d.history.corrected(), sum.Count, sum.DiameterMedian
}

var (
	errNotSegmented = &apiError{http.StatusConflict, "this image is not segmented yet"}
	errClosed       = &apiError{http.StatusServiceUnavailable, "the image was closed; try again"}
)

// edit does a command unless the labels have changed since the user saw them.
func (d *document) edit(c Command) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return 0, errClosed
	case d.history == nil:
		return 0, errNotSegmented
	case c.Revision != d.history.revision:
		return d.history.revision, &apiError{http.StatusConflict, "somebody else has edited this image: look again"}
	}
	if err := d.history.edit(c); err != nil {
		return d.history.revision, &apiError{http.StatusUnprocessableEntity, err.Error()}
	}
	d.measure()
	return d.history.revision, nil
}

// shownNucleus is a row of the table of an image.
type shownNucleus struct {
	instance.Nucleus
	Outline [][][2]float64 `json:"outline"`
}

type shownNuclei struct {
	Revision  int            `json:"revision"`
	Width     int            `json:"width"`
	Height    int            `json:"height"`
	TileSide  int            `json:"tile_side"`
	Segmented bool           `json:"segmented"`
	Corrected bool           `json:"corrected"`
	CanUndo   bool           `json:"can_undo"`
	CanRedo   bool           `json:"can_redo"`
	Channels  []string       `json:"channels"`
	Nuclei    []shownNucleus `json:"nuclei"`
}

// show describes labels and nuclei.
func (d *document) show() shownNuclei {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := shownNuclei{Width: d.img.W, Height: d.img.H, TileSide: tileSide, Channels: d.source.Channels, Nuclei: []shownNucleus{}}
	if h := d.history; h != nil {
		out.Segmented, out.Revision, out.Corrected, out.CanUndo, out.CanRedo = true, h.revision, h.corrected(), h.done > 0, h.done < len(h.edits)
	}
	for i := range d.nuclei {
		n := shownNucleus{Nucleus: d.nuclei[i]}
		for _, polygon := range n.Nucleus.Outline() {
			for _, ring := range append([][]instance.Point{polygon.Outer}, polygon.Holes...) {
				var r [][2]float64
				for _, q := range ring {
					r = append(r, [2]float64{float64(q.X), float64(q.Y)})
				}
				n.Outline = append(n.Outline, r)
			}
		}
		out.Nuclei = append(out.Nuclei, n)
	}
	return out
}

// tile is a part of the picture at half its size, level times, as JPEG.
func (d *document) tile(level, x, y int) ([]byte, error) {
	d.mu.Lock()
	for len(d.levels) <= level && len(d.levels) < 12 {
		last := d.levels[len(d.levels)-1]
		half := stdimage.NewRGBA(stdimage.Rect(0, 0, max(1, (last.Rect.Dx()+1)/2), max(1, (last.Rect.Dy()+1)/2)))
		draw.ApproxBiLinear.Scale(half, half.Rect, last, last.Rect, draw.Src, nil)
		d.levels = append(d.levels, half)
	}
	if level >= len(d.levels) {
		d.mu.Unlock()
		return nil, &apiError{http.StatusNotFound, "there is no such level"}
	}
	m := d.levels[level]
	d.mu.Unlock()
	if x < 0 || y < 0 || x > m.Rect.Dx()/tileSide || y > m.Rect.Dy()/tileSide {
		return nil, &apiError{http.StatusNotFound, "there is no such tile"}
	}
	r := stdimage.Rect(x*tileSide, y*tileSide, (x+1)*tileSide, (y+1)*tileSide).Intersect(m.Rect)
	if r.Empty() {
		return nil, &apiError{http.StatusNotFound, "there is no such tile"}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, m.SubImage(r), &jpeg.Options{Quality: 92})
	return b.Bytes(), err
}

// export writes the nuclei as they are now in a format of package segment.
func (d *document) export(w io.Writer, format string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.history == nil {
		return errNotSegmented
	}
	switch format {
	case segment.Labels:
		f, err := os.CreateTemp("", "unet-*.labels.tif")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		f.Close()
		l := d.history.labels
		if err := imageio.WriteLabels(f.Name(), l, tiff.Options{PixelSize: d.source.PixelSize, Bits: max(16, imageio.LabelBits(l.Max()))}); err != nil {
			return err
		}
		r, err := os.Open(f.Name())
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, r)
		return err
	case segment.Mask:
		l := d.history.labels
		m := stdimage.NewGray(stdimage.Rect(0, 0, l.W, l.H))
		for i, id := range l.ID {
			if id != 0 {
				m.Pix[i] = 255
			}
		}
		return report.EncodePNG(w, m)
	case segment.Overlay:
		m, err := report.Overlay(d.img, d.history.labels, report.OverlayOptions{})
		if err != nil {
			return err
		}
		return report.EncodePNG(w, m)
	}
	return formats.WriteAll(segment.NewWriter(format, w), d.source, d.nuclei)
}

// thumbnail is a small picture of an image that has no result yet.
func (d *document) thumbnail() ([]byte, error) {
	var labels *imageio.Labels
	d.mu.Lock()
	defer d.mu.Unlock()
	labels = imageio.NewLabels(d.img.W, d.img.H)
	if d.history != nil {
		labels = d.history.labels
	}
	m, err := report.Overlay(d.img, labels, report.OverlayOptions{Scale: min(1, 320/float64(max(d.img.W, d.img.H)))})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = jpeg.Encode(&b, m, &jpeg.Options{Quality: 85})
	return b.Bytes(), err
}

package segment

import (
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio/atomicfile"
	"unet/unet/report"
)

// Files people look at.
const (
	PageFile     = "index.html"
	NucleiFile   = "nuclei.csv"
	thumbnailExt = ".thumb.jpg"
	thumbnailDir = "thumbnails"
)

// PagesFolder holds the pages after the first.
const PagesFolder = report.PagesFolder

// thumbnailSide is the longer side of thumbnails in pixels.
const thumbnailSide = 320

// Thumbnail is a small picture, with the name of its file in the folder of the
// results.
type Thumbnail struct {
	File   string `json:"file"`   // JPEG below the folder of the batch
	Width  int    `json:"width"`  // in pixels
	Height int    `json:"height"` // in pixels
}

// thumbnailScale is how much an image of w x h pixels is scaled for its thumbnail.
func thumbnailScale(w, h int) float64 { return min(1, thumbnailSide/float64(max(w, h))) }

// writeThumbnail writes a picture of a plane.
func (r *results) writeThumbnail(base string, m *image.RGBA) (*Thumbnail, error) {
	t := &Thumbnail{thumbnailDir + "/" + base + thumbnailExt, m.Rect.Dx(), m.Rect.Dy()}
	if err := r.folder.Claim(t.File); err != nil {
		return nil, err
	}
	file := under(r.batch.Out, t.File)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	return t, atomicfile.WriteFile(file, func(w io.Writer) error {
		return jpeg.Encode(w, m, &jpeg.Options{Quality: 85})
	})
}

// writePage writes the pages of the run.
func (r *results) writePage() error {
	g := r.gallery()
	return g.Write(func(name string, html []byte) error {
		if err := r.folder.Claim(name); err != nil {
			return err
		}
		file := under(r.batch.Out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return atomicfile.WriteFile(file, func(w io.Writer) error {
			_, err := w.Write(html)
			return err
		})
	})
}

// gallery lays out the page.
func (r *results) gallery() *report.Gallery {
	s := &r.shown
	g := &report.Gallery{Page: report.Page{
		Title:    fmt.Sprintf("%d nuclei in %d images", s.Nuclei, s.Planes),
		Subtitle: fmt.Sprintf("Segmented by unet %s with the model %s", s.Version, s.Model.Name),
		Footer:   "Images are shown with their contrast stretched; measurements are of the images as they are. Doubtful nuclei: the number of nuclei times the share that their mean confidence expects to be wrong.",
	}}
	if s.Nuclei == 1 || s.Planes == 1 {
		g.Title = fmt.Sprintf("%s in %s", amount(s.Nuclei, "nucleus", "nuclei"), amount(s.Planes, "image", "images"))
	}
	g.Facts = []report.Fact{{Name: "Nuclei", Value: strconv.Itoa(s.Nuclei)}, {Name: "Images", Value: strconv.Itoa(s.Planes)}}
	for _, d := range s.LeftOut {
		g.Facts = append(g.Facts, report.Fact{Name: "Left out: " + d.Why, Value: strconv.Itoa(d.Nuclei)})
	}
	if n := s.corrected(); n > 0 {
		g.Facts = append(g.Facts, report.Fact{Name: "Corrected by hand", Value: amount(n, "image", "images")})
	}
	if s.Failed > 0 {
		g.Facts = append(g.Facts, report.Fact{Name: "Failed", Value: strconv.Itoa(s.Failed)})
	}
	g.Facts = append(g.Facts, report.Fact{Name: "Table of the images", Value: SummaryFile, Link: SummaryFile})
	if r.has(CSV) && !s.Interrupted {
		g.Facts = append(g.Facts, report.Fact{Name: "Table of all nuclei", Value: NucleiFile, Link: NucleiFile})
	}
	g.Facts = append(g.Facts, report.Fact{Name: "Everything about the run", Value: ManifestFile, Link: ManifestFile})
	for _, im := range s.Images {
		if im.Status == Failed {
			g.Images = append(g.Images, report.GalleryImage{Name: im.Name, Error: im.Error, Count: math.NaN(), Diameter: math.NaN(), Confidence: math.NaN(), Doubtful: math.NaN()})
		}
		for i := range im.Planes {
			g.Images = append(g.Images, galleryImage(im, &im.Planes[i]))
		}
	}
	if s.Interrupted {
		g.Section("").Note(report.Warning, "The run was cut off: images may be missing.")
	}
	if t := markerTable(r.summary.Markers); t != nil {
		g.Section("Positive nuclei").Table(t)
	}
	r.addConditions(g)
	r.addHistograms(g)
	return g
}

// amount is a number of things.
func amount(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func galleryImage(im *ImageRecord, p *PlaneRecord) report.GalleryImage {
	g := report.GalleryImage{Name: im.Name + p.Suffix, Count: float64(p.Nuclei), Diameter: math.NaN(), Confidence: math.NaN(), Doubtful: math.NaN(), LeftOut: p.Statistics.Dropped(), Warnings: p.Warnings}
	if p.Nuclei > 0 {
		g.Diameter = p.Diameter
		if c := p.Statistics.Confidence; c > 0 {
			g.Confidence, g.Doubtful = c, float64(p.Nuclei)*(1-c)
		}
	}
	if t := p.Thumbnail; t != nil {
		g.Thumbnail, g.W, g.H = t.File, t.Width, t.Height
	}
	g.Picture, g.Density = p.Output(Overlay), p.Output(Density)
	if g.Corrected = p.Corrected; g.Corrected {
		g.Doubtful = math.NaN() // a person has looked
	}
	return g
}

// binsPerOctave is how finely the histograms of the page count: a factor of two
// in so many bins.
const binsPerOctave = 4

// logBins counts positive values in bins of equal ratio.
type logBins map[int]int64

func (b logBins) add(v float64) {
	if v > 1e-30 && v < 1e30 {
		b[int(math.Floor(math.Log2(v)*binsPerOctave))]++
	}
}

func (b logBins) bins() report.Bins {
	lo, hi := math.MaxInt, math.MinInt
	for k := range b {
		lo, hi = min(lo, k), max(hi, k)
	}
	out := report.Bins{}
	for k := lo; k <= hi; k++ {
		out.Edges = append(out.Edges, math.Exp2(float64(k)/binsPerOctave))
		out.Counts = append(out.Counts, b[k])
	}
	out.Edges = append(out.Edges, math.Exp2(float64(hi+1)/binsPerOctave))
	return out
}

// addHistograms adds the areas and intensities of all nuclei.
func (r *results) addHistograms(g *report.Gallery) {
	if len(r.histograms) == 0 || len(r.histograms["area"]) == 0 {
		return
	}
	s := g.Section("All nuclei")
	count := report.Axis{Label: "nuclei", Integer: true}
	plots := []*report.Plot{report.Stack("Area", report.Axis{Label: "pixels", Log: true}, count, nil, []report.Bins{r.histograms["area"].bins()})}
	for _, name := range r.intensityColumns() {
		plots = append(plots, report.Stack("Mean intensity, channel "+strings.TrimPrefix(name, "mean_"), report.Axis{Label: "in the image's units", Log: true}, count, nil,
			[]report.Bins{r.histograms[name].bins()}))
	}
	for _, p := range plots {
		p.Height, p.NoLegend = 260, true
		s.Drawing(p.Draw(), "")
	}
}

func (r *results) intensityColumns() (list []string) {
	for name, b := range r.histograms {
		if name != "area" && len(b) > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list[:min(len(list), 4)]
}

// addToHistogram counts a value of the table of nuclei.
func (r *results) addToHistogram(column, value string) {
	if column != "area" && !strings.HasPrefix(column, "mean_") {
		return
	}
	if v, err := strconv.ParseFloat(value, 64); err == nil {
		if r.histograms[column] == nil {
			r.histograms[column] = logBins{}
		}
		r.histograms[column].add(v)
	}
}

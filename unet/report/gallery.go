package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"slices"
)

// Gallery is the pages of a batch of images: thumbnails with their numbers, and
// sections below the first of them. The pages need no scripts. Every order of
// the images has pages of its own, so that ten thousand of them are light, and
// pictures are files beside the pages.
type Gallery struct {
	Page
	// Facts are of the whole batch.
	Facts []Fact
	// Images are in the order of the batch.
	Images []GalleryImage
}

// GalleryImage is one image of a Gallery. Files are relative to the first page,
// with slashes; "" where there is none. Numbers that are not known are NaN.
type GalleryImage struct {
	Name      string
	Thumbnail string
	W, H      int // of the thumbnail
	Picture   string
	Density   string // a map of how dense nuclei are
	Count     float64
	// Diameter is the median in pixels.
	Diameter float64
	// Confidence is the mean over nuclei, Doubtful how many of them are
	// expected to be wrong.
	Confidence, Doubtful float64
	// LeftOut is how many nuclei were found and do not count.
	LeftOut  int
	Warnings []string
	// Corrected says that a person has corrected the nuclei.
	Corrected bool
	// Error says why there are no numbers.
	Error string
}

// PagesFolder holds the pages of a Gallery after the first.
const PagesFolder = "pages"

// perPage is how many images a page of a Gallery shows.
const perPage = 200

// order is a way to sort the images of a Gallery: by rising rank.
type order struct {
	Key, Text string
	rank      func(*GalleryImage) float64
}

var orders = []order{
	{"name", "name", func(*GalleryImage) float64 { return 0 }},
	{"count", "most nuclei", func(m *GalleryImage) float64 { return -m.Count }},
	{"diameter", "largest nuclei", func(m *GalleryImage) float64 { return -m.Diameter }},
	{"confidence", "lowest confidence", func(m *GalleryImage) float64 { return m.Confidence }},
	{"doubtful", "most doubtful nuclei", func(m *GalleryImage) float64 { return -m.Doubtful }},
	{"warnings", "errors and warnings", func(m *GalleryImage) float64 {
		if m.Error != "" {
			return math.Inf(-1)
		}
		return -float64(len(m.Warnings))
	}},
}

// galleryPage is what the template sees.
type galleryPage struct {
	*Gallery
	First  bool
	Up     string // from the page to the first one
	Shown  []GalleryImage
	From   int // of the first image shown, counted from 1
	Orders []galleryLink
	Pages  []galleryLink
}

type galleryLink struct {
	Text, File string
	Current    bool
}

// pageFile names page n, from 0, of an order.
func pageFile(o, n int) string {
	if o == 0 && n == 0 {
		return "index.html"
	}
	return fmt.Sprintf(PagesFolder+"/%s-%d.html", orders[o].Key, n+1)
}

// Write hands all pages to put, by the name of their file relative to the first,
// index.html.
func (g *Gallery) Write(put func(name string, html []byte) error) error {
	used := orders
	if len(g.Images) < 2 {
		used = orders[:1]
	}
	for k, o := range used {
		list := slices.Clone(g.Images)
		slices.SortStableFunc(list, func(a, b GalleryImage) int { return compareRank(o.rank(&a), o.rank(&b)) })
		for n := 0; n == 0 || n*perPage < len(list); n++ {
			p := galleryPage{Gallery: g, First: k == 0 && n == 0, Up: "../", From: n*perPage + 1,
				Shown: list[n*perPage : min((n+1)*perPage, len(list))]}
			if p.First {
				p.Up = "./"
			}
			for i := range used {
				p.Orders = append(p.Orders, galleryLink{used[i].Text, pageFile(i, 0), i == k})
			}
			for i := 0; i*perPage < len(list); i++ {
				p.Pages = append(p.Pages, galleryLink{fmt.Sprint(i + 1), pageFile(k, i), i == n})
			}
			var b bytes.Buffer
			if err := galleryTemplate.Execute(&b, p); err != nil {
				return fmt.Errorf("page %q: %w", pageFile(k, n), err)
			}
			if err := put(pageFile(k, n), b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareRank orders numbers, NaN last.
func compareRank(a, b float64) int {
	switch na, nb := math.IsNaN(a), math.IsNaN(b); {
	case na && nb:
		return 0
	case na:
		return 1
	case nb:
		return -1
	}
	return cmp.Compare(a, b)
}

//go:embed gallery.html
var galleryHTML string

var galleryTemplate = template.Must(template.Must(partsTemplate.Clone()).New("gallery").Funcs(template.FuncMap{
	"file":  func(up, name string) template.URL { return template.URL(up + (&url.URL{Path: name}).EscapedPath()) },
	"num":   Number,
	"known": func(v float64) bool { return !math.IsNaN(v) },
}).Parse(galleryHTML))

package tiff

import (
	"encoding/json"
	"strings"

	"unet/unet/imageio/plane"
)

// isShaped reports whether a description is tifffile's, which says the shape of
// an array.
func isShaped(text string) bool { return strings.HasPrefix(text, `{"shape":`) }

// shaped lists the planes of an array that tifffile wrote with one directory
// ("truncated"): the planes follow each other.
func (s *tiffSource) shaped(text string) error {
	var d struct {
		Shape []int64 `json:"shape"`
		Axes  string  `json:"axes"`
	}
	p := s.pages[0]
	if json.Unmarshal([]byte(text), &d) != nil || p.depth > 1 {
		return s.plain(plane.PixelSize{})
	}
	total := int64(1) // samples
	for _, n := range d.Shape {
		if n < 1 || total > 1<<50/n {
			return s.plain(plane.PixelSize{})
		}
		total *= n
	}
	each := int64(p.w) * int64(p.h) * int64(p.spp)
	n := total / each
	if n < 2 || n*each != total {
		return s.plain(plane.PixelSize{})
	}
	if n > plane.MaxPlanes {
		return &plane.LimitError{Name: s.name, What: "its description counts more planes than are read", Advice: "split the file"}
	}
	pages, err := s.contiguous(p, int(n), "its description counts")
	if err != nil {
		return err
	}
	place := shapedPlaces(d.Shape, strings.ToUpper(d.Axes), n)
	for i, p := range pages {
		info := plane.Info{Page: i}
		if place != nil {
			info.Channel, info.Z, info.T = place(i)
		}
		if err := s.add(p, info, nil); err != nil {
			return err
		}
	}
	return nil
}

// shapedPlaces returns where plane i of n lies by the axes before the page's,
// nil when the description does not say.
func shapedPlaces(shape []int64, axes string, n int64) func(i int) (c, z, t int) {
	if len(axes) != len(shape) {
		return nil
	}
	lead := int64(1)
	k := 0
	for ; k < len(shape) && lead < n; k++ {
		if !strings.ContainsRune("CZT", rune(axes[k])) {
			return nil
		}
		lead *= shape[k]
	}
	if lead != n {
		return nil
	}
	return func(i int) (c, z, t int) {
		for a := k - 1; a >= 0; a-- {
			at := i % int(shape[a])
			i /= int(shape[a])
			switch axes[a] {
			case 'C':
				c = at
			case 'Z':
				z = at
			case 'T':
				t = at
			}
		}
		return c, z, t
	}
}

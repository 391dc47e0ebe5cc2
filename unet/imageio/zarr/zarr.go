package zarr

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/input"
	"unet/unet/imageio/plane"
)

// OME-Zarr: https://ngff.openmicroscopy.org/0.4/ (Zarr version 2) and /0.5/
// (Zarr version 3). The full-resolution level of each image is read.

// zarrSource reads the planes of an OME-Zarr folder.
type zarrSource struct {
	out    *plane.File
	root   *os.Root
	planes []zarrPlane
	level  int        // of the pyramids
	last   *zarrArray // read last: only one keeps its chunks
}

type zarrPlane struct {
	array *zarrArray
	index int // among the planes of the array
}

// zarrAttributes is what OME-Zarr says about a folder.
type zarrAttributes struct {
	Version     string `json:"version"`
	Multiscales []struct {
		Version  string            `json:"version"`
		Axes     []json.RawMessage `json:"axes"`
		Scale    []zarrTransform   `json:"coordinateTransformations"`
		Datasets []struct {
			Path  string          `json:"path"`
			Scale []zarrTransform `json:"coordinateTransformations"`
		} `json:"datasets"`
	} `json:"multiscales"`
	Omero struct {
		Channels []struct {
			Label string `json:"label"`
		} `json:"channels"`
	} `json:"omero"`
	Layout int `json:"bioformats2raw.layout"`
	Plate  *struct {
		Wells []struct {
			Path string `json:"path"`
		} `json:"wells"`
	} `json:"plate"`
	Well *struct {
		Images []struct {
			Path string `json:"path"`
		} `json:"images"`
	} `json:"well"`
	Labels []string `json:"labels"`
}

type zarrTransform struct {
	Type  string    `json:"type"`
	Scale []float64 `json:"scale"`
}

type zarrAxis struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// Open opens the folder of an OME-Zarr image, plate or well, or of a bare Zarr
// array, and lists its planes.
func Open(name string) (*plane.File, error) {
	root, err := os.OpenRoot(name) // no path or link of the file leads out of it
	if err != nil {
		return nil, err
	}
	s := &zarrSource{root: root}
	f := plane.NewFile(name, "", s)
	s.out = f
	if err := s.open("."); err != nil {
		root.Close()
		return nil, err
	}
	return f, nil
}

func (s *zarrSource) bad(format string, args ...any) error {
	return &plane.FormatError{Name: s.out.Name, Format: "OME-Zarr", Reason: fmt.Sprintf(format, args...)}
}

// open lists the planes of the image, images or bare array in folder dir.
func (s *zarrSource) open(dir string) error {
	attrs, version, array, err := s.attributes(dir)
	if err != nil {
		return err
	}
	hint := func(what, example string) error {
		return &plane.UnsupportedError{Name: s.out.Name, Format: "OME-Zarr", Feature: what, Advice: "open one of its images, such as " + filepath.Join(s.out.Name, example)}
	}
	switch {
	case array:
		return s.bare(dir, version)
	case len(attrs.Multiscales) > 0:
		return s.image5d(dir, version, attrs)
	case attrs.Layout != 0:
		return s.collection(dir)
	case attrs.Plate != nil:
		return s.plate(dir, attrs)
	case attrs.Well != nil:
		return s.well(dir, wellName(filepath.Base(filepath.Dir(s.out.Name))+filepath.Base(s.out.Name)), attrs)
	case len(attrs.Labels) > 0:
		return hint("a group of label images", attrs.Labels[0])
	}
	return s.bad("the folder says nothing about an image (no \"multiscales\")")
}

// attributes reads the metadata of folder dir and says which version of Zarr
// it is and whether it is an array.
func (s *zarrSource) attributes(dir string) (attrs zarrAttributes, version int, array bool, err error) {
	var v3 struct {
		Node  string          `json:"node_type"`
		Attrs json.RawMessage `json:"attributes"`
	}
	name := s.out.Name
	err = readJSON(s.root, name, path.Join(dir, "zarr.json"), &v3)
	if err == nil {
		var wrap struct {
			OME zarrAttributes `json:"ome"`
		}
		if v3.Node == "array" {
			return attrs, 3, true, nil
		}
		if len(v3.Attrs) > 0 {
			if err := json.Unmarshal(v3.Attrs, &wrap); err != nil {
				return attrs, 3, false, s.bad("zarr.json: %v", err)
			}
		}
		return wrap.OME, 3, false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return attrs, 0, false, err
	}
	if _, err := s.root.Stat(path.Join(dir, ".zarray")); err == nil {
		return attrs, 2, true, nil
	}
	err = readJSON(s.root, name, path.Join(dir, ".zattrs"), &attrs)
	if errors.Is(err, fs.ErrNotExist) {
		return attrs, 0, false, &plane.FormatError{Name: name, Reason: "it is a folder without zarr.json or .zattrs"}
	}
	return attrs, 2, false, err
}

// maxNames bounds the bytes of the XML that names the images of a collection.
const maxNames = 1 << 24

// imageTag matches the beginning of an image in OME-XML, and imageName the name in it,
// which not every image has.
var (
	imageTag  = regexp.MustCompile(`<(?:\w+:)?Image[\s>/][^>]*`)
	imageName = regexp.MustCompile(`\sName="([^"]*)"`)
)

// pictures tells which images of a collection are of the label or the whole glass
// of a slide, by the OME-XML that bioformats2raw writes beside them.
func (s *zarrSource) pictures(dir string) map[int]bool {
	f, err := input.OpenIn(s.root, path.Join(dir, "OME", "METADATA.ome.xml"))
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNames))
	if err != nil {
		return nil
	}
	pictures := map[int]bool{}
	images := imageTag.FindAll(b, -1)
	for i, tag := range images {
		if m := imageName.FindSubmatch(tag); m != nil && plane.IsPicture(string(m[1])) {
			pictures[i] = true
		}
	}
	if len(pictures) == len(images) {
		return nil // nothing else is there
	}
	return pictures
}

// collection lists the images 0, 1, … that bioformats2raw writes side by side.
func (s *zarrSource) collection(dir string) error {
	pictures := s.pictures(dir)
	if n := len(pictures); n > 0 {
		s.out.Note("left out: %d of its images, which show the label or the whole slide", n)
	}
	for i := 0; ; i++ {
		sub := path.Join(dir, strconv.Itoa(i))
		if _, err := s.root.Stat(sub); err != nil {
			break
		}
		if pictures[i] {
			continue
		}
		attrs, version, _, err := s.attributes(sub)
		if err != nil {
			return err
		}
		if len(attrs.Multiscales) == 0 {
			return s.bad("image %q has no \"multiscales\"", sub)
		}
		before := len(s.out.Planes)
		if err := s.image5d(sub, version, attrs); err != nil {
			return err
		}
		for k := before; k < len(s.out.Planes); k++ {
			s.out.Planes[k].Series = i
		}
	}
	if len(s.planes) == 0 {
		return s.bad("it holds no images")
	}
	return nil
}

// maxWells bounds the wells of a plate and the fields of a well.
const maxWells = 1 << 14

// plate lists the fields of all wells of a plate, as far as they are there.
func (s *zarrSource) plate(dir string, attrs zarrAttributes) error {
	if len(attrs.Plate.Wells) > maxWells {
		return &plane.LimitError{Name: s.out.Name, What: fmt.Sprintf("more than %d wells", maxWells), Advice: "open its wells one by one"}
	}
	absent := 0
	for _, w := range attrs.Plate.Wells {
		if !filepath.IsLocal(filepath.FromSlash(w.Path)) {
			return s.bad("the well path %q leads out of the folder", w.Path)
		}
		sub := path.Join(dir, w.Path)
		well, _, _, err := s.attributes(sub)
		if errors.Is(err, fs.ErrNotExist) || s.absent(sub) {
			absent++
			continue
		}
		if err != nil {
			return err
		}
		if well.Well == nil {
			return s.bad("the well %q says nothing about images (no \"well\")", w.Path)
		}
		if err := s.well(sub, wellName(w.Path), well); err != nil {
			return err
		}
	}
	if absent > 0 {
		are := "are"
		if absent == 1 {
			are = "is"
		}
		s.out.Note("%d of the plate's %d wells %s not in the folder", absent, len(attrs.Plate.Wells), are)
	}
	if len(s.planes) == 0 {
		return s.bad("the plate holds no images")
	}
	return nil
}

// wellName is the name of a well by its path: letters and digits.
func wellName(p string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, p)
}

// absent reports whether a folder is not there.
func (s *zarrSource) absent(dir string) bool {
	_, err := s.root.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// well lists the fields of a well.
func (s *zarrSource) well(dir, name string, attrs zarrAttributes) error {
	if len(attrs.Well.Images) > maxWells {
		return &plane.LimitError{Name: s.out.Name, What: fmt.Sprintf("more than %d fields in well %s", maxWells, name), Advice: "open its images one by one"}
	}
	for field, im := range attrs.Well.Images {
		if !filepath.IsLocal(filepath.FromSlash(im.Path)) {
			return s.bad("the field path %q leads out of the folder", im.Path)
		}
		sub := path.Join(dir, im.Path)
		if s.absent(sub) {
			s.out.Note("field %d of well %s is not in the folder", field, name)
			continue
		}
		attrs, version, _, err := s.attributes(sub)
		if err != nil {
			return err
		}
		if len(attrs.Multiscales) == 0 {
			return s.bad("field %d of well %s has no \"multiscales\"", field, name)
		}
		before := len(s.out.Planes)
		if err := s.image5d(sub, version, attrs); err != nil {
			return err
		}
		for k := before; k < len(s.out.Planes); k++ {
			s.out.Planes[k].Well, s.out.Planes[k].Field = name, field
		}
	}
	if len(s.planes) == 0 {
		return s.bad("the well holds no images")
	}
	return nil
}

// bare lists the planes of an array without OME metadata. Its axes are taken
// for the last of t, c, z, y and x.
func (s *zarrSource) bare(dir string, version int) error {
	a, err := openZarrArray(s.root, s.out.Name, dir, version)
	if err != nil {
		return err
	}
	if len(a.shape) > 5 {
		return a.unsupported(fmt.Sprintf("an array of %d axes without OME metadata", len(a.shape)))
	}
	s.out.Format = fmt.Sprintf("Zarr %d", version)
	var axes []zarrAxis
	for _, c := range "tczyx"[5-len(a.shape):] {
		axes = append(axes, zarrAxis{Name: string(c)})
	}
	return s.add(a, axes, plane.PixelSize{}, zarrAttributes{})
}

// image5d lists the planes of a multiscale image.
func (s *zarrSource) image5d(dir string, version int, attrs zarrAttributes) error {
	m := attrs.Multiscales[0]
	if len(attrs.Multiscales) > 1 {
		s.out.Note("only the first of %d multiscale images is read", len(attrs.Multiscales))
	}
	if len(m.Datasets) == 0 {
		return s.bad("\"multiscales\" lists no datasets")
	}
	if s.level == 0 && (len(s.planes) == 0 || len(m.Datasets) < s.out.Levels) {
		s.out.Levels, s.out.LevelSizes = len(m.Datasets), nil
		if axes, err := s.axes(m.Axes); err == nil && len(m.Datasets) > 1 {
			for _, d := range m.Datasets {
				s.out.LevelSizes = append(s.out.LevelSizes, pixelSize(axes, d.Scale, m.Scale))
			}
		}
	}
	if s.level >= len(m.Datasets) {
		return s.bad("the image has %d levels, not %d", len(m.Datasets), s.level+1)
	}
	level := m.Datasets[s.level]
	if !filepath.IsLocal(filepath.FromSlash(level.Path)) {
		return s.bad("the dataset path %q leads out of the folder", level.Path)
	}
	a, err := openZarrArray(s.root, s.out.Name, path.Join(dir, level.Path), version)
	if err != nil {
		return err
	}
	ome := m.Version
	if version == 3 {
		ome = attrs.Version
	}
	s.out.Format = strings.TrimSpace("OME-Zarr " + ome)
	axes, err := s.axes(m.Axes)
	if err != nil {
		return err
	}
	size := pixelSize(axes, level.Scale, m.Scale)
	if unknown := scaleWithoutUnit(axes, level.Scale); !size.Known() && unknown != "" {
		s.out.Note("its scale of %s is in no unit of length and is not used: say how large pixels are", unknown)
	}
	return s.add(a, axes, size, attrs)
}

// scaleWithoutUnit is the scale of x and y, "" where it says nothing: 1, or none.
func scaleWithoutUnit(axes []zarrAxis, level []zarrTransform) string {
	n := len(axes)
	for _, t := range level {
		if t.Type == "scale" && len(t.Scale) == n && n >= 2 {
			if y, x := t.Scale[n-2], t.Scale[n-1]; x != 1 || y != 1 {
				return fmt.Sprintf("%g x %g", x, y)
			}
		}
	}
	return ""
}

// axes reads the axes of an image.
func (s *zarrSource) axes(list []json.RawMessage) ([]zarrAxis, error) {
	var axes []zarrAxis
	for _, raw := range list {
		var axis zarrAxis
		if json.Unmarshal(raw, &axis.Name) != nil && json.Unmarshal(raw, &axis) != nil {
			return nil, s.bad("axis %s", clip(raw))
		}
		axes = append(axes, axis)
	}
	if axes == nil { // before version 0.3
		for _, c := range "tczyx" {
			axes = append(axes, zarrAxis{Name: string(c)})
		}
	}
	return axes, nil
}

// pixelSize is that of the axes' scale; a level without one has none.
func pixelSize(axes []zarrAxis, level, all []zarrTransform) plane.PixelSize {
	size := func(name string) float64 {
		i := slices.IndexFunc(axes, func(a zarrAxis) bool { return a.Name == name })
		if i < 0 || len(level) == 0 {
			return 0
		}
		um := plane.Micrometres(axes[i].Unit)
		for _, t := range slices.Concat(level, all) {
			if t.Type == "scale" && len(t.Scale) == len(axes) {
				um *= t.Scale[i]
			}
		}
		return um
	}
	x, y := size("x"), size("y")
	if x == 0 || y == 0 {
		return plane.PixelSize{}
	}
	return plane.SizeOf(x, y, size("z"))
}

// add appends the planes of an array.
func (s *zarrSource) add(a *zarrArray, axes []zarrAxis, size plane.PixelSize, attrs zarrAttributes) error {
	n := len(axes)
	if n != len(a.shape) {
		return s.bad("%d axes for an array of shape %v", n, a.shape)
	}
	if axes[n-2].Name != "y" || axes[n-1].Name != "x" {
		return a.unsupported(fmt.Sprintf("axes %q: the last two must be y and x", names(axes)))
	}
	for _, axis := range axes[:n-2] {
		if axis.Name != "t" && axis.Name != "c" && axis.Name != "z" {
			return a.unsupported(fmt.Sprintf("axis %q", axis.Name))
		}
	}
	if len(s.planes)+a.planes() > plane.MaxPlanes {
		return &plane.LimitError{Name: s.out.Name, What: fmt.Sprintf("more than %d planes", plane.MaxPlanes), Advice: "open its images one by one"}
	}
	for page := range a.planes() {
		p := plane.Info{Page: page, W: int(a.shape[n-1]), H: int(a.shape[n-2]), C: 1,
			Bits: 8 * a.t.Size, Float: a.t.Kind == 'f', PixelSize: size}
		for i, v := range a.lead(page) {
			switch axes[i].Name {
			case "t":
				p.T = v
			case "c":
				p.Channel = v
			case "z":
				p.Z = v
			}
		}
		if p.Channel < len(attrs.Omero.Channels) {
			p.Name = attrs.Omero.Channels[p.Channel].Label
		}
		s.planes = append(s.planes, zarrPlane{a, page})
		s.out.Planes = append(s.out.Planes, p)
	}
	return nil
}

func names(axes []zarrAxis) (s []string) {
	for _, a := range axes {
		s = append(s, a.Name)
	}
	return s
}

func (s *zarrSource) Image(i int, r image.Rectangle) (*plane.Image, error) {
	m := plane.NewImage(r.Dx(), r.Dy(), 1)
	p := s.plane(i)
	return m, p.array.read(p.array.lead(p.index), r.Min.X, r.Min.Y, r.Max.X, r.Max.Y, 0, plane.ImageSink{Image: m})
}

func (s *zarrSource) Labels(i int, r image.Rectangle) (*plane.Labels, error) {
	l := plane.NewLabels(r.Dx(), r.Dy())
	p := s.plane(i)
	return l, p.array.read(p.array.lead(p.index), r.Min.X, r.Min.Y, r.Max.X, r.Max.Y, 0, plane.LabelSink{Labels: l})
}

// plane returns a plane to be read; chunks of the array read before are dropped
// when it is in another.
func (s *zarrSource) plane(i int) zarrPlane {
	p := s.planes[i]
	if s.last != nil && s.last != p.array {
		s.last.cache = chunk.Cache{}
		s.last.shardKey, s.last.shardData = "", nil
	}
	s.last = p.array
	return p
}

// UseLevel lists the planes of level k of every image.
func (s *zarrSource) UseLevel(k int) error {
	s.planes, s.out.Planes, s.level = nil, nil, k
	return s.open(".")
}

func (s *zarrSource) Close() error { return s.root.Close() }

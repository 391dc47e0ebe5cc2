package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/input"
	"unet/unet/imageio/tiff"
	"unet/unet/instance"
	"unet/unet/segment"
)

// labelled is one image's nuclei on their way from one format to another.
type labelled struct {
	name      string
	labels    *imageio.Labels
	pixelSize imageio.PixelSize
}

func (l *labelled) source() formats.Source {
	return formats.Source{Name: l.name, W: l.labels.W, H: l.labels.H, PixelSize: l.pixelSize}
}

func (l *labelled) nuclei() []instance.Nucleus {
	return instance.Measure(l.labels, &imageio.Image{PixelSize: l.pixelSize})
}

func (l *labelled) writeTIFF(file string) error {
	return imageio.WriteLabels(file, l.labels, tiff.Options{PixelSize: l.pixelSize, Bits: max(16, imageio.LabelBits(l.labels.Max()))})
}

// reader reads nuclei of any format.
type reader struct {
	t         *terminal
	w, h      int
	name      string // of the image wanted, "" for all
	page      segment.Choice
	z         int // slice of a stack, -1 for the only one
	pixelSize imageio.PixelSize
	memory    *room
	overlap   int
	root      string // folder that names of images are relative to; "" for their last element
}

// read hands on the images of a file.
func (r *reader) read(in string, put func(labelled) error) error {
	if _, err := os.Stat(in); err != nil {
		return err
	}
	format, err := inputFormat(in)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(filepath.Base(in))
	if r.root != "" { // of one image among others
		if rel, err := filepath.Rel(r.root, in); err == nil && filepath.IsLocal(rel) {
			name = filepath.ToSlash(rel)
		}
		for _, ext := range labelExts {
			name = strings.Replace(name, ext, ".tif", 1)
		}
	}
	if format == segment.Labels {
		l, err := r.labels(in)
		if err != nil {
			return err
		}
		l.name = name
		return put(l)
	}
	if r.page.Page.String() != segment.All.String() {
		return usagef("--page: %s is no label file and has no pages", in)
	}
	list, err := r.encoded(in, format)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Name == "" {
			e.Name = name
		}
		w, h := r.w, r.h
		if w == 0 && e.W == 0 {
			return withHint(usagef("%s does not say how large the image is", in), "add --size WxH or --image FILE")
		}
		if err := r.memory.file().take(in, 4*int64(max(w, e.W))*int64(max(h, e.H))); err != nil {
			return err
		}
		l, lost, err := e.Labels(w, h)
		if err != nil {
			return inputf("is it the right file, and complete?", "%s: %w", in, err)
		}
		r.tell(in, &e, lost)
		if err := put(labelled{e.Name, l, r.pixelSize}); err != nil {
			return err
		}
	}
	return nil
}

// labels reads a label file, which is an image without a name and of a known size.
func (r *reader) labels(in string) (labelled, error) {
	if r.name != "" {
		return labelled{}, usagef("--name: %s holds one image, which has no name", in)
	}
	l, size, err := readLabelPlane(in, r.page, false, r.memory.file())
	if err != nil {
		return labelled{}, err
	}
	if r.w > 0 && (l.W != r.w || l.H != r.h) {
		return labelled{}, inputf("a label image needs neither --size nor --image", "%s has %d x %d pixels, not %d x %d", in, l.W, l.H, r.w, r.h)
	}
	if r.pixelSize.Known() {
		size = r.pixelSize
	}
	warnOfLabels(r.t, in, l)
	return labelled{labels: l, pixelSize: size}, nil
}

// encoded reads the images of a file of regions or run lengths that are meant.
func (r *reader) encoded(in, format string) ([]formats.Encoded, error) {
	f, err := input.Open(in)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := readEncoded(f, format)
	if err != nil {
		return nil, inputf("is it the right file, and complete?", "%s: %w", in, err)
	}
	for i := range list {
		if err := list[i].Slice(r.z); err != nil {
			return nil, withHint(usagef("%s: %v", in, err), hintOf(err))
		}
	}
	if r.name != "" {
		if len(list) == 1 && list[0].Name == "" {
			return nil, usagef("--name: %s holds one image, which has no name", in)
		}
		i := slices.IndexFunc(list, func(e formats.Encoded) bool { return e.Name == r.name })
		if i < 0 {
			return nil, inputf("it holds "+someNames(list), "%s: there is no image %q", in, r.name)
		}
		list = list[i : i+1]
	}
	return list, nil
}

// tell says what of a file is not in the result.
func (r *reader) tell(in string, e *formats.Encoded, lost formats.Lost) {
	r.overlap += lost.Overlap
	for _, n := range e.Notes {
		r.t.notef("%s: %s", in, n)
	}
	if lost.Overlap > 0 {
		r.t.warnf("%s, image %s: nuclei overlap in %s; the earlier nucleus keeps them", in, e.Name, plural(lost.Overlap, "pixel", "pixels"))
	}
	if lost.Outside > 0 {
		r.t.warnf("%s, image %s: %s left out; is it the right image?", in, e.Name, plural(lost.Outside, "nucleus lies outside the image and is", "nuclei lie outside the image and are"))
	}
	if lost.Hidden > 0 {
		r.t.warnf("%s, image %s: %s left out", in, e.Name, plural(lost.Hidden, "nucleus lies wholly under others or is smaller than a pixel and is", "nuclei lie wholly under others or are smaller than a pixel and are"))
	}
}

// readEncoded reads regions, JSON or a table. .json may hold COCO or GeoJSON, and
// .zip regions or GeoJSON.
func readEncoded(f *os.File, format string) ([]formats.Encoded, error) {
	if format == segment.RLE {
		return formats.ReadRLE(f)
	}
	var first error
	switch format {
	case segment.ROI:
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		e, err := formats.ReadROI(f, st.Size())
		if err == nil {
			return []formats.Encoded{*e}, nil
		}
		if !errors.Is(err, formats.ErrNoROI) {
			return nil, err
		}
		first = err
	case segment.COCO:
		list, err := formats.ReadCOCO(f)
		if err == nil {
			return list, nil
		}
		first = err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	e, err := formats.ReadGeoJSON(f)
	if err != nil {
		return nil, cmp.Or(first, err)
	}
	return []formats.Encoded{*e}, nil
}

func someNames(list []formats.Encoded) string {
	var names []string
	for _, e := range list[:min(len(list), 5)] {
		names = append(names, e.Name)
	}
	s := strings.Join(names, ", ")
	if len(list) > 5 {
		s += fmt.Sprintf(" and %d more", len(list)-5)
	}
	return s
}

// labelExts end the names of label images of unet predict: files, and folders of
// OME-Zarr.
var labelExts = []string{".labels.tif", ".labels.zarr"}

// labelFiles lists files, and the label images below folders among them, an image's
// file before its folder.
func labelFiles(args []string) (list []string, err error) {
	tif, zarr := labelExts[0], labelExts[1]
	for _, arg := range args {
		if st, err := os.Stat(arg); err != nil || !st.IsDir() || strings.HasSuffix(filepath.Clean(arg), zarr) {
			list = append(list, arg)
			continue
		}
		found := map[string]string{} // by image
		if err := filepath.WalkDir(arg, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if image, ok := strings.CutSuffix(p, tif); ok && !d.IsDir() {
				found[image] = p
			}
			if image, ok := strings.CutSuffix(p, zarr); ok && d.IsDir() {
				if found[image] == "" {
					found[image] = p
				}
				return fs.SkipDir
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, inputf("give a folder of unet predict, or the files", "there is no label image (*%s, *%s) in %s", tif, zarr, arg)
		}
		list = append(list, slices.Sorted(maps.Values(found))...)
	}
	return list, nil
}

// sameNames reports whether two files differ by their folders or extensions alone.
func sameNames(files []string) bool {
	seen := map[string]bool{}
	for _, f := range files {
		name := segment.Stem(filepath.Base(f))
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// commonFolder is the folder that all files lie in.
func commonFolder(files []string) string {
	dir := filepath.Dir(files[0])
	for _, f := range files {
		for {
			if rel, err := filepath.Rel(dir, f); err == nil && filepath.IsLocal(rel) || dir == filepath.Dir(dir) {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	return dir
}

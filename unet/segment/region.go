package segment

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/imageio/input"
)

// Regions tells in which region of an image nuclei count. The zero value is all of
// every image.
type Regions struct {
	path   string
	folder bool
}

// regionExtensions are those of files of regions, in the order of search.
var regionExtensions = []string{".geojson", ".geojson.gz", ".zip", ".png", ".tif", ".tiff"}

// ParseRegions takes a file, which is for all images, or a folder with a file for
// each: for a/b.tif a/b.geojson or a mask such as a/b.png in it.
func ParseRegions(path string) (Regions, error) {
	if path == "" {
		return Regions{}, nil
	}
	st, err := os.Stat(path)
	if err != nil {
		return Regions{}, err
	}
	return Regions{path, st.IsDir()}, nil
}

// Of is the file with the region of an image, "" where nuclei count everywhere,
// or ok false where there should be a region and is none.
func (r Regions) Of(image string) (file string, ok bool) {
	if r.path == "" || !r.folder {
		return r.path, true
	}
	for _, ext := range regionExtensions {
		file := filepath.Join(r.path, filepath.FromSlash(Stem(image))+ext)
		if st, err := os.Stat(file); err == nil && st.Mode().IsRegular() {
			return file, true
		}
	}
	return "", false
}

// Read reads the region of an image, given a plane of it; nil where nuclei count
// everywhere, or ok false where there should be a region and is none.
func (r Regions) Read(image string, of imageio.PlaneInfo) (l *imageio.Labels, ok bool, err error) {
	file, ok := r.Of(image)
	if file == "" {
		return nil, ok, nil
	}
	l, err = readRegion(file, of)
	return l, true, err
}

// readRegion reads a region of a plane, polygons (GeoJSON, ImageJ regions) or a mask, as
// labels that are 0 outside. Polygons of GeoJSON are in pixels of the full resolution,
// as QuPath has them.
func readRegion(file string, of imageio.PlaneInfo) (*imageio.Labels, error) {
	l, err := regionLabels(file, of)
	if err != nil {
		return nil, err
	}
	if l.W != of.W || l.H != of.H {
		return nil, &InputError{Name: file, Problem: fmt.Sprintf("the region is of %d x %d pixels, the image has %d x %d", l.W, l.H, of.W, of.H), Advice: "give the region of this image"}
	}
	if l.Max() == 0 {
		return nil, &InputError{Name: file, Problem: "the region is empty", Advice: "draw it on this image, as polygons in pixels or as a mask"}
	}
	return l, nil
}

func regionLabels(file string, of imageio.PlaneInfo) (*imageio.Labels, error) {
	lower := strings.ToLower(file)
	if !strings.HasSuffix(lower, ".geojson") && !strings.HasSuffix(lower, ".geojson.gz") && !strings.HasSuffix(lower, ".json") && !strings.HasSuffix(lower, ".zip") {
		return imageio.ReadLabels(file)
	}
	f, err := input.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	wrap := func(err error) error {
		return &InputError{Name: file, Problem: err.Error(), Advice: "give GeoJSON polygons, ImageJ regions or a mask", Err: err}
	}
	var e *formats.Encoded
	if strings.HasSuffix(lower, ".zip") {
		e, err = formats.ReadROI(f, st.Size())
	} else {
		e, err = formats.ReadRegions(f)
	}
	if err != nil {
		return nil, wrap(err)
	}
	if of.FullW > 0 && of.FullH > 0 && !strings.HasSuffix(lower, ".zip") {
		e.Scale(float64(of.W)/float64(of.FullW), float64(of.H)/float64(of.FullH))
	}
	l, _, err := e.Labels(of.W, of.H)
	if err != nil {
		return nil, wrap(err)
	}
	return l, nil
}

// region is where the nuclei of a plane count; nil: everywhere.
func (r *run) region(j *job, ref PlaneRef) (*imageio.Labels, error) {
	l, ok, err := r.batch.Regions.Read(j.in.Name, ref.Info)
	if !ok {
		return nil, &InputError{Name: j.in.Path, Problem: "there is no region of it in " + r.batch.Regions.path,
			Advice: "name it like the image, such as " + filepath.Base(Stem(j.in.Name)) + ".geojson, or leave the image out"}
	}
	return l, err
}

// regionHash is the SHA-256 of the file with the region of an image, "" without
// one.
func (r *run) regionHash(ctx context.Context, in *Input) (string, error) {
	file, _ := r.batch.Regions.Of(in.Name)
	if file == "" {
		return "", nil
	}
	return hashInput(ctx, file)
}

package imageio

import (
	"fmt"
	"os"

	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
)

// Open opens an image file, or the folder of an OME-Zarr image, and reads what
// it says about its planes. PNG, JPEG, BMP, GIF and WebP files are decoded
// whole on the first read; TIFF and Zarr are read by strips, tiles or chunks,
// so that a region costs memory in proportion to itself.
func Open(path string) (*File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return zarr.Open(path)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 16)
	n, _ := r.ReadAt(head, 0)
	if sniff(head[:n]) == "TIFF" {
		f, err := tiff.Open(path, r, st.Size())
		if err != nil {
			r.Close()
		}
		return f, err
	}
	r.Close()
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return openRaster(path, data)
}

package imageio

import (
	"bytes"
	"os"
	"strings"

	"unet/unet/imageio/input"
	"unet/unet/imageio/tiff"
	"unet/unet/imageio/zarr"
)

// Open opens an image file, or the folder of an OME-Zarr image or plate, and
// reads what it says about its planes. PNG, JPEG, BMP, GIF and WebP files are
// decoded whole on the first read; TIFF and Zarr are read by strips, tiles or
// chunks, so that a region costs memory in proportion to itself.
//
// Three planes named red, green and blue are one colour plane. A file of an OME
// data set that has several stands for all of it, as does its companion file;
// Members lists the others.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	f.JoinNamedColours()
	return f, nil
}

func open(path string) (*File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		return zarr.Open(path)
	}
	r, err := input.Open(path)
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
	if IsCompanion(path) {
		return tiff.OpenCompanion(path)
	}
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return openRaster(path, data)
}

// CheckSize returns the error of Open for a file that is longer than those of its
// format may be, and nil for all else. It reads some first bytes only.
func CheckSize(path string) error {
	st, err := os.Stat(path)
	if err != nil || st.Size() <= MaxFileBytes || IsCompanion(path) {
		return nil
	}
	f, err := input.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 16)
	n, _ := f.ReadAt(head, 0)
	if sniff(head[:n]) == "TIFF" {
		return nil
	}
	return tooLong(path, st.Size())
}

// IsCompanion reports whether a name is that of a file which describes an OME
// data set of several files.
func IsCompanion(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasSuffix(lower, ".companion.ome") || strings.HasSuffix(lower, ".ome.xml")
}

// MayHaveMembers reports whether the name of a file is one that OME data sets of
// several files have.
func MayHaveMembers(name string) bool {
	lower := strings.ToLower(name)
	return IsCompanion(name) || strings.HasSuffix(lower, ".ome.tif") || strings.HasSuffix(lower, ".ome.tiff") ||
		strings.HasSuffix(lower, ".ome.tf2") || strings.HasSuffix(lower, ".ome.tf8") || strings.HasSuffix(lower, ".ome.btf")
}

// Members returns the other files that belong to the OME data set of a file,
// none where it stands for itself or cannot be read.
func Members(path string) []string {
	f, err := open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	return f.Members
}

// OpenData is Open for a file held in memory; name is used in errors only.
func OpenData(name string, data []byte) (*File, error) {
	if sniff(data) == "TIFF" {
		f, err := tiff.Open(name, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, err
		}
		f.JoinNamedColours()
		return f, nil
	}
	return openRaster(name, data)
}

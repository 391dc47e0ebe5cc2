package serve

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"unet/unet/imageio/input"
	"unet/unet/imageio/tiff"
	"unet/unet/segment"
)

// renameCorrections gives corrections that an earlier version wrote the names of this
// one. They had the name of the image without its extension, unless another image had
// the same then. The labels that are kept with them tell whose they are.
func (s *Server) renameCorrections() error {
	folder := filepath.Join(s.out, "corrections")
	labels := segment.Extension(segment.Labels, false)
	return filepath.WalkDir(folder, func(file string, _ fs.DirEntry, err error) error {
		old, ok := strings.CutSuffix(file, labels)
		if err != nil || !ok {
			return err
		}
		name := filepath.FromSlash(sourceOf(file))
		if name == "" || !filepath.IsLocal(name) || strings.HasPrefix(old, filepath.Join(folder, name)) {
			return nil // as they are named now
		}
		suffix, ok := strings.CutPrefix(old, filepath.Join(folder, segment.Stem(name)))
		now := filepath.Join(folder, name) + suffix
		if !ok || exists(now+labels) {
			return nil
		}
		for _, ext := range correctionExts() {
			if err := os.Rename(old+ext, now+ext); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// correctionExts end the names of the files of corrections. The labels come last:
// they tell whose the others are, and no edit is read without them.
func correctionExts() []string {
	list := []string{".journal", ".numbers.json", ".followed", thumbnailExt}
	for _, format := range segment.Formats {
		for _, banded := range []bool{false, true} {
			if ext := segment.Extension(format, banded); ext != "" && format != segment.Labels {
				list = append(list, ext)
			}
		}
	}
	return append(list, segment.Extension(segment.Labels, false))
}

// sourceOf is the name of the image that labels of ours are of, "" where they do not
// tell.
func sourceOf(labels string) string {
	f, err := input.Open(labels)
	if err != nil {
		return ""
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	text, err := tiff.Description(labels, f, st.Size())
	var origin struct {
		Source string `json:"source"`
	}
	if err != nil || json.Unmarshal([]byte(text), &origin) != nil {
		return ""
	}
	return origin.Source
}

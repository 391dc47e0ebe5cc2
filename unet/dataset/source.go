package dataset

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio/input"
)

// Limits of what a source may hold. They bound memory and time on hostile
// archives and are far above any honest one.
const (
	maxFile    = 512 << 20 // bytes of one unpacked image or mask
	maxFiles   = 4 << 20   // files in a source
	maxInner   = 64 << 30  // bytes of a zip packed inside another zip
	maxDepth   = 32        // folders below a source folder
	maxIDBytes = 150       // bytes of an image's name
)

// file is one file of a source, opened on demand.
type file struct {
	name string // slash-separated, relative to the source
	size int64  // as declared; -1 when unknown
	open func() (io.ReadCloser, error)
}

// item is one image of a source with its annotation files.
type item struct {
	id    string
	image file
	masks []file // one nucleus each, sorted by name
	label *file  // or one label image, or regions
	// classes says that the numbers of the label image are of classes, not nuclei.
	classes bool
}

// Source is an archive or folder of annotated images. Its methods may be
// called from several goroutines at once.
type Source struct {
	name     string
	items    []item
	findings []Finding // about the source as a whole
	closers  []func() error
}

// OpenSource opens a zip in place, or a folder. Both hold either the Kaggle
// layout
//
//	ID/images/ID.png  ID/masks/*.png      one mask file per nucleus
//
// at any depth, or one folder of images beside one of label images with the
// same stems (any format of imageio; pixel value = nucleus number):
//
//	images/NAME.tif   labels/NAME.tif     or masks/NAME.png
//
// or label images beside their images, named as unet predict, Cellpose and others
// name them:
//
//	NAME.png   NAME.labels.tif   or NAME_mask.*, NAME_masks.*, NAME_cp_masks.*
//	           NAME.rois.zip     ImageJ's regions, or NAME.geojson
//	           NAME_seg.npy      Cellpose's, or another array of NumPy
//
// or nnU-Net's folders, the numbers in whose labels are of classes:
//
//	imagesTr/NAME_0000.png   labelsTr/NAME.png
//
// A zip or folder that holds stage1_train.zip (Kaggle's download), or one
// single zip, stands for that zip. Errors about the content are *InputError.
func OpenSource(name string) (*Source, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	s := &Source{name: filepath.Base(name)}
	if st.IsDir() {
		err = s.openFolder(name)
	} else if st.Mode().IsRegular() {
		err = s.openZipFile(name)
	} else {
		err = &InputError{Name: name, Problem: "is neither a file nor a folder", Advice: "give a zip or a folder of images"}
	}
	if err == nil && len(s.items) == 0 {
		err = &InputError{Name: name, Problem: "holds no images in a known layout", Advice: "expected ID/images/ID.png with ID/masks/*.png, images/ beside labels/, nnU-Net's imagesTr/ beside labelsTr/, or X.labels.tif, X_masks.tif, X.rois.zip, X.geojson or X_seg.npy beside X.png"}

	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// NewSource reads a zip of size bytes from r; name stands for it in messages.
func NewSource(name string, r io.ReaderAt, size int64) (*Source, error) {
	s := &Source{name: name}
	err := s.openZip(name, r, size, true)
	if err == nil && len(s.items) == 0 {
		err = &InputError{Name: name, Problem: "holds no images in a known layout", Advice: "expected ID/images/ID.png with ID/masks/*.png"}
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Name is the base name of the archive or folder.
func (s *Source) Name() string { return s.name }

// Len is the number of images.
func (s *Source) Len() int { return len(s.items) }

// IDs lists the images in the order of Read, sorted.
func (s *Source) IDs() []string {
	ids := make([]string, len(s.items))
	for i := range s.items {
		ids[i] = s.items[i].id
	}
	return ids
}

// Close releases the archive.
func (s *Source) Close() error {
	var err error
	for _, c := range slices.Backward(s.closers) {
		err = errors.Join(err, c())
	}
	s.closers = nil
	return err
}

func (s *Source) openZipFile(name string) error {
	f, err := input.Open(name)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, f.Close)
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	return s.openZip(name, f, st.Size(), true)
}

// openZip reads the zip; outer says that it may stand for a zip inside it.
func (s *Source) openZip(name string, r io.ReaderAt, size int64, outer bool) error {
	files, inner, err := listZip(name, r, size)
	if err != nil {
		return err
	}
	files, inner = withRegions(files, inner, func(f *zip.File) file {
		return file{name: f.Name, size: int64(f.UncompressedSize64), open: f.Open}
	})
	if err := s.arrange(name, files); err != nil {
		return err
	}
	if len(s.items) > 0 || !outer {
		return nil
	}
	f, err := chooseInner(name, inner, func(f *zip.File) string { return f.Name })
	if f == nil || err != nil {
		return err
	}
	return s.openInner(name, r, *f)
}

// listZip lists the files of a zip, zips among them apart, and refuses what no
// honest archive holds.
func listZip(name string, r io.ReaderAt, size int64) (files []file, inner []*zip.File, err error) {
	zr, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, nil, &InputError{Name: name, Problem: "is not a readable zip archive: " + strings.TrimPrefix(err.Error(), "zip: "), Advice: "download it again or give a folder"}
	}
	if len(zr.File) > maxFiles {
		return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("holds %d files, more than %d", len(zr.File), maxFiles), Advice: "split it"}
	}
	seen := make(map[string]bool, len(zr.File))
	var packed uint64
	for _, f := range zr.File {
		if f.Mode()&fs.ModeSymlink != 0 {
			return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("entry %q is a symbolic link", f.Name), Advice: "pack the files themselves"}
		}
		if bad := badPath(f.Name); bad != "" {
			return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("entry %q %s", f.Name, bad), Advice: "the archive is damaged or hostile; pack it again"}
		}
		if seen[f.Name] {
			return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("entry %q occurs twice", f.Name), Advice: "the archive is damaged or hostile; pack it again"}
		}
		seen[f.Name] = true
		// Entries that share compressed bytes are the trick of the zip bombs
		// that unpack to terabytes.
		if packed += f.CompressedSize64; packed > uint64(size) {
			return nil, nil, &InputError{Name: name, Problem: "has overlapping entries, as zip bombs have", Advice: "pack it again"}
		}
		if f.FileInfo().IsDir() || ignored(f.Name) {
			continue
		}
		if f.Flags&1 != 0 {
			return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("entry %q is encrypted", f.Name), Advice: "unpack it with the password and give the folder"}
		}
		if strings.EqualFold(path.Ext(f.Name), ".zip") {
			inner = append(inner, f)
			continue
		}
		if f.UncompressedSize64 > maxFile && isImage(f.Name) {
			return nil, nil, &InputError{Name: name, Problem: fmt.Sprintf("entry %q claims %d bytes, more than %d", f.Name, f.UncompressedSize64, maxFile), Advice: "cut the image into smaller ones"}
		}
		files = append(files, file{name: f.Name, size: int64(f.UncompressedSize64), open: f.Open})
	}
	return files, inner, nil
}

// openInner opens a zip stored inside a zip: in place when it is not
// compressed, else from an unpacked temporary copy.
func (s *Source) openInner(name string, r io.ReaderAt, f *zip.File) error {
	if f.UncompressedSize64 > maxInner {
		return &InputError{Name: name, Problem: fmt.Sprintf("inner archive %q claims %d bytes, more than %d", f.Name, f.UncompressedSize64, int64(maxInner)), Advice: "unpack it and give the inner zip"}
	}
	full := name + "/" + f.Name
	if f.Method == zip.Store && f.CompressedSize64 == f.UncompressedSize64 {
		off, err := f.DataOffset()
		if err != nil {
			return &InputError{Name: full, Problem: "cannot be located in its archive: " + err.Error(), Advice: "download it again"}
		}
		n := int64(f.UncompressedSize64)
		return s.openZip(full, io.NewSectionReader(r, off, n), n, false)
	}
	tmp, err := os.CreateTemp("", "unet-*.zip")
	if err != nil {
		return fmt.Errorf("dataset: no room to unpack %s: %w", full, err)
	}
	// Without a name it goes with the process, even a killed one. Where open
	// files cannot be removed, it goes with the source.
	named := os.Remove(tmp.Name()) != nil
	s.closers = append(s.closers, func() error {
		err := tmp.Close()
		if named {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
		return err
	})
	rc, err := f.Open()
	if err != nil {
		return &InputError{Name: full, Problem: "cannot be unpacked: " + err.Error(), Advice: "download it again"}
	}
	defer rc.Close()
	n, err := io.Copy(tmp, io.LimitReader(rc, int64(f.UncompressedSize64)+1)) // to its end, where the checksum is held against it
	if disk := (*fs.PathError)(nil); errors.As(err, &disk) {
		return fmt.Errorf("dataset: unpacking %s: %w", full, err)
	} else if err != nil {
		return &InputError{Name: full, Problem: "cannot be unpacked: " + err.Error(), Advice: "download it again"}
	}
	return s.openZip(full, tmp, n, false)
}

func (s *Source) openFolder(dir string) error {
	files, inner, err := s.listFolder(dir)
	if err != nil {
		return err
	}
	files, inner = withRegions(files, inner, func(p string) file {
		return file{name: p, size: -1, open: func() (io.ReadCloser, error) { return input.Open(filepath.Join(dir, filepath.FromSlash(p))) }}
	})
	if err := s.arrange(dir, files); err != nil {
		return err
	}
	if len(s.items) > 0 {
		for _, name := range inner {
			s.leaveOut(file{name: name}, "is an archive, and named like no image")
		}
		return nil
	}
	z, err := chooseInner(dir, inner, func(p string) string { return p })
	if z == nil || err != nil {
		return err
	}
	return s.openZipFile(filepath.Join(dir, filepath.FromSlash(*z)))
}

// withRegions moves archives that are named like an image, which hold its regions,
// to the files.
func withRegions[T any](files []file, zips []T, of func(T) file) ([]file, []T) {
	images := map[string]bool{}
	for _, f := range files {
		if isImage(f.name) {
			images[stem(f.name)] = true
		}
	}
	var others []T
	for _, z := range zips {
		f := of(z)
		if at, ok := annotates(f.name); ok && images[path.Base(at)] {
			files = append(files, f)
		} else {
			others = append(others, z)
		}
	}
	return files, others
}

// list lists the files of an archive or a folder, to be read until s is closed.
func (s *Source) list(name string) ([]file, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.IsDir() {
		files, _, err := s.listFolder(name)
		return files, err
	}
	f, err := input.Open(name)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, f.Close)
	files, _, err := listZip(name, f, st.Size())
	return files, err
}

// listFolder lists the files below a folder, zips among them apart.
func (s *Source) listFolder(dir string) (files []file, inner []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, err
	}
	s.closers = append(s.closers, root.Close)
	err = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("dataset: %s: %w", dir, err)
		}
		if p == "." {
			return nil
		}
		if ignored(p) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		switch {
		case d.IsDir():
			if strings.Count(p, "/") >= maxDepth {
				return &InputError{Name: dir, Problem: fmt.Sprintf("folder %q lies deeper than %d levels", p, maxDepth), Advice: "give the folder that holds the images"}
			}
		case d.Type()&fs.ModeSymlink != 0:
			return &InputError{Name: filepath.Join(dir, p), Problem: "is a symbolic link", Advice: "copy the files themselves"}
		case !d.Type().IsRegular():
			return &InputError{Name: filepath.Join(dir, p), Problem: "is not a regular file", Advice: "remove it"}
		case strings.EqualFold(path.Ext(p), ".zip"):
			inner = append(inner, p)
		default:
			if len(files) >= maxFiles {
				return &InputError{Name: dir, Problem: fmt.Sprintf("holds more than %d files", maxFiles), Advice: "split it"}
			}
			files = append(files, file{name: p, size: -1, open: func() (io.ReadCloser, error) { return input.OpenIn(root, p) }})
		}
		return nil
	})
	return files, inner, err
}

// chooseInner picks stage1_train.zip, or the only zip there is.
func chooseInner[T any](name string, zips []T, pathOf func(T) string) (*T, error) {
	for i := range zips {
		if strings.EqualFold(path.Base(pathOf(zips[i])), "stage1_train.zip") {
			return &zips[i], nil
		}
	}
	switch len(zips) {
	case 0:
		return nil, nil
	case 1:
		return &zips[0], nil
	}
	return nil, &InputError{Name: name, Problem: fmt.Sprintf("holds %d zip files and none is stage1_train.zip", len(zips)), Advice: "give one of them"}
}

// badPath says why a name in an archive must not be trusted, or "".
func badPath(name string) string {
	switch {
	case name == "":
		return "has no name"
	case strings.HasPrefix(name, "/"), len(name) > 1 && name[1] == ':':
		return "is an absolute path"
	case strings.ContainsRune(name, '\\'):
		return "has a backslash in its name"
	case strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "has control characters in its name"
	case slices.Contains(strings.Split(name, "/"), ".."):
		return "climbs out of its folder"
	case strings.Count(name, "/") > maxDepth:
		return "lies too deep"
	}
	return ""
}

// ignored names are what operating systems leave in folders and archives.
func ignored(name string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(e, ".") && e != "." || e == "__MACOSX" || e == "Thumbs.db" || e == "desktop.ini" {
			return true
		}
	}
	return false
}

func isImage(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp":
		return true
	}
	return false
}

// read returns the whole file, refusing more than it may hold.
func (f file) read() ([]byte, error) {
	rc, err := f.open()
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	limit := int64(maxFile)
	if f.size >= 0 {
		limit = min(limit, f.size)
	}
	// Grown as bytes arrive: a lying header must not cost its claim in memory.
	b, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("holds more than %d bytes", limit)
	}
	return b, nil
}

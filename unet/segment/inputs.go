package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"unet/unet/imageio"
)

// Input is one image file, or OME-Zarr folder, to segment.
type Input struct {
	Path string // to open
	// Name is the path below the argument it came from, with slashes: the
	// image's name in results.
	Name string
	// ID is its name in Kaggle's tables.
	ID string
	// Base is where its outputs go below the output folder: Name without the
	// extension, made unique.
	Base string
	// Members are other files of the same data set.
	Members []string
	Err     error // what makes it unusable already

	span span // of the rows, in a part
}

// imageExtensions are looked for in folders. Files named one by one may have
// any name.
var imageExtensions = []string{".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".btf", ".tf2", ".tf8",
	".svs", ".ndpi", ".qptiff", ".scn", ".bif", ".lsm", ".stk", ".companion.ome"}

// Inputs lists the images that arguments name: files, folders with all below
// them, and patterns. Links are followed; folder skip is left out. Of an OME data
// set of several files one stands for all. Arguments that name nothing become
// inputs with an error.
func Inputs(args []string, skip string) []Input {
	g := gatherer{skip: absolute(skip), seen: map[string]bool{}, folders: map[string]bool{}}
	for _, a := range args {
		g.argument(a)
	}
	g.list = oneOfEachSet(g.list)
	nameOutputs(g.list)
	return g.list
}

type gatherer struct {
	skip    string
	seen    map[string]bool
	folders map[string]bool // walked, by where they really are
	again   bool            // a folder was met again
	list    []Input
}

// oneOfEachSet drops the files that another one stands for: the companion file
// of a data set, or else the first of its files.
func oneOfEachSet(list []Input) []Input {
	member := map[string]bool{}
	for _, companions := range []bool{true, false} {
		for i := range list {
			in := &list[i]
			if in.Err != nil || imageio.IsCompanion(in.Path) != companions || !imageio.MayHaveMembers(in.Path) || member[absolute(in.Path)] {
				continue
			}
			in.Members = imageio.Members(in.Path)
			for _, m := range in.Members {
				member[absolute(m)] = true
			}
		}
	}
	return slices.DeleteFunc(list, func(in Input) bool { return member[absolute(in.Path)] })
}

func (g *gatherer) argument(a string) {
	if _, err := os.Stat(a); err != nil {
		if !strings.ContainsAny(a, "*?[") {
			g.missing(a, err)
			return
		}
		matches, err := filepath.Glob(anyCase(a))
		if err == nil && len(matches) == 0 {
			err = fs.ErrNotExist
		}
		if err != nil {
			g.missing(a, err)
			return
		}
		root := filepath.Dir(a)
		for strings.ContainsAny(root, "*?[") {
			root = filepath.Dir(root)
		}
		for _, m := range matches {
			g.tree(root, m, false)
		}
		return
	}
	root := filepath.Dir(a)
	if st, err := os.Stat(a); err == nil && st.IsDir() && !isZarr(a) {
		root = a
	}
	g.tree(root, a, true)
}

// missing adds an input that cannot be used.
func (g *gatherer) missing(name string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		advice := "check the name"
		if strings.ContainsAny(name, "*?[") {
			advice += "; quote patterns so that the shell leaves them alone"
		}
		err = &InputError{Name: name, Problem: "no such file or folder", Advice: advice, Err: err}
	}
	g.list = append(g.list, Input{Path: name, Name: filepath.ToSlash(filepath.Base(name)), Err: err})
}

// tree adds a file or everything below a folder; names are relative to root.
// A file found by itself, not named, needs a known extension.
func (g *gatherer) tree(root, p string, named bool) {
	found := len(g.list)
	st, err := os.Stat(p)
	switch {
	case err != nil:
		g.add(root, p, err)
	case !st.IsDir():
		if named || IsImage(p) {
			g.add(root, p, nil)
		}
	case isZarr(p):
		g.add(root, p, nil)
	default:
		g.again = false
		g.folder(root, p)
		if named && len(g.list) == found && !g.again {
			err = &InputError{Name: p, Problem: "the folder holds no images", Advice: "known are " + strings.Join(imageExtensions, " ") + " and OME-Zarr", Err: fs.ErrNotExist}
			g.list = append(g.list, Input{Path: p, Name: filepath.ToSlash(filepath.Base(p)), Err: err})
		}
	}
}

// folder adds what is in a folder and below. A folder that links lead to again
// is walked once.
func (g *gatherer) folder(root, p string) {
	real, err := filepath.EvalSymlinks(p)
	if err != nil {
		g.add(root, p, err)
		return
	}
	if real = absolute(real); g.folders[real] {
		g.again = true
		return
	}
	g.folders[real] = true
	entries, err := os.ReadDir(p)
	if err != nil {
		g.add(root, p, err)
	}
	for _, d := range entries {
		q := filepath.Join(p, d.Name())
		folder := d.IsDir()
		if d.Type()&fs.ModeSymlink != 0 {
			st, err := os.Stat(q)
			if err != nil {
				if IsImage(q) {
					g.add(root, q, fmt.Errorf("%s: the link leads nowhere: %w", q, fs.ErrNotExist))
				}
				continue
			}
			folder = st.IsDir()
		}
		switch {
		case !folder:
			if IsImage(q) {
				g.add(root, q, nil)
			}
		case isZarr(q):
			if !isOutput(d.Name()) {
				g.add(root, q, nil)
			}
		case strings.HasPrefix(d.Name(), "."), g.skip != "" && absolute(q) == g.skip:
		case d.Name() == "masks" && isDir(filepath.Join(p, "images")): // Kaggle layout: the truth, not images
		default:
			g.folder(root, q)
		}
	}
}

// IsImage reports whether a file found in a folder is taken for an image, by its
// name.
func IsImage(p string) bool {
	name := strings.ToLower(filepath.Base(p))
	return slices.ContainsFunc(imageExtensions, func(ext string) bool { return strings.HasSuffix(name, ext) }) &&
		!strings.HasPrefix(name, ".") && !isOutput(name)
}

func (g *gatherer) add(root, p string, err error) {
	key := absolute(p)
	if g.seen[key] {
		return
	}
	g.seen[key] = true
	name, rerr := filepath.Rel(root, p)
	if rerr != nil || strings.HasPrefix(name, "..") {
		name = filepath.Base(p)
	}
	g.list = append(g.list, Input{Path: p, Name: filepath.ToSlash(name), Err: err})
}

func absolute(p string) string {
	if p == "" {
		return ""
	}
	if a, err := filepath.Abs(p); err == nil {
		return a
	}
	return p
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

// isZarr reports whether a folder is an OME-Zarr image.
func isZarr(p string) bool {
	if !isDir(p) {
		return false
	}
	for _, f := range []string{".zattrs", "zarr.json", ".zgroup"} {
		if _, err := os.Stat(filepath.Join(p, f)); err == nil {
			return true
		}
	}
	return false
}

// under joins a slash path below the output folder.
func under(out, name string) string { return filepath.Join(out, filepath.FromSlash(name)) }

package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
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
		err = &InputError{Name: name, Problem: "no such file or folder", Advice: "check the name; quote patterns so that the shell leaves them alone", Err: err}
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

// nameOutputs chooses the id and the outputs' base of every input: the name
// without extension; with it where two names differ in nothing else; with
// folders of the path in front, and at last a number, where that is not enough.
// Inputs of the same name get such folders in their names and ids, too.
func nameOutputs(list []Input) {
	candidates := func(in Input) []string {
		all := []string{Stem(in.Name), in.Name}
		for dir := filepath.Dir(in.Path); ; dir = filepath.Dir(dir) {
			part := filepath.Base(dir)
			if part == "." || part == ".." || part == string(filepath.Separator) || filepath.VolumeName(dir) == dir {
				return all
			}
			// Only folders that the name does not hold already.
			if rel := path.Join(part, all[len(all)-1]); !strings.HasPrefix(in.Name, part+"/") {
				all = append(all, rel)
			}
		}
	}
	level := make([]int, len(list))
	for range 64 {
		users := map[string][]int{}
		for i, in := range list {
			c := candidates(in)
			base := c[min(level[i], len(c)-1)]
			if level[i] >= len(c) {
				base = fmt.Sprintf("%s~%d", base, level[i]-len(c)+1)
			}
			list[i].Base = base
			key := strings.ToLower(base) // some file systems ignore case
			users[key] = append(users[key], i)
		}
		clash := false
		for _, u := range users {
			if len(u) == 1 {
				continue
			}
			clash = true
			for k, i := range u {
				if level[i] >= len(candidates(list[i]))-1 {
					level[i] += k // numbers, in order
				} else {
					level[i]++
				}
			}
		}
		if !clash {
			break
		}
	}
	users := map[string]int{}
	for i := range list {
		in := &list[i]
		if level[i] > 1 { // another's name is the same, up to the folders
			in.Name = in.Base
		}
		in.ID = path.Base(Stem(in.Name)) // in Kaggle's layout also the folder's name
		users[in.ID]++
	}
	for i := range list {
		if in := &list[i]; users[in.ID] > 1 {
			in.ID = Stem(in.Name)
		}
	}
}

// othersOutputs end the names, without extension, that Cellpose and ilastik give
// to their results beside the images.
var othersOutputs = []string{"_cp_masks", "_cp_outlines", "_cp_flows",
	"_probabilities", "_simple segmentation", "_object identities", "_object predictions", "_uncertainty"}

// isOutput reports whether a name is one that Run, or another program, gives to
// its results, which are no images when they lie among them.
func isOutput(name string) bool {
	name = strings.ToLower(name)
	for _, ext := range extensions {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	if strings.HasSuffix(name, thumbnailExt) || strings.HasSuffix(name, ".mask.tif") || strings.Contains(name, ".prob-") && strings.HasSuffix(name, ".tif") {
		return true
	}
	stem := strings.TrimSuffix(name, path.Ext(name))
	return slices.ContainsFunc(othersOutputs, func(end string) bool { return strings.HasSuffix(stem, end) })
}

// Stem is a name without its extension, .ome included.
func Stem(name string) string {
	s := strings.TrimSuffix(name, path.Ext(name))
	if strings.EqualFold(path.Ext(s), ".ome") {
		s = strings.TrimSuffix(s, path.Ext(s))
	}
	if path.Base(s) == "." || s == "" || strings.HasSuffix(s, "/") {
		return name
	}
	return s
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

package dataset

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// folder collects the files of one folder that holds images/, masks/, labels/.
type folder struct {
	images, masks, labels []file
}

// arrange finds the images and their annotations among the files.
func (s *Source) arrange(name string, files []file) error {
	folders := map[string]*folder{}
	other := 0
	var loose []file
	for _, f := range files {
		dir := path.Dir(f.name)
		parent := path.Dir(dir)
		part := strings.ToLower(path.Base(dir))
		if !isImage(f.name) || part != "images" && part != "masks" && part != "labels" {
			loose = append(loose, f)
			continue
		}
		d := folders[parent]
		if d == nil {
			d = &folder{}
			folders[parent] = d
		}
		switch part {
		case "images":
			d.images = append(d.images, f)
		case "masks":
			d.masks = append(d.masks, f)
		case "labels":
			d.labels = append(d.labels, f)
		}
	}
	// One folder of images keeps its plain stems as names; several need their
	// path to stay distinct.
	several := 0
	for _, d := range folders {
		if len(d.images) > 0 {
			several++
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(folders)) {
		d := folders[parent]
		switch {
		case len(d.images) == 0:
			other += len(d.masks) + len(d.labels)
		case isKaggle(parent, d):
			slices.SortFunc(d.masks, func(a, b file) int { return strings.Compare(a.name, b.name) })
			id := path.Base(parent)
			if parent == "." {
				id = stem(d.images[0].name)
			}
			s.items = append(s.items, item{id: id, image: d.images[0], masks: d.masks})
		default:
			prefix := ""
			if several > 1 && parent != "." {
				prefix = strings.ReplaceAll(parent, "/", "_") + "_"
			}
			n, err := s.addPairs(name, prefix, d)
			if err != nil {
				return err
			}
			other += n
		}
	}
	other += s.addBeside(loose)
	slices.SortFunc(s.items, func(a, b item) int { return strings.Compare(a.id, b.id) })
	seen := map[string]string{}
	for _, it := range s.items {
		if bad := badID(it.id); bad != "" {
			return &InputError{name, fmt.Sprintf("image name %q %s", it.id, bad), "rename it"}
		}
		// File systems that ignore case would mix the two up.
		key := strings.ToLower(it.id)
		if at, ok := seen[key]; ok {
			return &InputError{name, fmt.Sprintf("%q and %q would get the same name %q", at, it.image.name, it.id), "rename one"}
		}
		seen[key] = it.image.name
	}
	if other > 0 && len(s.items) > 0 {
		s.findings = append(s.findings, Finding{Info, "", "", "other-files",
			fmt.Sprintf("%d files belong to no image and were not read", other)})
	}
	return nil
}

// isKaggle tells a folder of one image and its masks from a folder of images
// beside a folder of label images.
func isKaggle(parent string, d *folder) bool {
	if len(d.images) != 1 || len(d.labels) > 0 {
		return false
	}
	st := stem(d.images[0].name)
	if path.Base(parent) == st {
		return true
	}
	return len(d.masks) > 0 && !slices.ContainsFunc(d.masks, func(m file) bool { return stem(m.name) == st })
}

// addPairs adds images with label images of the same stem and returns how many
// annotation files have no image.
func (s *Source) addPairs(name, prefix string, d *folder) (unused int, err error) {
	labels := map[string]file{}
	// labels/ comes last and wins over masks/.
	for _, f := range slices.Concat(d.masks, d.labels) {
		st := stem(f.name)
		if old, ok := labels[st]; ok && path.Dir(old.name) == path.Dir(f.name) {
			return 0, &InputError{name, fmt.Sprintf("%q and %q both annotate %q", old.name, f.name, st), "keep one"}
		}
		labels[st] = f
	}
	for _, f := range d.images { // labels/X.labels.tif is of images/X.png, too
		for _, end := range labelEnds {
			if l, ok := labels[stem(f.name)+end]; ok && labels[stem(f.name)].name == "" {
				labels[stem(f.name)] = l
				delete(labels, stem(f.name)+end)
			}
		}
	}
	used := 0
	for _, f := range d.images {
		it := item{id: prefix + stem(f.name), image: f}
		if l, ok := labels[stem(f.name)]; ok {
			it.label = &l
			used++
		}
		s.items = append(s.items, it)
	}
	return len(labels) - used, nil
}

// labelEnds end the names, without extension, of label images that lie beside
// their images: ours, CellProfiler's and others', and Cellpose's.
var labelEnds = []string{".labels", "_cp_masks", "_masks", "_mask", "_labels", "_label"}

// addBeside adds images with label images beside them, X.png and X.labels.tif,
// and returns how many files belong to no image. Images of a folder in which some
// have label images, and which have none themselves, are named in findings.
func (s *Source) addBeside(files []file) (other int) {
	images := map[string]file{} // by path without extension
	labels := map[string]file{}
	for _, f := range files {
		at := strings.TrimSuffix(f.name, path.Ext(f.name))
		of, isLabel := "", false
		for _, end := range labelEnds {
			if of, isLabel = strings.CutSuffix(at, end); isLabel {
				break
			}
		}
		switch {
		case !isImage(f.name):
			other++
		case isLabel:
			if old, ok := labels[of]; ok {
				s.leaveOut(f, "annotates the same image as "+path.Base(old.name))
				continue
			}
			labels[of] = f
		default:
			if old, ok := images[at]; ok {
				s.leaveOut(f, "has the same name as "+path.Base(old.name))
				continue
			}
			images[at] = f
		}
	}
	folders := map[string]bool{}
	for at := range labels {
		if _, ok := images[at]; ok {
			folders[path.Dir(at)] = true
		}
	}
	for _, at := range slices.Sorted(maps.Keys(images)) {
		l, ok := labels[at]
		switch {
		case ok:
			id := path.Base(at)
			if len(folders) > 1 {
				id = strings.ReplaceAll(at, "/", "_")
			}
			s.items = append(s.items, item{id: id, image: images[at], label: &l})
			delete(labels, at)
		case folders[path.Dir(at)]:
			s.leaveOut(images[at], "has no label image beside it, such as "+path.Base(at)+".labels.tif")
		default:
			other++
		}
	}
	for _, at := range slices.Sorted(maps.Keys(labels)) {
		if len(folders) > 0 {
			s.leaveOut(labels[at], "is of no image beside it")
		} else {
			other++
		}
	}
	return other
}

// leaveOut names a file that is not read.
func (s *Source) leaveOut(f file, why string) {
	s.findings = append(s.findings, Finding{Info, "", f.name, "left-out", why})
}

func stem(name string) string {
	b := path.Base(name)
	return strings.TrimSuffix(b, path.Ext(b))
}

// badID says why a name cannot name files on every system, or "".
func badID(id string) string {
	switch {
	case id == "" || strings.Trim(id, ". ") == "":
		return "is empty"
	case len(id) > maxIDBytes:
		return fmt.Sprintf("is longer than %d bytes", maxIDBytes)
	case strings.ContainsAny(id, `/\:*?"<>|`), strings.IndexFunc(id, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0:
		return "has characters that file names cannot hold"
	}
	return ""
}

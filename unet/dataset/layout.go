package dataset

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// folder collects the files of one folder that holds images/, masks/, labels/.
type folder struct {
	images, masks, labels []file
	// nnunet says that they are imagesTr, labelsTr: one file for each channel of an
	// image, and labels of classes.
	nnunet bool
}

// partOf tells what a folder of that name holds: images, masks, labels or, "",
// anything; nnunet says that it is named as nnU-Net does.
func partOf(name string) (part string, nnunet bool) {
	switch part = strings.ToLower(name); part {
	case "images", "masks", "labels":
		return part, false
	case "imagestr", "imagests":
		return "images", true
	case "labelstr", "labelsts":
		return "labels", true
	}
	return "", false
}

// nnunetChannel ends the names of nnU-Net's images: the number of the channel.
var nnunetChannel = regexp.MustCompile(`_(\d{4})$`)

// arrange finds the images and their annotations among the files.
func (s *Source) arrange(name string, files []file) error {
	folders := map[string]*folder{}
	var loose []file
	for _, f := range files {
		dir := path.Dir(f.name)
		parent := path.Dir(dir)
		part, nnunet := partOf(path.Base(dir))
		if part == "" || !isImage(f.name) && (part == "images" || !isRegions(f.name)) {
			loose = append(loose, f)
			continue
		}
		d := folders[parent]
		if d == nil {
			d = &folder{}
			folders[parent] = d
		}
		d.nnunet = d.nnunet || nnunet
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
			for _, f := range slices.Concat(d.masks, d.labels) {
				s.leaveOut(f, "has no folder images beside its own")
			}
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
			if err := s.addPairs(name, prefix, d); err != nil {
				return err
			}
		}
	}
	s.addBeside(loose)
	slices.SortFunc(s.items, func(a, b item) int { return strings.Compare(a.id, b.id) })
	seen := map[string]string{}
	for _, it := range s.items {
		if bad := badID(it.id); bad != "" {
			return &InputError{Name: name, Problem: fmt.Sprintf("image name %q %s", it.id, bad), Advice: "rename it"}
		}
		// File systems that ignore case would mix the two up.
		key := strings.ToLower(it.id)
		if at, ok := seen[key]; ok {
			return &InputError{Name: name, Problem: fmt.Sprintf("%q and %q would get the same name %q", at, it.image.name, it.id), Advice: "rename one"}
		}
		seen[key] = it.image.name
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

// addPairs adds images with annotations of the same stem, and names annotations
// without an image in findings.
func (s *Source) addPairs(name, prefix string, d *folder) error {
	labels, used := map[string]file{}, map[string]bool{}
	// labels/ comes last and wins over masks/.
	for _, f := range slices.Concat(d.masks, d.labels) {
		st := stem(f.name)
		if old, ok := labels[st]; ok && path.Dir(old.name) == path.Dir(f.name) {
			return &InputError{Name: name, Problem: fmt.Sprintf("%q and %q both annotate %q", old.name, f.name, st), Advice: "keep one"}
		}
		labels[st] = f
	}
	for _, f := range d.images { // labels/X.labels.tif is of images/X.png, too
		for _, end := range slices.Concat(labelEnds, regionEnds) {
			if l, ok := labels[stem(f.name)+end]; ok && labels[stem(f.name)].name == "" {
				labels[stem(f.name)] = l
				delete(labels, stem(f.name)+end)
			}
		}
	}
	for _, f := range d.images {
		st := stem(f.name)
		if m := nnunetChannel.FindStringSubmatch(st); d.nnunet && m != nil {
			if m[1] != "0000" {
				s.leaveOut(f, "is a further channel; only the first, _0000, is searched for nuclei")
				continue
			}
			st = strings.TrimSuffix(st, m[0])
		}
		it := item{id: prefix + st, image: f, classes: d.nnunet}
		if l, ok := labels[st]; ok {
			it.label = &l
			used[l.name] = true
		}
		s.items = append(s.items, it)
	}
	for _, f := range slices.Concat(d.masks, d.labels) {
		if !used[f.name] {
			s.leaveOut(f, "is of no image in the folder images, or another file annotates it")
		}
	}
	return nil
}

// regionEnds end the names, without extension, of files of regions (.zip, .geojson)
// and of NumPy (.npy) that lie beside their images: ours, ImageJ's and Cellpose's;
// "" is X.geojson beside X.png.
var regionEnds = []string{".rois", "_rois", "_roi", "_roiset", ".labels", "_cp_masks", "_masks", "_mask", "_seg", ""}

// isRegions reports whether a file may hold annotations that are no label image.
func isRegions(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".roi", ".geojson", ".npy":
		return true
	case ".gz":
		return strings.HasSuffix(strings.ToLower(name), ".geojson.gz")
	}
	return false
}

// labelEnds end the names, without extension, of label images that lie beside
// their images: ours, CellProfiler's and others', and Cellpose's.
var labelEnds = []string{".labels", "_cp_masks", "_masks", "_mask", "_labels", "_label"}

// addBeside adds images with annotations beside them, X.png and X.labels.tif, and
// names the other files in findings.
func (s *Source) addBeside(files []file) {
	var others []file
	images := map[string]file{} // by path without extension
	labels := map[string]file{}
	for _, f := range files {
		of, isLabel := annotates(f.name)
		at := strings.TrimSuffix(f.name, path.Ext(f.name))
		switch {
		case !isLabel && !isImage(f.name):
			others = append(others, f)
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
			s.leaveOut(images[at], "has no label image or regions beside it, such as "+path.Base(at)+".labels.tif")
		default:
			s.leaveOut(images[at], "has no annotation")
		}
	}
	for _, at := range slices.Sorted(maps.Keys(labels)) {
		s.leaveOut(labels[at], "is of no image beside it")
	}
	for _, f := range others {
		s.leaveOut(f, "is neither an image nor an annotation")
	}
}

// annotates returns what an annotation beside its image is of, by its name without
// extension.
func annotates(name string) (of string, ok bool) {
	at := strings.TrimSuffix(name, path.Ext(name))
	ends := labelEnds
	switch {
	case isRegions(name):
		ends = regionEnds
		if strings.EqualFold(path.Ext(name), ".gz") {
			at = strings.TrimSuffix(at, path.Ext(at))
		}
	case !isImage(name):
		return "", false
	}
	for _, end := range ends {
		if len(at) >= len(end) && strings.EqualFold(at[len(at)-len(end):], end) {
			return at[:len(at)-len(end)], true
		}
	}
	return "", false
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

package segment

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// nameOutputs chooses the id and the outputs' base of every input: the name
// without extension; with it where two names differ in nothing else; with
// folders of the path in front, and at last a number, where that is not enough, as
// of names that differ in case alone.
// Inputs of the same name get such folders in their names and ids, too.
func nameOutputs(list []Input) {
	distinctBases(list)
	users := map[string]int{}
	for i := range list {
		in := &list[i]
		in.ID = path.Base(Stem(in.Name)) // in Kaggle's layout also the folder's name
		users[in.ID]++
	}
	for i := range list {
		if in := &list[i]; users[in.ID] > 1 {
			in.ID = Stem(in.Name)
		}
	}
}

// distinctBases gives every input a base that no other has, the first of its
// candidates that will do. Inputs that clash take the next ones together, so that
// neither has the plain name. Those whose name is the same up to the folders get
// the base for a name.
func distinctBases(list []Input) {
	level, number := make([]int, len(list)), make([]int, len(list))
	for range 64 {
		users := map[string][]int{}
		for i, in := range list {
			c := baseCandidates(in)
			list[i].Base = c[level[i]]
			if number[i] > 0 {
				list[i].Base += fmt.Sprintf("~%d", number[i])
			}
			key := strings.ToLower(list[i].Base) // some file systems ignore case
			users[key] = append(users[key], i)
		}
		clash := false
		for _, u := range users {
			if len(u) == 1 {
				continue
			}
			clash = true
			twins := caseTwins(list, u)
			for k, i := range u {
				if twins || level[i] == len(baseCandidates(list[i]))-1 {
					number[i] += k // in order
				} else {
					level[i]++
				}
			}
		}
		if !clash {
			break
		}
	}
	taken := map[string]bool{}
	for i := range list {
		in := &list[i]
		if level[i] > 1 { // another's name is the same, up to the folders
			in.Name = baseCandidates(*in)[level[i]]
		}
		if taken[in.Name] {
			in.Name = in.Base
		}
		taken[in.Name] = true
	}
}

// caseTwins reports whether inputs of equal bases differ in nothing but the case of
// their paths: folders in front would not tell them apart.
func caseTwins(list []Input, users []int) bool {
	bases := map[string]bool{}
	for _, i := range users {
		bases[list[i].Base] = true
		if !strings.EqualFold(list[i].Path, list[users[0]].Path) {
			return false
		}
	}
	return len(bases) == len(users)
}

// baseCandidates are the bases an input may have, the best first.
func baseCandidates(in Input) []string {
	all := []string{Stem(in.Name), in.Name}
	for dir := filepath.Dir(in.Path); ; dir = filepath.Dir(dir) {
		part := filepath.Base(dir)
		if part == "." || part == ".." || part == string(filepath.Separator) || filepath.VolumeName(dir) == dir {
			return all
		}
		// Only folders that the name does not hold already.
		if !strings.HasPrefix(in.Name, part+"/") {
			all = append(all, path.Join(part, all[len(all)-1]))
		}
	}
}

// FormatOf is the format of a result by its name, "" of another file.
func FormatOf(name string) string {
	for format, ext := range extensions {
		if strings.HasSuffix(name, ext) {
			return format
		}
	}
	switch {
	case strings.HasSuffix(name, bandMaskExt):
		return Mask
	case strings.Contains(name, ".zarr/labels/"):
		return Zarr
	case strings.Contains(name, ".prob-") && strings.HasSuffix(name, ".tif"):
		return Prob
	}
	return ""
}

// base is that of the names of the plane's results, "" where it is not known.
func (p *PlaneRecord) base() string {
	if p.Thumbnail == nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(p.Thumbnail.File, thumbnailDir+"/"), thumbnailExt)
}

// Output is the name of the plane's result of a format, "" if there is none.
func (p *PlaneRecord) Output(format string) string {
	for _, name := range p.Outputs {
		if FormatOf(name) == format {
			return name
		}
	}
	return ""
}

// othersOutputs end the names, without extension, that Cellpose and ilastik give
// to their results beside the images.
var othersOutputs = []string{"_cp_masks", "_cp_outlines", "_cp_flows",
	"_probabilities", "_simple segmentation", "_object identities", "_object predictions", "_uncertainty"}

// isOutput reports whether a name is one that Run, or another program, gives to
// its results, which are no images when they lie among them.
func isOutput(name string) bool {
	name = strings.ToLower(name)
	if FormatOf(name) != "" || strings.HasSuffix(name, thumbnailExt) {
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

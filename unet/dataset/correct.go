package dataset

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Join adds the images of another archive or folder.
func (s *Source) Join(name string) error {
	other, err := OpenSource(name)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, other.Close)
	s.name += "+" + other.name
	s.items = append(s.items, other.items...)
	s.findings = append(s.findings, other.findings...)
	slices.SortFunc(s.items, func(a, b item) int { return strings.Compare(a.id, b.id) })
	seen := map[string]bool{} // by names that differ in more than case, as files do on Windows and macOS
	for _, it := range s.items {
		id := strings.ToLower(it.id)
		if seen[id] {
			return &InputError{Name: name, Problem: fmt.Sprintf("has an image %q, and another source has one of that name, too", it.id), Advice: "leave one out, or rename it"}
		}
		seen[id] = true
	}
	return nil
}

// removedCode is the code of findings on images that corrections remove.
const removedCode = "removed"

// Correct replaces labels by better ones, from a zip or folder in Kaggle's
// layout without the images: the masks ID/masks/*.png replace all masks of the
// image ID. Images that a file removed.txt names, one a line, are left out.
func (s *Source) Correct(name string) error {
	c := &Source{}
	files, err := c.list(name)
	s.closers = append(s.closers, c.Close)
	if err != nil {
		return err
	}
	masks := map[string][]file{}
	removed := map[string]bool{}
	for _, f := range files {
		dir := path.Dir(f.name)
		switch {
		case path.Base(f.name) == "removed.txt":
			b, err := f.read()
			if err != nil {
				return &InputError{Name: name, Problem: f.name + ": " + oneLine(err), Advice: "pack it again"}
			}
			for l := bufio.NewScanner(bytes.NewReader(b)); l.Scan(); {
				if id := strings.TrimSpace(l.Text()); id != "" {
					removed[id] = true
				}
			}
		case isImage(f.name) && strings.EqualFold(path.Base(dir), "masks"):
			id := path.Base(path.Dir(dir))
			masks[id] = append(masks[id], f)
		}
	}
	if len(masks)+len(removed) == 0 {
		return &InputError{Name: name, Problem: "holds no corrections", Advice: "expected ID/masks/*.png, or removed.txt with names of images"}
	}
	s.name += "+" + path.Base(name)
	corrected, left := 0, s.items[:0]
	for _, it := range s.items {
		if m := masks[it.id]; m != nil {
			slices.SortFunc(m, func(a, b file) int { return strings.Compare(a.name, b.name) })
			it.masks, it.label = m, nil
			corrected++
			delete(masks, it.id)
		}
		if removed[it.id] {
			delete(removed, it.id)
			s.findings = append(s.findings, Finding{Info, it.id, "", removedCode, "left out, as " + path.Base(name) + " says"})
			continue
		}
		left = append(left, it)
	}
	s.items = left
	s.findings = append(s.findings, Finding{Info, "", "", "corrected", fmt.Sprintf("the labels of %d images were replaced by those of %s", corrected, path.Base(name))})
	for _, id := range slices.Sorted(maps.Keys(masks)) {
		s.findings = append(s.findings, Finding{Info, id, "", "unknown-correction", "is corrected in " + path.Base(name) + ", but there is no such image"})
	}
	for _, id := range slices.Sorted(maps.Keys(removed)) {
		s.findings = append(s.findings, Finding{Info, id, "", "unknown-correction", "is left out by " + path.Base(name) + ", but there is no such image"})
	}
	if len(s.items) == 0 {
		return &InputError{Name: name, Problem: "leaves no image", Advice: "see removed.txt in it"}
	}
	return nil
}

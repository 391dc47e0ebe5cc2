package dataset

import (
	"context"
	"fmt"
	"path/filepath"

	"unet/unet/imageio"
)

// Set is a prepared set on disk. Its methods may be called from several
// goroutines at once.
type Set struct {
	Dir     string
	Meta    *Metadata
	Entries []Entry // sorted by ID
}

// Open reads the metadata of a folder made by Prepare.
func Open(dir string) (*Set, error) {
	m, err := readMetadata(dir)
	if err != nil {
		return nil, err
	}
	return &Set{Dir: dir, Meta: m, Entries: m.Entries}, nil
}

// Split lists the numbers of the entries of one split, in order.
func (s *Set) Split(name string) []int {
	var is []int
	for i, e := range s.Entries {
		if e.Split == name {
			is = append(is, i)
		}
	}
	return is
}

// Load reads entry i.
func (s *Set) Load(i int) (*Sample, error) {
	e := &s.Entries[i]
	name := filepath.Join(s.Dir, e.imageFile())
	img, err := imageio.Read(name)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	labels, err := imageio.ReadLabels(filepath.Join(s.Dir, e.labelFile()))
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	if img.W != e.W || img.H != e.H || labels.W != e.W || labels.H != e.H {
		return nil, &InputError{Name: name, Problem: fmt.Sprintf("image %dx%d and labels %dx%d are not of the %dx%d that metadata.json says", img.W, img.H, labels.W, labels.H, e.W, e.H), Advice: "prepare the set again"}
	}
	if n := compact(labels); n != e.Nuclei {
		return nil, &InputError{Name: name, Problem: fmt.Sprintf("its labels hold %d nuclei, metadata.json says %d", n, e.Nuclei), Advice: "prepare the set again"}
	}
	return &Sample{ID: e.ID, Kind: e.Kind, Group: e.Group, Source: e.Source, Split: e.Split, Image: img.Gray(), Labels: labels}, nil
}

// verify checks that every stored file has the digest that metadata.json says.
func (s *Set) verify(ctx context.Context) error {
	return parallel(ctx, len(s.Entries), func(i int) error {
		e := &s.Entries[i]
		d, err := digestFiles(filepath.Join(s.Dir, e.imageFile()), filepath.Join(s.Dir, e.labelFile()))
		if err != nil {
			return &InputError{Name: s.Dir, Problem: "is incomplete: " + oneLine(err), Advice: "prepare it again", Option: "force"}
		}
		if d != e.Outputs {
			return &InputError{Name: s.Dir, Problem: fmt.Sprintf("was changed since it was prepared: %s differs", e.ID), Advice: "prepare it again", Option: "force"}
		}
		return nil
	})
}

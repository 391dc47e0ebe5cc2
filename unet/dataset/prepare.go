package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/owned"
)

// Options of Prepare.
type Options struct {
	// Size is the width and height of the prepared images; 0 keeps the
	// images' own sizes.
	Size int
	// Seed of the split.
	Seed uint64
	// Fractions of the split; the zero value means DefaultFractions.
	Fractions Fractions
	// Strict refuses to prepare when there is any finding of level warning or
	// error.
	Strict bool
	// Fix applies Fix to the labels.
	Fix bool
	// Sources says which source images come from, by ID, see ReadSources; the
	// others are told by rules.
	Sources map[string]string
	// Force replaces a set prepared from other input or with other settings.
	Force bool
	// Progress, unless nil, is called after each image, by one goroutine at a
	// time.
	Progress func(done, total int)
}

// maxSize bounds Options.Size.
const maxSize = 8192

// ErrUnchanged says that the folder already holds the set asked for; nothing
// was written.
var ErrUnchanged = errors.New("already prepared from the same input with the same settings; nothing changed")

// Prepare writes the set to folder out, which appears whole or not at all:
//
//	images/ID.png   8- or 16-bit gray or RGB
//	labels/ID.png   8- or 16-bit label images (ID.tif above 65535 nuclei)
//	metadata.json   see Metadata
//	README.md       what this is
//
// Images with findings of level error are left out. The bytes depend on the
// source and the options only, not on threads or time. When out already holds
// this very set, its metadata and ErrUnchanged are returned; when it holds
// another, an error, unless Force. With Strict the metadata comes with the
// error, for its findings.
func Prepare(ctx context.Context, src *Source, out string, o Options) (*Metadata, error) {
	if o.Fractions == (Fractions{}) {
		o.Fractions = DefaultFractions
	}
	if err := o.Fractions.check(); err != nil {
		return nil, err
	}
	if o.Size < 0 || o.Size > maxSize {
		return nil, fmt.Errorf("size %d: must be 1..%d, or 0 for the images' own", o.Size, maxSize)
	}
	set := Settings{Size: o.Size, Seed: o.Seed, Fractions: o.Fractions, Fix: o.Fix, Sources: sourcesDigest(o.Sources)}
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(out)), 0o755); err != nil {
		return nil, err
	}
	unlock, err := atomicfile.Lock(filepath.Clean(out))
	if errors.Is(err, atomicfile.ErrLocked) {
		return nil, &InputError{Name: out, Problem: "is being prepared by another process", Advice: "wait for it to end, or choose another folder"}
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: cannot write beside %s: %w", out, err)
	}
	defer unlock()
	old, err := existing(ctx, src, out, set, o)
	if err != nil {
		return old, err
	}

	tmp, err := temporary(out)
	if err != nil {
		return nil, err
	}
	defer tmp.Release()
	m, err := write(ctx, src, tmp.Name(), set, o)
	if err != nil {
		return m, err
	}
	if err := publish(tmp, out, old != nil); err != nil {
		return nil, err
	}
	return m, nil
}

// existing looks at what out holds: it returns ErrUnchanged with the metadata
// when it is the set asked for, the metadata alone when it may be replaced.
func existing(ctx context.Context, src *Source, out string, set Settings, o Options) (*Metadata, error) {
	refuse := func(problem, advice, option string) error {
		return &owned.RefusedError{Name: out, Problem: problem, Advice: advice, Option: option}
	}
	names, err := os.ReadDir(out)
	if _, link := os.Readlink(out); link == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, refuse("is a link that leads nowhere", "choose another folder", "")
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(names) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, refuse("is not a folder", "choose another output", "")
	}
	old, err := readMetadata(out)
	if err != nil {
		return nil, refuse("exists, and is not a prepared set", "choose another folder", "")
	}
	if o.Force {
		return old, old.alone(out)
	}
	if old.Settings != set {
		return nil, refuse("was prepared with other settings", "choose another folder, or have it replaced", "force")
	}
	sum, err := src.digest(ctx)
	if err != nil {
		return nil, err
	}
	if sum != old.Source.SHA256 {
		return nil, refuse("was prepared from other input", "choose another folder, or have it replaced", "force")
	}
	s := &Set{Dir: out, Meta: old, Entries: old.Entries}
	if err := s.verify(ctx); err != nil {
		return nil, err
	}
	if o.Strict {
		if err := strict(src, old); err != nil {
			return old, err
		}
	}
	return old, ErrUnchanged
}

// alone refuses to replace a folder that holds other files than those of the set.
func (m *Metadata) alone(dir string) error {
	known := map[string]bool{"README.md": true, "metadata.json": true}
	for i := range m.Entries {
		e := &m.Entries[i]
		known[filepath.ToSlash(e.imageFile())], known[filepath.ToSlash(e.labelFile())] = true, true
	}
	strangers, err := owned.Strangers(dir, known, 1)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	if len(strangers) > 0 {
		return &owned.RefusedError{Name: filepath.Join(dir, filepath.FromSlash(strangers[0])),
			Problem: "is not of the set, and would be lost with it", Advice: "move it elsewhere, or choose another folder"}
	}
	return nil
}

// strict turns findings into an error.
func strict(src *Source, m *Metadata) error {
	bad := 0
	for _, f := range m.Findings {
		if f.Level != Info {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return &InputError{Name: src.Name(), Problem: fmt.Sprintf("no findings are allowed, and it has %d", bad), Advice: "repair the files, or let them be repaired", Option: "fix"}
}

// write fills the folder tmp with the set.
func write(ctx context.Context, src *Source, tmp string, set Settings, o Options) (*Metadata, error) {
	for _, d := range []string{"images", "labels"} {
		if err := os.Mkdir(filepath.Join(tmp, d), 0o755); err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
	}
	type stored struct {
		w, h, nuclei int
		outputs      Digests
		notes        []Finding
	}
	var mu sync.Mutex
	files := map[string]stored{}
	m, err := src.inspect(ctx, tmp, o.Fix, o.Progress, func(_ int, s *Sample) error {
		e, notes, err := store(tmp, s, o.Size)
		if err != nil {
			return err
		}
		mu.Lock()
		files[s.ID] = stored{e.W, e.H, e.Nuclei, e.Outputs, notes}
		mu.Unlock()
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(m.Entries) == 0 {
		return m, &InputError{Name: src.Name(), Problem: "has no usable image", Advice: "see the findings"}
	}
	if o.Strict {
		if err := strict(src, m); err != nil {
			return m, err
		}
	}
	m.Settings = set
	m.applySources(o.Sources)
	members := make([]member, len(m.Entries))
	for i, e := range m.Entries {
		members[i] = member{e.ID, e.Kind, e.Group}
	}
	splits, err := splitMembers(members, o.Fractions, o.Seed)
	if err != nil {
		return nil, err
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		f := files[e.ID]
		e.Split = splits[e.ID]
		e.W, e.H, e.Nuclei, e.Outputs = f.w, f.h, f.nuclei, f.outputs
		m.Findings = append(m.Findings, f.notes...)
	}
	m.count(m.Counts.LeftOut)
	m.Findings = append(m.Findings, m.missingKinds(o.Fractions)...)
	m.count(m.Counts.LeftOut) // with these
	if err := writeFile(filepath.Join(tmp, "README.md"), []byte(readme(m))); err != nil {
		return nil, err
	}
	// Last, since it makes the folder a set.
	return m, atomicfile.WriteFile(filepath.Join(tmp, "metadata.json"), func(w io.Writer) error { return owned.EncodeJSON(w, m, " ") })
}

// missingKinds tells of which kinds of images a split that is to have some has none.
func (m *Metadata) missingKinds(f Fractions) (list []Finding) {
	share := map[string]float64{Train: f.Train, Val: f.Val, Test: f.Test}
	for _, kind := range Kinds {
		var without []string
		for _, split := range splitNames {
			if m.Counts.Kinds[kind] > 0 && share[split] > 0 && m.Counts.Table[kind][split] == 0 {
				without = append(without, split)
			}
		}
		if len(without) > 0 {
			list = append(list, Finding{Info, "", "", "missing-kind", fmt.Sprintf("no image of kind %s is in %s", kind, strings.Join(without, " or "))})
		}
	}
	return list
}

// store writes the sample's two files, resized, and returns what they hold.
func store(dir string, s *Sample, size int) (*Entry, []Finding, error) {
	w, h := s.Image.W, s.Image.H
	if size > 0 {
		w, h = size, size
	}
	var notes []Finding
	pic, scaled := toPicture(s.Image)
	if scaled {
		lo, hi := sampleRange(s.Image)
		notes = append(notes, Finding{Info, s.ID, "", "rescaled", fmt.Sprintf("samples from %g to %g were stored as 16 bits", lo, hi)})
	}
	labels := resizeLabels(s.Labels, w, h)
	before := int(s.Labels.Max())
	if labels == s.Labels {
		labels = &imageio.Labels{W: w, H: h, ID: append([]uint32(nil), labels.ID...)}
	}
	e := &Entry{ID: s.ID, W: w, H: h, Nuclei: compact(labels)}
	if lost := before - e.Nuclei; lost > 0 {
		notes = append(notes, Finding{Info, s.ID, "", "lost-nuclei", fmt.Sprintf("%d of %d nuclei are too small to survive at %dx%d", lost, before, w, h)})
	}
	img, lab := filepath.Join(dir, e.imageFile()), filepath.Join(dir, e.labelFile())
	if err := imageio.WritePNG(img, resizePicture(pic, w, h)); err != nil {
		return nil, nil, err
	}
	if err := imageio.WriteLabels(lab, labels); err != nil {
		return nil, nil, err
	}
	var err error
	e.Outputs, err = digestFiles(img, lab)
	return e, notes, err
}

// digestFiles hashes a stored image and its labels.
func digestFiles(img, lab string) (Digests, error) {
	var d Digests
	for _, f := range []struct {
		name string
		sum  *string
	}{{img, &d.Image}, {lab, &d.Masks}} {
		b, err := os.ReadFile(f.name)
		if err != nil {
			return d, fmt.Errorf("dataset: %w", err)
		}
		*f.sum = hexSum(b)
	}
	return d, nil
}

func writeFile(name string, b []byte) error {
	return atomicfile.WriteFile(name, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// publish renames tmp to out; replace moves an older set away first and
// removes it afterwards.
func publish(tmp *atomicfile.Folder, out string, replace bool) error {
	if err := os.Chmod(tmp.Name(), 0o755); err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	if !replace {
		// An empty folder may stand in the way.
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("dataset: %w", err)
		}
		if err := tmp.Rename(out); err != nil {
			return fmt.Errorf("dataset: %w", err)
		}
		syncFolder(filepath.Dir(out))
		return nil
	}
	beside, err := temporary(out)
	if err != nil {
		return err
	}
	defer beside.Release()
	away := filepath.Join(beside.Name(), "old")
	if err := os.Rename(out, away); err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	if err := tmp.Rename(out); err != nil {
		return fmt.Errorf("dataset: %w", errors.Join(err, os.Rename(away, out)))
	}
	syncFolder(filepath.Dir(out))
	if err := os.RemoveAll(away); err != nil {
		return fmt.Errorf("dataset: the new set is in place, the old one remains: %w", err)
	}
	return nil
}

// temporary makes a folder beside out, see atomicfile.TemporaryFolder.
func temporary(out string) (*atomicfile.Folder, error) {
	dir, err := atomicfile.TemporaryFolder(filepath.Clean(out))
	if err != nil {
		return nil, fmt.Errorf("dataset: cannot write beside %s: %w", out, err)
	}
	return dir, nil
}

// syncFolder makes a rename in a folder durable where the system can; the
// files themselves already are.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

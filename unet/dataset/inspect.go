package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Inspect reads and checks all images of a source, tells their kinds, finds
// their groups and takes statistics. The result has no splits. What it compares
// of images lies in temporary files: memory holds a line for each image.
//
// visit, unless nil, gets each usable sample, from several goroutines at once
// and in no fixed order, with its number in the source; Group is still empty.
// fix applies Fix to the labels first. progress, unless nil, is called after
// each image, from one goroutine at a time.
func Inspect(ctx context.Context, src *Source, fix bool, progress func(done, total int), visit func(i int, s *Sample) error) (*Metadata, error) {
	return src.inspect(ctx, os.TempDir(), fix, progress, visit)
}

// inspect is Inspect with temporary files in a folder.
func (s *Source) inspect(ctx context.Context, dir string, fix bool, progress func(done, total int), visit func(i int, s *Sample) error) (*Metadata, error) {
	in := &inspection{src: s, fix: fix, visit: visit, images: make([]inspected, s.Len()), looks: newLooks(dir), tally: newTally(s.Len())}
	defer in.looks.close()
	var mu sync.Mutex
	done := 0
	err := parallel(ctx, len(in.images), func(i int) (err error) {
		if in.images[i], err = in.image(ctx, i); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		if progress != nil {
			progress(done, len(in.images))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return in.metadata(ctx)
}

// inspection is what Inspect finds out.
type inspection struct {
	src    *Source
	fix    bool
	visit  func(i int, s *Sample) error
	images []inspected
	looks  *looks
	tally  *tally
}

// inspected is what Inspect keeps of an image.
type inspected struct {
	findings []Finding
	digests  Digests
	entry    *Entry // nil when left out
}

// image reads and checks image i.
func (in *inspection) image(ctx context.Context, i int) (out inspected, err error) {
	r := in.src.read(ctx, i)
	if err := context.Cause(ctx); err != nil {
		return out, err
	}
	sm := r.sample
	if sm == nil {
		// Reading stopped early; the sum is of all files nevertheless.
		return inspected{findings: r.findings, digests: in.src.items[i].digest()}, nil
	}
	if in.fix {
		r.findings = append(r.findings, Fix(sm.ID, sm.Labels)...)
	}
	r.findings = append(r.findings, checkLabels(sm.ID, sm.Labels)...)
	sm.Kind = kindOf(sm.Image, sm.Labels)
	m := Measure(sm)
	if wrong := doubtful(m); wrong != "" {
		r.note(Warning, sm.ID, "", "contrast", "%s: do these masks belong to it?", wrong)
	}
	in.tally.add(i, m)
	if err := in.looks.add(i, lookOf(sm.Image)); err != nil {
		return out, fmt.Errorf("dataset: %w", err)
	}
	out = inspected{r.findings, r.digests, &Entry{
		ID: sm.ID, Kind: sm.Kind, Source: sourceLook(sm), W: sm.Image.W, H: sm.Image.H, C: sm.Image.C,
		SourceW: sm.Image.W, SourceH: sm.Image.H,
		Nuclei: len(m.Areas), SourceNuclei: len(m.Areas),
		Diameter: medianDiameter(sm.Labels), Mean: m.Mean, Std: m.Std,
		Inputs: r.digests,
	}}
	if in.visit != nil {
		err = in.visit(i, sm)
	}
	return out, err
}

// metadata joins what was found out about all images.
func (in *inspection) metadata(ctx context.Context) (*Metadata, error) {
	m := &Metadata{Format: FormatVersion, Source: Origin{Name: in.src.Name(), Images: len(in.images)}, Links: []Link{}, Findings: slices.Clone(in.src.findings)}
	sum := sha256.New()
	digests := make([]string, len(in.images))
	for i, r := range in.images {
		addPart(sum, []byte(in.src.items[i].id))
		addPart(sum, []byte(r.digests.Image))
		addPart(sum, []byte(r.digests.Masks))
		m.Findings = append(m.Findings, r.findings...)
		if r.entry != nil {
			digests[i] = r.digests.Image
		}
	}
	m.Source.SHA256 = hex.EncodeToString(sum.Sum(nil))
	links, err := in.looks.links(ctx, digests)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if err != nil {
		return nil, fmt.Errorf("dataset: finding related images: %w", err)
	}
	m.report(links, func(i int) string { return in.src.items[i].id })
	number := map[int]int{}
	for i, g := range groupOf(len(in.images), links) {
		e := in.images[i].entry
		if e == nil {
			continue
		}
		if number[g] == 0 {
			number[g] = len(number) + 1
		}
		e.Group = fmt.Sprintf("g%04d", number[g])
		m.Entries = append(m.Entries, *e)
	}
	nameSources(m.Entries)
	m.Stats = in.tally.stats()
	slices.SortStableFunc(m.Findings, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
	m.count(len(in.images) - len(m.Entries))
	return m, nil
}

// report lists links of images, and duplicates among the findings.
func (m *Metadata) report(links []link, id func(i int) string) {
	for _, l := range links {
		a, b := id(l.i), id(l.j)
		m.Links = append(m.Links, Link{a, b, l.kind})
		switch l.kind {
		case relDuplicate:
			m.Findings = append(m.Findings, Finding{Warning, b, "", l.kind, "its image file equals that of " + a})
		case relNear:
			m.Findings = append(m.Findings, Finding{Warning, b, "", l.kind, "looks like " + a})
		case relOverlap:
			m.Findings = append(m.Findings, Finding{Info, b, "", l.kind, "shows part of what " + a + " shows"})
		}
	}
}

// doubtful says what is odd about the contrast of an image's nuclei, or "".
func doubtful(m *Measures) string {
	if len(m.Areas) == 0 {
		return ""
	}
	dark := m.Foreground < m.Background
	switch fluorescent := m.Kind == FluorescenceSmall || m.Kind == FluorescenceLarge; {
	case fluorescent && dark:
		return "the nuclei are darker than the dark background"
	case !fluorescent && !dark:
		return "the nuclei are brighter than the bright background"
	}
	return ""
}

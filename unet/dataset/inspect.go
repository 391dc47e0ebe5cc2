package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
)

// Inspect reads and checks all images of a source, tells their kinds, finds
// their groups and takes statistics. The result has no splits.
//
// visit, unless nil, gets each usable sample, from several goroutines at once
// and in no fixed order, with its number in the source; Group is still empty.
// fix applies Fix to the labels first. progress, unless nil, is called after
// each image, from one goroutine at a time.
func Inspect(ctx context.Context, src *Source, fix bool, progress func(done, total int), visit func(i int, s *Sample) error) (*Metadata, error) {
	results := make([]inspected, src.Len())
	var mu sync.Mutex
	done := 0
	err := parallel(ctx, len(results), func(i int) (err error) {
		if results[i], err = src.inspect(ctx, i, fix, visit); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		done++
		if progress != nil {
			progress(done, len(results))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return src.metadata(results), nil
}

// inspected is what Inspect finds out about an image.
type inspected struct {
	findings []Finding
	digests  Digests
	entry    *Entry // nil when left out
	look     *look
	measures *Measures
}

// inspect reads and checks image i.
func (s *Source) inspect(ctx context.Context, i int, fix bool, visit func(i int, sm *Sample) error) (out inspected, err error) {
	r := s.read(ctx, i)
	if err := ctx.Err(); err != nil {
		return out, err
	}
	sm := r.sample
	if sm == nil {
		// Reading stopped early; the sum is of all files nevertheless.
		return inspected{findings: r.findings, digests: s.items[i].digest()}, nil
	}
	if fix {
		r.findings = append(r.findings, Fix(sm.ID, sm.Labels)...)
	}
	r.findings = append(r.findings, checkLabels(sm.ID, sm.Labels)...)
	sm.Kind = KindOf(sm.Image, sm.Labels)
	m := Measure(sm)
	if wrong := doubtful(m); wrong != "" {
		r.note(Warning, sm.ID, "", "contrast", "%s: do these masks belong to it?", wrong)
	}
	out = inspected{r.findings, r.digests, &Entry{
		ID: sm.ID, Kind: sm.Kind, Source: sourceLook(sm), W: sm.Image.W, H: sm.Image.H, C: sm.Image.C,
		SourceW: sm.Image.W, SourceH: sm.Image.H,
		Nuclei: len(m.Areas), SourceNuclei: len(m.Areas),
		Diameter: medianDiameter(sm.Labels), Mean: m.Mean, Std: m.Std,
		Inputs: r.digests,
	}, lookOf(sm.Image, r.digests.Image), m}
	if visit != nil {
		err = visit(i, sm)
	}
	return out, err
}

// metadata joins what was found out about all images.
func (s *Source) metadata(results []inspected) *Metadata {
	m := &Metadata{Format: FormatVersion, Source: Origin{Name: s.Name(), Images: len(results)}, Links: []Link{}, Findings: slices.Clone(s.findings)}
	sum := sha256.New()
	var looks []*look
	var measures []*Measures
	for i, r := range results {
		addPart(sum, []byte(s.items[i].id))
		addPart(sum, []byte(r.digests.Image))
		addPart(sum, []byte(r.digests.Masks))
		m.Findings = append(m.Findings, r.findings...)
		if r.entry != nil {
			m.Entries = append(m.Entries, *r.entry)
			looks = append(looks, r.look)
			measures = append(measures, r.measures)
		}
	}
	nameSources(m.Entries)
	m.Source.SHA256 = hex.EncodeToString(sum.Sum(nil))
	m.group(looks)
	m.Stats = Summarise(measures)
	slices.SortStableFunc(m.Findings, func(a, b Finding) int { return cmp.Compare(a.ID, b.ID) })
	m.count(len(results) - len(m.Entries))
	return m
}

// group names the groups of the entries and reports duplicates.
func (m *Metadata) group(looks []*look) {
	links := findLinks(looks)
	for _, l := range links {
		a, b := m.Entries[l.i].ID, m.Entries[l.j].ID
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
	number := map[int]int{}
	for i, g := range groupOf(len(looks), links) {
		if number[g] == 0 {
			number[g] = len(number) + 1
		}
		m.Entries[i].Group = fmt.Sprintf("g%04d", number[g])
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

package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"unet/unet/formats"
	"unet/unet/imageio/input"
)

// Sources: which laboratory an image comes from.
//
// A model is as good as it is on images of a laboratory it has never seen, and
// images of one laboratory are alike: same camera, same preparation, same hand
// that drew the outlines. Every image therefore has a source, and experiments
// leave whole sources out (Set.LeaveOut). Who knows the sources says so in a
// table (ReadSources). Else they are told by rules: images of one size (to
// sizeSlack pixels) and one look have one source,
//
//   - fluorescence by the black level, the image's 1st percentile, below or
//     above blackLevel of the range ("dark", "offset");
//   - purple tissue by the median outside the nuclei, above or below
//     lightGround ("light", "deep");
//   - pink and gray tissue alone.
//
// Where one of these groups has fewer than leastSource images, the difference
// is taken for chance and they stay together.
//
// Two laboratories with the same camera and the same habits become one source,
// which is the harmless mistake: both are left out together.
const (
	blackLevel  = 0.03
	lightGround = 0.76
	sizeSlack   = 2
	leastSource = 10
)

// sourceLook is the part of a source's name that tells looks apart: a word for
// the kind of image and, after a hyphen, one for its shade.
func sourceLook(s *Sample) string {
	lum := luminance(s.Image)
	all := sampled(lum, func(int) bool { return true })
	top := 255.0
	if s.Image.Bits > 8 || s.Image.Float {
		// Where the camera's range is unknown, the image's own stands for it.
		top = max(quantile(all, 1), 1e-9)
	}
	switch s.Kind {
	case HistologyPurple:
		ground := sampled(lum, func(i int) bool { return s.Labels.ID[i] == 0 })
		if len(ground) > 0 && quantile(ground, 0.5) > lightGround*top {
			return "purple-light"
		}
		return "purple-deep"
	case PinkPurple:
		return "pink"
	case GrayTissue:
		return "gray"
	}
	if quantile(all, 0.01) < blackLevel*top {
		return "fluorescence-dark"
	}
	return "fluorescence-offset"
}

// nameSources turns looks into names of sources, with the sizes of the source
// images before them.
func nameSources(entries []Entry) {
	type size struct{ w, h int }
	var sizes []size
	for i := range entries {
		sizes = append(sizes, size{entries[i].SourceW, entries[i].SourceH})
	}
	slices.SortFunc(sizes, func(a, b size) int { return cmp.Or(cmp.Compare(a.w, b.w), cmp.Compare(a.h, b.h)) })
	sizes = slices.Compact(sizes)
	name := map[size]size{}
	var kept []size
	for _, s := range sizes {
		name[s] = s
		for _, k := range kept {
			if max(s.w-k.w, k.w-s.w) <= sizeSlack && max(s.h-k.h, k.h-s.h) <= sizeSlack {
				name[s] = k
				break
			}
		}
		if name[s] == s {
			kept = append(kept, s)
		}
	}
	// Shades count where each of them has enough images.
	type field struct {
		size
		look string
	}
	images := map[field]map[string]int{}
	at := func(e *Entry) (field, string) {
		look, shade, _ := strings.Cut(e.Source, "-")
		return field{name[size{e.SourceW, e.SourceH}], look}, shade
	}
	for i := range entries {
		f, shade := at(&entries[i])
		if images[f] == nil {
			images[f] = map[string]int{}
		}
		images[f][shade]++
	}
	for i := range entries {
		f, shade := at(&entries[i])
		source := fmt.Sprintf("%dx%d-%s", f.w, f.h, f.look)
		if n := images[f]; len(n) > 1 && min(n["dark"]+n["light"], n["offset"]+n["deep"]) >= leastSource {
			source += "-" + shade
		}
		entries[i].Source = source
	}
}

// maxSources bounds the bytes of a table of sources.
const maxSources = 64 << 20

// ReadSources reads a CSV table with the columns id (or image) and source (or
// lab): which source each image comes from.
func ReadSources(name string) (map[string]string, error) {
	f, err := input.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const hint = "give a CSV with the columns id and source, one line an image"
	var header []string
	r, err := formats.Table(io.LimitReader(f, maxSources))
	if err == nil {
		header, err = r.Read()
	}
	if err != nil {
		return nil, &InputError{Name: name, Problem: "is not a table: " + oneLine(err), Advice: hint}
	}
	id, source := formats.Heading(header, "id", "image", "imageid"), formats.Heading(header, "source", "lab")
	if id < 0 || source < 0 {
		return nil, &InputError{Name: name, Problem: fmt.Sprintf("has no columns id and source, but %s", strings.Join(header, ", ")), Advice: hint}
	}
	table := map[string]string{}
	for line := 2; ; line++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return table, nil
		}
		if err != nil {
			return nil, &InputError{Name: name, Problem: oneLine(err), Advice: hint}
		}
		k, v := strings.TrimSpace(row[id]), strings.TrimSpace(row[source])
		switch {
		case k == "" || v == "":
			return nil, &InputError{Name: name, Problem: fmt.Sprintf("line %d names no image or no source", line), Advice: hint}
		case table[k] != "" && table[k] != v:
			return nil, &InputError{Name: name, Problem: fmt.Sprintf("line %d gives %q a second source", line, k), Advice: "keep one"}
		}
		table[k] = v
	}
}

// applySources puts the sources of a table in place of those told by rules.
func (m *Metadata) applySources(table map[string]string) {
	known := map[string]bool{}
	for i := range m.Entries {
		e := &m.Entries[i]
		known[e.ID] = true
		if s, ok := table[e.ID]; ok {
			e.Source = s
		}
	}
	for _, id := range slices.Sorted(maps.Keys(table)) {
		if !known[id] {
			m.Findings = append(m.Findings, Finding{Info, id, "", "unknown-source", "the table of sources names it, but there is no such image"})
		}
	}
}

// sourcesDigest is the SHA-256 sum of a table of sources, "" of none.
func sourcesDigest(table map[string]string) string {
	if len(table) == 0 {
		return ""
	}
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(table)) {
		addPart(h, []byte(id))
		addPart(h, []byte(table[id]))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Sources counts the images of every source.
func (s *Set) Sources() map[string]int {
	n := map[string]int{}
	for i := range s.Entries {
		n[s.Entries[i].Source]++
	}
	return n
}

// Folds spreads the sources over n folds, whole: from the largest source on,
// each goes to the fold that has the fewest images. It depends on the counts
// and names only. Sources that show parts of one field, by their groups, count as
// one.
func (s *Set) Folds(n int) ([][]string, error) {
	count := s.Sources()
	if count[""] > 0 {
		return nil, &InputError{Name: s.Dir, Problem: "does not say which source its images come from", Advice: "prepare it again with this version"}
	}
	first := s.joined()
	members, images := map[string][]string{}, map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		members[first[name]] = append(members[first[name]], name)
		images[first[name]] += count[name]
	}
	what := "source"
	if len(members) < len(count) {
		what = "separate source"
	}
	folds, err := s.spread(n, images, what)
	for k, fold := range folds {
		folds[k] = nil
		for _, name := range fold {
			folds[k] = append(folds[k], members[name]...)
		}
	}
	return folds, err
}

// joined gives for each source the first, by name, of those that are joined to it by
// groups which have images of several.
func (s *Set) joined() map[string]string {
	first := map[string]string{}
	for name := range s.Sources() {
		first[name] = name
	}
	of := map[string]string{} // a source of each group
	for i := range s.Entries {
		e := &s.Entries[i]
		if e.Group == "" {
			continue
		}
		if of[e.Group] == "" {
			of[e.Group] = e.Source
		}
		a, b := first[of[e.Group]], first[e.Source]
		if a == b {
			continue
		}
		for name, f := range first { // there are few sources
			if f == max(a, b) {
				first[name] = min(a, b)
			}
		}
	}
	return first
}

// GroupFolds spreads the groups of images that show the same field over n folds, as
// Folds does with sources.
func (s *Set) GroupFolds(n int) ([][]string, error) {
	count := map[string]int{}
	for i := range s.Entries {
		count[s.Entries[i].Group]++
	}
	return s.spread(n, count, "group")
}

// spread makes folds of what there are so many images of.
func (s *Set) spread(n int, count map[string]int, what string) ([][]string, error) {
	if n < 2 || n > len(count) {
		return nil, &InputError{Name: s.Dir, Problem: fmt.Sprintf("has images of %d %ss, which cannot make %d folds", len(count), what, n), Advice: "a fold needs a " + what + " of its own: choose fewer"}
	}
	names := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	folds, images := make([][]string, n), make([]int, n)
	for _, name := range names {
		least := slices.Index(images, slices.Min(images))
		folds[least] = append(folds[least], name)
		images[least] += count[name]
	}
	return folds, nil
}

// LeaveOut returns the set with the images of some sources as its test split
// and all others for training: those of its val split stay there, and where
// that leaves none, a tenth of the others is split off anew. Images of other sources
// that share a group with some left out, and so show what those show, are in no split:
// the set returned lacks them.
func (s *Set) LeaveOut(sources []string) (*Set, error) {
	known := s.Sources()
	for _, name := range sources {
		if known[name] == 0 {
			return nil, &InputError{Name: s.Dir, Problem: fmt.Sprintf("has no images of the source %q", name), Advice: "its sources are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")}
		}
	}
	return s.leaveOut(func(e *Entry) bool { return slices.Contains(sources, e.Source) })
}

// LeaveOutGroups is LeaveOut with groups of images.
func (s *Set) LeaveOutGroups(groups []string) (*Set, error) {
	out := map[string]bool{}
	for _, name := range groups {
		out[name] = true
	}
	return s.leaveOut(func(e *Entry) bool { return out[e.Group] })
}

func (s *Set) leaveOut(left func(*Entry) bool) (*Set, error) {
	shown := map[string]bool{} // groups of images that are left out
	for i := range s.Entries {
		if e := &s.Entries[i]; e.Group != "" && left(e) {
			shown[e.Group] = true
		}
	}
	out := *s
	out.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool { return shown[e.Group] && !left(&e) })
	for i := range out.Entries {
		e := &out.Entries[i]
		switch {
		case left(e):
			e.Split = Test
		case e.Split == Test:
			e.Split = Train
		}
	}
	if len(out.Split(Val)) > 0 {
		return &out, nil
	}
	var rest []member
	for _, i := range out.Split(Train) {
		e := &out.Entries[i]
		rest = append(rest, member{e.ID, e.Kind, e.Group})
	}
	splits, err := splitMembers(rest, Fractions{Train: 0.9, Val: 0.1}, s.Meta.Settings.Seed)
	if err != nil {
		return nil, err
	}
	for _, i := range out.Split(Train) {
		out.Entries[i].Split = splits[out.Entries[i].ID]
	}
	return &out, nil
}

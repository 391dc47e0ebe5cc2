package segment

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio"
)

// Selection picks pages, channels, slices or time points by number, from 0, or
// by name. The zero value picks all; so does an empty choice of channels, but
// for a nuclear stain (see Choice).
type Selection struct {
	text   string
	ranges [][2]int
	names  []string
}

// All picks everything: of channels each one by itself.
var All = Selection{text: "all"}

// ParseSelection reads "all", "3", "0,2-5" or, with names, "DAPI".
func ParseSelection(text string, names bool) (Selection, error) {
	s := Selection{text: text}
	if text == "" || text == "all" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(to)
		}
		switch {
		case err == nil && a >= 0 && b >= a:
			s.ranges = append(s.ranges, [2]int{a, b})
		case names && part != "":
			s.names = append(s.names, part)
		default:
			return s, fmt.Errorf("give all, or numbers from 0 such as 2 or 0,3-5")
		}
	}
	return s, nil
}

// String is the text that ParseSelection reads.
func (s Selection) String() string { return s.text }

func (s Selection) all() bool { return len(s.ranges) == 0 && len(s.names) == 0 }

func (s Selection) has(n int, name string) bool {
	return s.all() || slices.ContainsFunc(s.ranges, func(r [2]int) bool { return n >= r[0] && n <= r[1] }) ||
		slices.ContainsFunc(s.names, func(v string) bool { return strings.EqualFold(v, name) })
}

// PlaneRef is one plane of a file to segment.
type PlaneRef struct {
	Index int // in the file
	Info  imageio.PlaneInfo
	// Suffix tells it from the file's other planes in names of outputs.
	Suffix string
	// Measured are the planes of all channels at its place, Channels their
	// names.
	Measured []int
	Channels []string
}

// Choice says which planes of a file are meant. Where it has several channels
// and none is asked for, the one named like a nuclear stain is, or else every
// one by itself.
type Choice struct{ Page, Channel, Z, T Selection }

// nuclearStain matches names of channels that show nuclei.
var nuclearStain = regexp.MustCompile(`(?i)dapi|hoechst|nucle[ui]|nuclear|\bdna\b|draq|\bh2b|to-?pro|sytox|propidium`)

// maxMeasured is how many channels of one place are measured together.
const maxMeasured = 256

// Planes lists the planes of a file that are meant; notes tell what the choice
// left open.
func (c Choice) Planes(f *imageio.File) (list []PlaneRef, notes []string, err error) {
	type place struct{ series, z, t, page int }
	at := map[place][]int{}
	// Channels that repeat at one place are pages of a plain stack.
	plain := map[[4]int]bool{}
	stack := false
	for _, p := range f.Planes {
		k := [4]int{p.Series, p.Z, p.T, p.Channel}
		stack = stack || plain[k]
		plain[k] = true
	}
	placeOf := func(p imageio.PlaneInfo) place {
		if stack {
			return place{p.Series, p.Z, p.T, p.Page}
		}
		return place{p.Series, p.Z, p.T, 0}
	}
	var stained []string
	unnamed, crowded := 0, false
	for i, p := range f.Planes {
		at[placeOf(p)] = append(at[placeOf(p)], i)
	}
	nuclear := map[place]int{}
	for k, group := range at {
		for _, i := range group {
			if p := f.Planes[i]; nuclearStain.MatchString(p.Name) {
				if _, ok := nuclear[k]; !ok && len(group) > 1 {
					nuclear[k] = i
				}
			}
		}
	}
	suffix := planeSuffixes(f.Planes)
	for i, p := range f.Planes {
		if !c.Page.has(p.Page, "") || !c.Channel.has(p.Channel, p.Name) || !c.Z.has(p.Z, "") || !c.T.has(p.T, "") {
			continue
		}
		group := at[placeOf(p)]
		if n, ok := nuclear[placeOf(p)]; ok && c.Channel.text == "" {
			if n != i {
				continue
			}
			if !slices.Contains(stained, p.Name) {
				stained = append(stained, p.Name)
			}
		} else if len(group) > 1 && c.Channel.text == "" {
			unnamed = max(unnamed, len(group))
		}
		if len(group) > maxMeasured {
			crowded, group = true, []int{i}
		}
		ref := PlaneRef{Index: i, Info: p, Suffix: suffix(p)}
		for _, j := range group {
			if q := f.Planes[j]; q.W == p.W && q.H == p.H && (q.C == 1 || j == i) {
				ref.Measured = append(ref.Measured, j)
				name := q.Name
				if name == "" {
					name = strconv.Itoa(q.Channel + 1)
				}
				for k := range q.C {
					if q.C > 1 {
						name = []string{"red", "green", "blue", "alpha"}[k]
					}
					ref.Channels = append(ref.Channels, name)
				}
			}
		}
		list = append(list, ref)
	}
	if len(list) == 0 {
		return nil, nil, &ChoiceError{Name: f.Name, Problem: "no plane is chosen by --page, --channel, --z and --t", Has: Contents(f)}
	}
	if crowded {
		notes = append(notes, fmt.Sprintf("more than %d channels: intensities are measured in the segmented one only", maxMeasured))
	}
	if len(stained) > 0 {
		notes = append(notes, fmt.Sprintf("nuclei are sought in channel %s; --channel chooses another, --channel all takes each", strings.Join(stained, ", ")))
	}
	if unnamed > 1 {
		notes = append(notes, fmt.Sprintf("%d channels, none named like a nuclear stain: each is segmented by itself; --channel chooses", unnamed))
	}
	return list, notes, nil
}

// Contents tells what planes a file holds.
func Contents(f *imageio.File) string {
	var channels []string
	var pages, z, t int
	for _, p := range f.Planes {
		pages, z, t = max(pages, p.Page), max(z, p.Z), max(t, p.T)
		s := strconv.Itoa(p.Channel)
		if p.Name != "" {
			s += " (" + p.Name + ")"
		}
		if !slices.Contains(channels, s) && len(channels) < 16 {
			channels = append(channels, s)
		}
	}
	return fmt.Sprintf("the file has pages 0-%d, channels %s, z 0-%d, t 0-%d", pages, strings.Join(channels, ", "), z, t)
}

// planeSuffixes returns a function that names the place of a plane by the axes
// along which the file has several.
func planeSuffixes(all []imageio.PlaneInfo) func(imageio.PlaneInfo) string {
	axes := []struct {
		letter string
		of     func(imageio.PlaneInfo) int
		top    int
	}{
		{"s", func(p imageio.PlaneInfo) int { return p.Series }, 0},
		{"t", func(p imageio.PlaneInfo) int { return p.T }, 0},
		{"z", func(p imageio.PlaneInfo) int { return p.Z }, 0},
		{"c", func(p imageio.PlaneInfo) int { return p.Channel }, 0},
		{"p", func(p imageio.PlaneInfo) int { return p.Page }, 0},
	}
	last := len(axes) - 1
	places := map[[4]int]bool{}
	pages := false // the other axes do not tell planes apart
	for _, p := range all {
		for i := range axes {
			axes[i].top = max(axes[i].top, axes[i].of(p))
		}
		k := [4]int{p.Series, p.T, p.Z, p.Channel}
		pages = pages || places[k]
		places[k] = true
	}
	return func(p imageio.PlaneInfo) string {
		suffix := ""
		for i, a := range axes {
			if a.top > 0 && (i != last || pages) {
				suffix += fmt.Sprintf("_%s%0*d", a.letter, len(strconv.Itoa(a.top)), a.of(p))
			}
		}
		return suffix
	}
}

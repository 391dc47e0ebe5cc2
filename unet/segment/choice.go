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
// one by itself. A sample of a colour image counts as a channel when it is asked
// for; red, green and blue together are the colour image, also of three channels
// with other names.
type Choice struct {
	Page, Channel, Z, T Selection
	// Well, such as B03, and Field are places on a plate.
	Well, Field Selection
	// Level is that of a pyramid; 0 is the full resolution.
	Level int
}

// nuclearStain matches names of channels that show nuclei.
var nuclearStain = regexp.MustCompile(`(?i)dapi|hoechst|nucle[ui]|nuclear|\bdna\b|draq|\bh2b|to-?pro|sytox|propidium`)

// maxMeasured is how many channels of one place are measured together.
const maxMeasured = 256

// colours is the choice of all samples of a colour image.
var colours = []string{"red", "green", "blue"}

// apply chooses the level, and takes colour images apart or puts them together.
func (c Choice) apply(f *imageio.File) error {
	if err := f.UseLevel(c.Level); err != nil {
		return &ChoiceError{Name: f.Name, Problem: fmt.Sprintf("it has no level %d", c.Level), Has: Contents(f)}
	}
	if c.Channel.all() {
		return nil
	}
	var wanted []string
	for _, name := range c.Channel.names {
		wanted = append(wanted, strings.ToLower(name))
	}
	slices.Sort(wanted)
	named := slices.ContainsFunc(f.Planes, func(p imageio.PlaneInfo) bool { return slices.Contains(wanted, strings.ToLower(p.Name)) })
	if len(c.Channel.ranges) == 0 && slices.Equal(wanted, []string{"blue", "green", "red"}) && !named {
		f.JoinColours()
	}
	f.ChooseSamples(c.Channel.has)
	return nil
}

// chosen reports whether a plane is meant. A colour image is when all its
// samples are.
func (c Choice) chosen(p imageio.PlaneInfo) bool {
	channel := c.Channel.has(p.Channel, p.Name)
	if p.C == len(colours) {
		channel = c.Channel.has(p.Channel, colours[0]) && c.Channel.has(p.Channel+1, colours[1]) && c.Channel.has(p.Channel+2, colours[2])
	}
	return channel && c.Page.has(p.Page, "") && c.Z.has(p.Z, "") && c.T.has(p.T, "") && (c.Well.all() || c.Well.has(-1, p.Well)) && c.Field.has(p.Field, "")
}

// Planes lists the planes of a file that are meant; notes tell what the choice
// left open. It is called once, before anything of the file is read.
func (c Choice) Planes(f *imageio.File) (list []PlaneRef, notes []string, err error) {
	if err := c.apply(f); err != nil {
		return nil, nil, err
	}
	type place struct {
		well                      string
		field, series, z, t, page int
	}
	at := map[place][]int{}
	// Channels that repeat at one place are pages of a plain stack.
	type channelAt struct {
		place
		channel int
	}
	plain := map[channelAt]bool{}
	stack := false
	for _, p := range f.Planes {
		k := channelAt{place{p.Well, p.Field, p.Series, p.Z, p.T, 0}, p.Channel}
		stack = stack || plain[k]
		plain[k] = true
	}
	placeOf := func(p imageio.PlaneInfo) place {
		k := place{p.Well, p.Field, p.Series, p.Z, p.T, 0}
		if stack {
			k.page = p.Page
		}
		return k
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
		if !c.chosen(p) {
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
		return nil, nil, &ChoiceError{Name: f.Name, Problem: "no plane is chosen by --page, --channel, --z, --t, --well and --field", Has: Contents(f)}
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
	var channels, wells []string
	var pages, z, t, fields int
	for _, p := range f.Planes {
		pages, z, t, fields = max(pages, p.Page), max(z, p.Z), max(t, p.T), max(fields, p.Field)
		if p.Well != "" && !slices.Contains(wells, p.Well) && len(wells) < 16 {
			wells = append(wells, p.Well)
		}
		s := strconv.Itoa(p.Channel)
		if p.Name != "" {
			s += " (" + p.Name + ")"
		}
		if !slices.Contains(channels, s) && len(channels) < 16 {
			channels = append(channels, s)
		}
	}
	text := fmt.Sprintf("the file has pages 0-%d, channels %s, z 0-%d, t 0-%d", pages, strings.Join(channels, ", "), z, t)
	if len(wells) > 0 {
		text += fmt.Sprintf(", wells %s, fields 0-%d", strings.Join(wells, ", "), fields)
	}
	if f.Levels > 1 {
		text += fmt.Sprintf(", levels 0-%d", f.Levels-1)
	}
	return text
}

// planeSuffixes returns a function that names the place of a plane by the axes
// along which the file has several.
func planeSuffixes(all []imageio.PlaneInfo) func(imageio.PlaneInfo) string {
	axes := []struct {
		letter string
		of     func(imageio.PlaneInfo) int
		top    int
	}{
		{"f", func(p imageio.PlaneInfo) int { return p.Field }, 0},
		{"s", func(p imageio.PlaneInfo) int { return p.Series }, 0},
		{"t", func(p imageio.PlaneInfo) int { return p.T }, 0},
		{"z", func(p imageio.PlaneInfo) int { return p.Z }, 0},
		{"c", func(p imageio.PlaneInfo) int { return p.Channel }, 0},
		{"p", func(p imageio.PlaneInfo) int { return p.Page }, 0},
	}
	last := len(axes) - 1
	type place struct {
		well                         string
		field, series, t, z, channel int
	}
	places := map[place]bool{}
	pages := false // the other axes do not tell planes apart
	for _, p := range all {
		for i := range axes {
			axes[i].top = max(axes[i].top, axes[i].of(p))
		}
		k := place{p.Well, p.Field, p.Series, p.T, p.Z, p.Channel}
		pages = pages || places[k]
		places[k] = true
	}
	return func(p imageio.PlaneInfo) string {
		suffix := ""
		if p.Well != "" {
			suffix = "_" + p.Well
		}
		for i, a := range axes {
			if a.top > 0 && (i != last || pages) {
				suffix += fmt.Sprintf("_%s%0*d", a.letter, len(strconv.Itoa(a.top)), a.of(p))
			}
		}
		return suffix
	}
}

package segment

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"unet/unet/imageio"
)

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
	// PixelSize, if known, is that of the images. Of a pyramid that says the sizes
	// of its pixels it chooses the level, unless LevelGiven says that Level does.
	PixelSize  imageio.PixelSize
	LevelGiven bool
}

// apply chooses the level, and takes colour images apart or puts them together.
func (c Choice) apply(f *imageio.File) error {
	bySize := c.PixelSize.Known() && !c.LevelGiven && len(f.LevelSizes) == f.Levels && f.Levels > 1 && f.LevelSizes[0].Known()
	if bySize {
		c.Level = nearestLevel(f.LevelSizes, c.PixelSize)
		f.Note("level %d of 0 to %d is read: its pixels of %v are nearest to %v", c.Level, f.Levels-1, f.LevelSizes[c.Level], c.PixelSize)
	}
	if err := f.UseLevel(c.Level); err != nil {
		return &ChoiceError{Name: f.Name, Problem: fmt.Sprintf("it has no level %d", c.Level), Has: fmt.Sprintf("the file has levels 0-%d", max(f.Levels, 1)-1)}
	}
	if c.PixelSize.Known() && !bySize {
		for i := range f.Planes {
			size := &f.Planes[i].PixelSize
			size.X, size.Y = c.PixelSize.X, c.PixelSize.Y
		}
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

// nearestLevel is the level whose pixels are nearest in size, by their proportion.
func nearestLevel(sizes []imageio.PixelSize, want imageio.PixelSize) int {
	best, least := 0, math.Inf(1)
	for k, size := range sizes {
		if d := math.Abs(math.Log(size.Length() / want.Length())); size.Known() && d < least {
			best, least = k, d
		}
	}
	return best
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
	at := placesOf(f.Planes)
	suffix := planeSuffixes(f.Planes)
	for i, p := range f.Planes {
		if !c.chosen(p) || c.Channel.text == "" && at.nucleiElsewhere(i) {
			continue
		}
		measured := at.measuredWith(i)
		list = append(list, PlaneRef{Index: i, Info: p, Suffix: suffix(p), Measured: measured, Channels: channelNames(f, measured)})
	}
	if len(list) == 0 {
		return nil, nil, &ChoiceError{Name: f.Name, Problem: "no plane is chosen: none has the page, channel, z, t, well and field asked for", Has: Contents(f)}
	}
	return list, c.leftOpen(at, list), nil
}

// leftOpen tells what the choice of list left open.
func (c Choice) leftOpen(at *places, list []PlaneRef) (notes []string) {
	var stained []string
	unnamed, crowded := 0, false
	for _, ref := range list {
		n := len(at.group(ref.Index))
		crowded = crowded || n > maxMeasured
		switch {
		case c.Channel.text != "" || n < 2:
		case at.stain(ref.Index) == ref.Index:
			stained = appendOnce(stained, ref.Info.Name)
		default:
			unnamed = max(unnamed, n)
		}
	}
	if crowded {
		notes = append(notes, fmt.Sprintf("more than %d channels: intensities are measured in the segmented one only", maxMeasured))
	}
	if len(stained) > 0 {
		notes = append(notes, fmt.Sprintf("channel %s is searched for nuclei; choose another, or all to search each", strings.Join(stained, ", ")))
	}
	if unnamed > 1 {
		notes = append(notes, fmt.Sprintf("%d channels, none named like a nuclear stain: each is segmented by itself; choose the channel that shows nuclei", unnamed))
	}
	return notes
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

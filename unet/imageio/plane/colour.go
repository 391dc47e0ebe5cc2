package plane

import (
	"image"
	"slices"
	"strings"
)

// Colours name the samples of a colour plane.
var Colours = []string{"red", "green", "blue"}

// view says how a listed plane is read: whole, joined from three planes of the
// source, or as one sample of a colour plane.
type view struct {
	of     []int // planes of the source
	sample int   // of a colour plane, or -1
}

// viewOf returns how plane i is read.
func (f *File) viewOf(i int) view {
	if f.views == nil {
		return view{of: []int{i}, sample: -1}
	}
	return f.views[i]
}

// replace lists planes anew: use is called for each with its view and puts the
// planes that take its place.
func (f *File) replace(use func(i int, put func(Info, view))) {
	var planes []Info
	var views []view
	for i := range f.Planes {
		use(i, func(p Info, v view) {
			planes = append(planes, p)
			views = append(views, v)
		})
	}
	f.Planes, f.views = planes, views
}

// JoinNamedColours makes one colour plane of three that are named red, green
// and blue, or R, G and B, in any order, and are the only ones at their place.
func (f *File) JoinNamedColours() {
	if f.join(func(p Info) int {
		name := strings.TrimSpace(strings.ReplaceAll(strings.ToLower(p.Name), "channel", ""))
		return slices.IndexFunc(Colours, func(c string) bool { return name == c || name == c[:1] })
	}) {
		f.Note("its channels red, green and blue are read as one colour image")
	}
}

// JoinColours makes one colour plane of the three of each place, whatever their
// names, and reports whether there were such.
func (f *File) JoinColours() bool { return f.join(func(p Info) int { return p.Channel }) }

// join joins the places of exactly three gray planes, of different colours, in
// their order; negative is none.
func (f *File) join(colour func(channel Info) int) bool {
	type place struct {
		series, field, z, t int
		well                string
	}
	at := map[place][]int{}
	of := func(p Info) place { return place{p.Series, p.Field, p.Z, p.T, p.Well} }
	for i, p := range f.Planes {
		at[of(p)] = append(at[of(p)], i)
	}
	joined := map[int]bool{} // by first plane
	gone := map[int]bool{}
	for _, list := range at {
		if len(list) != 3 {
			continue
		}
		slices.SortFunc(list, func(a, b int) int { return colour(f.Planes[a]) - colour(f.Planes[b]) })
		p := []Info{f.Planes[list[0]], f.Planes[list[1]], f.Planes[list[2]]}
		same := colour(p[0]) >= 0 && colour(p[0]) != colour(p[1]) && colour(p[1]) != colour(p[2])
		for _, q := range p {
			same = same && q.C == 1 && q.W == p[0].W && q.H == p[0].H && q.Bits == p[0].Bits && q.Float == p[0].Float
		}
		if same {
			first := slices.Min(list)
			for _, k := range list {
				joined[k], gone[k] = k == first, k != first
			}
		}
	}
	if len(gone) == 0 {
		return false
	}
	f.replace(func(i int, put func(Info, view)) {
		switch p := f.Planes[i]; {
		case gone[i]:
		case joined[i]:
			var v view
			for _, k := range at[of(p)] {
				v.of = append(v.of, f.viewOf(k).of...)
			}
			v.sample = -1
			p.C, p.Name = 3, ""
			for _, k := range at[of(p)] {
				p.Channel = min(p.Channel, f.Planes[k].Channel)
			}
			put(p, v)
		default:
			put(p, f.viewOf(i))
		}
	})
	return true
}

// ChooseSamples makes planes of their own of those samples of colour planes
// that are chosen by number, counted from the plane's channel, or by name, where
// not all three are.
func (f *File) ChooseSamples(chosen func(channel int, name string) bool) {
	f.replace(func(i int, put func(Info, view)) {
		p, v := f.Planes[i], f.viewOf(i)
		var samples []int
		for k := range Colours {
			if p.C == len(Colours) && chosen(p.Channel+k, Colours[k]) {
				samples = append(samples, k)
			}
		}
		if len(samples) == 0 || len(samples) == len(Colours) {
			put(p, v)
			return
		}
		for _, k := range samples {
			one := p
			one.C, one.Channel, one.Name = 1, p.Channel+k, Colours[k]
			if len(v.of) == len(Colours) { // joined from planes of their own
				put(one, view{of: v.of[k : k+1], sample: -1})
			} else {
				put(one, view{of: v.of, sample: k})
			}
		}
	})
}

// readView reads a region of a listed plane.
func (f *File) readView(v view, r image.Rectangle) (*Image, error) {
	m, err := f.src.Image(v.of[0], r)
	if err != nil {
		return nil, err
	}
	if v.sample >= 0 {
		one := *m
		one.C, one.Pix = 1, slices.Clone(m.Plane(v.sample))
		return &one, nil
	}
	for _, k := range v.of[1:] {
		next, err := f.src.Image(k, r)
		if err != nil {
			return nil, err
		}
		m.Pix = append(m.Pix, next.Pix...)
		m.C += next.C
	}
	return m, nil
}

// readLabels reads a region of a listed plane as labels.
func (f *File) readLabels(v view, r image.Rectangle) (*Labels, error) {
	if v.sample < 0 && len(v.of) == 1 {
		return f.src.Labels(v.of[0], r)
	}
	m, err := f.readView(v, r)
	if err != nil {
		return nil, err
	}
	return LabelsOf(f.Name, m)
}

// MergedFluorescence reports whether a colour image looks like channels of
// fluorescence merged for show: saturated colours on black. Stained tissue is
// bright where nothing is.
func MergedFluorescence(m *Image) bool {
	if m.C != 3 || len(m.Pix) < 3 {
		return false
	}
	r, g, b := m.Plane(0), m.Plane(1), m.Plane(2)
	step := max(1, len(r)/100000)
	var top float32
	for i := 0; i < len(r); i += step {
		top = max(top, r[i], g[i], b[i])
	}
	var dark, lit, saturated, all int
	for i := 0; i < len(r); i += step {
		hi, lo := max(r[i], g[i], b[i]), min(r[i], g[i], b[i])
		all++
		if hi < top/3 {
			dark++
			continue
		}
		lit++
		if hi-lo > hi/2 {
			saturated++
		}
	}
	return 3*dark > all && 3*saturated > lit && lit > 0
}

package segment

import (
	"fmt"
	"slices"

	"unet/unet/imageio"
)

// colours name the samples of a colour image.
var colours = []string{"red", "green", "blue"}

// ChannelName is the name of a plane's channel, or its number from 1.
func ChannelName(p imageio.PlaneInfo) string {
	if p.Name != "" {
		return p.Name
	}
	return fmt.Sprint(p.Channel + 1)
}

// channelNames names the channels of the image that planes make together, each in
// its own way: of two that the file calls Cy5 the second is Cy5_2.
func channelNames(f *imageio.File, planes []int) (names []string) {
	add := func(name string) {
		own := name
		for k := 2; slices.Contains(names, own); k++ {
			own = fmt.Sprintf("%s_%d", name, k)
		}
		names = append(names, own)
	}
	for _, i := range planes {
		if p := f.Planes[i]; p.C == len(colours) {
			for _, name := range colours {
				add(name)
			}
		} else {
			add(ChannelName(p))
		}
	}
	return names
}

// ReadChannels reads planes of one place as the channels of one image and names
// them: a colour plane gives red, green and blue. One plane alone is gray when it
// is gray in substance.
func ReadChannels(f *imageio.File, planes ...int) (*imageio.Image, error) {
	m, err := joinChannels(f, planes, f.ReadPlane)
	if err != nil {
		return nil, err
	}
	m.Channels = channelNames(f, planes)
	if len(planes) == 1 {
		if m = m.Gray(); m.C == 1 {
			m.Channels = []string{ChannelName(f.Planes[planes[0]])}
		}
	}
	return m, nil
}

// joinChannels reads planes, or the same part of each, as the channels of one
// image.
func joinChannels(f *imageio.File, planes []int, read func(plane int) (*imageio.Image, error)) (*imageio.Image, error) {
	out, err := read(planes[0])
	if err != nil || len(planes) == 1 {
		return out, err
	}
	joined := *out
	joined.Channels = nil
	joined.Pix = append(make([]float32, 0, len(channelNames(f, planes))*out.W*out.H), out.Pix...)
	for _, i := range planes[1:] {
		m, err := read(i)
		if err != nil {
			return nil, err
		}
		if m.W != out.W || m.H != out.H {
			return nil, &InputError{Name: f.Name, Problem: fmt.Sprintf("channel %s has %d x %d pixels, channel %s %d x %d",
				ChannelName(f.Planes[planes[0]]), out.W, out.H, ChannelName(f.Planes[i]), m.W, m.H), Advice: "choose channels of one size"}
		}
		joined.Append(m)
	}
	return &joined, nil
}

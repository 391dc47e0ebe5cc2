package segment

import (
	"context"
	"errors"
	"slices"

	"unet/unet/imageio"
	"unet/unet/instance"
)

// CheckMarkers fails where no image of a batch has what a marker goes by. It opens
// images until every marker is found, and leaves those that cannot be opened to the run,
// which tells why.
func (s *Segmenter) CheckMarkers(ctx context.Context, b Batch) error {
	var channels []string
	opened := false
	missing := without(b.Markers, nil, s.options.Rings())
	for i := range b.Inputs {
		if len(missing) == 0 {
			return nil
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		refs, err := s.planesOf(&b.Inputs[i], b.Choice)
		if err != nil {
			continue
		}
		opened = true
		for _, ref := range refs {
			known := slices.Clone(ref.Channels)
			if s.options.Stains != nil {
				known = append(known, s.options.Stains.Names()...)
			}
			for _, name := range known {
				channels = appendOnce(channels, name)
			}
			known = append(known, ChannelName(ref.Info)) // of a colour image that is gray in substance
			missing = without(missing, known, s.options.Rings())
		}
	}
	if !opened || len(missing) == 0 {
		return nil
	}
	return &UnknownMarkerError{missing[0].Name, channels}
}

// without are the markers that none of the measurements of those channels decides.
func without(markers []Marker, channels []string, rings bool) (list []Marker) {
	sheet := instance.NewSheet(instance.SheetOptions{Channels: channels, Rings: rings})
	for _, m := range markers {
		if sheet.Index(m.Name) < 0 {
			list = append(list, m)
		}
	}
	return list
}

// planesOf lists the planes of an input that are meant.
func (s *Segmenter) planesOf(in *Input, c Choice) ([]PlaneRef, error) {
	if in.Err != nil {
		return nil, in.Err
	}
	if err := imageio.CheckSize(in.Path); err != nil {
		return nil, err
	}
	if imageio.RasterBytes(in.Path) > s.memory/2 {
		return nil, errors.New("too large to be decoded as a whole")
	}
	f, err := imageio.Open(in.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	refs, _, err := c.Planes(f)
	return refs, err
}

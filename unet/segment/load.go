package segment

import (
	"unet/unet"
	"unet/unet/formats"
	"unet/unet/imageio"
	"unet/unet/instance"
)

// plane is one plane on its way through the stages.
type plane struct {
	in       *Input
	ref      PlaneRef
	name     string // for messages
	info     imageio.PlaneInfo
	channels []string // names of the measured channels
	sha256   string   // of the file
	// decoded is the memory an open file takes that was decoded as a whole.
	decoded int64
	// img is segmented, measured gives the intensities; both are nil for a
	// plane too large to be read whole.
	img, measured *imageio.Image
	// region is where nuclei count; nil: everywhere.
	region *imageio.Labels
	// stains are those of a colour image that is read in bands; nil: none.
	stains *instance.Stains
	// file is open for such a plane; release lets the reader go on with it.
	file    *imageio.File
	release chan struct{}
	// last reports that no other plane follows in the run.
	last bool
}

// base is the path of the plane's outputs without extension.
func (p *plane) base() string { return p.in.Base + p.ref.Suffix }

// source describes the plane, of which those channels were measured, for tables.
func (s *Segmenter) source(p *plane, channels []string) formats.Source {
	return formats.Source{Name: p.in.Name + p.ref.Suffix, W: p.info.W, H: p.info.H, FullW: p.info.FullW, FullH: p.info.FullH, PixelSize: s.pixelSize(p.info), Channels: channels,
		Rings: s.options.Rings() && p.file == nil, Region: instance.RegionPixels(p.region)}
}

// load reads the samples of the plane and of the channels measured with it.
func (p *plane) load(f *imageio.File) error {
	img, err := f.ReadPlane(p.ref.Index)
	if err != nil {
		return err
	}
	p.img = img.Gray()
	if len(p.ref.Measured) < 2 {
		p.measured = p.img
		if p.img.C == 1 {
			p.channels = []string{ChannelName(p.info)}
		}
		return nil
	}
	p.measured, err = joinChannels(f, p.ref.Measured, func(i int) (*imageio.Image, error) {
		if i == p.ref.Index {
			return img, nil
		}
		return f.ReadPlane(i)
	})
	return err
}

// rows reads some planes of the file by rows, as the channels of one image.
func (p *plane) rows(planes ...int) unet.Rows {
	return unet.Rows{W: p.info.W, H: p.info.H, Read: func(y, h int) (*imageio.Image, error) {
		return joinChannels(p.file, planes, func(i int) (*imageio.Image, error) {
			return p.file.ReadRegion(i, 0, y, p.info.W, h)
		})
	}}
}

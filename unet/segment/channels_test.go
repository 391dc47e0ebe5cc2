package segment

import (
	"image"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unet/unet/imageio"
	imageplane "unet/unet/imageio/plane"
)

// numbered is a file whose sample at (x, y) of channel c of plane i is
// 1000i + 100c + 10y + x.
type numbered struct{ file *imageio.File }

func (s *numbered) Image(i int, r image.Rectangle) (*imageio.Image, error) {
	m := imageio.NewImage(r.Dx(), r.Dy(), s.file.Planes[i].C)
	for k := range m.Pix {
		c, y, x := k/(m.W*m.H), k/m.W%m.H, k%m.W
		m.Pix[k] = float32(1000*i + 100*c + 10*(r.Min.Y+y) + r.Min.X + x)
	}
	return m, nil
}

func (s *numbered) Labels(int, image.Rectangle) (*imageio.Labels, error) { return nil, nil }
func (s *numbered) Close() error                                         { return nil }

// TestChannelsOfColour: a colour plane with a gray one at its place is three
// channels and one, read whole, in bands, and by unet measure and the page.
func TestChannelsOfColour(t *testing.T) {
	s := &numbered{}
	s.file = imageplane.NewFile("f", "TIFF", s)
	s.file.Planes = []imageio.PlaneInfo{{W: 3, H: 4, C: 3, Bits: 8}, {W: 3, H: 4, C: 1, Channel: 3, Bits: 8, Name: "DAPI"}}
	all, err := ParseSelection("red,green,blue", true)
	if err != nil {
		t.Fatal(err)
	}
	refs, _, err := Choice{Channel: all}.Planes(s.file)
	if err != nil || len(refs) != 1 {
		t.Fatal(refs, err)
	}
	names := []string{"red", "green", "blue", "DAPI"}
	var want []float32
	for _, first := range []int{0, 100, 200, 1000} {
		for k := range 12 {
			want = append(want, float32(first+k/3*10+k%3))
		}
	}
	compare := func(way string, m *imageio.Image, channels []string) {
		t.Helper()
		if d := cmp.Diff(names, channels); d != "" {
			t.Errorf("%s: channels: %s", way, d)
		}
		if d := cmp.Diff(want, m.Pix); d != "" || m.C != 4 {
			t.Errorf("%s: %d channels: %s", way, m.C, d)
		}
	}
	p := &plane{ref: refs[0], info: refs[0].Info, channels: refs[0].Channels, file: s.file}
	if err := p.load(s.file); err != nil {
		t.Fatal(err)
	}
	compare("whole", p.measured, p.channels)
	m, err := ReadChannels(s.file, refs[0].Measured...)
	if err != nil {
		t.Fatal(err)
	}
	compare("read", m, m.Channels)
	banded := imageio.NewImage(3, 4, 4)
	for y := 0; y < 4; y += 2 {
		part, err := p.rows(refs[0].Measured...).Read(y, 2)
		if err != nil {
			t.Fatal(err)
		}
		for c := range part.C {
			copy(banded.Plane(c)[y*3:], part.Plane(c))
		}
	}
	compare("in bands", banded, p.channels)
	if refs[0].samples() != 48 {
		t.Errorf("memory for %d samples", refs[0].samples())
	}
}

// TestChannelsOfTwoSizes are refused.
// TestChannelsOfOneName: channels that the file names alike have columns of their own.
func TestChannelsOfOneName(t *testing.T) {
	f := &imageio.File{Planes: []imageio.PlaneInfo{{C: 1, Name: "DAPI"}, {C: 1, Name: "Cy5"}, {C: 1, Name: "Cy5"}, {C: 1, Name: "Cy5_2"}, {C: 3}, {C: 3}}}
	want := []string{"DAPI", "Cy5", "Cy5_2", "Cy5_2_2", "red", "green", "blue", "red_2", "green_2", "blue_2"}
	if d := cmp.Diff(want, channelNames(f, []int{0, 1, 2, 3, 4, 5})); d != "" {
		t.Error(d)
	}
}

func TestChannelsOfTwoSizes(t *testing.T) {
	s := &numbered{}
	s.file = imageplane.NewFile("f", "TIFF", s)
	s.file.Planes = []imageio.PlaneInfo{{W: 3, H: 4, C: 1}, {W: 4, H: 4, C: 1, Channel: 1}}
	if m, err := ReadChannels(s.file, 0, 1); err == nil {
		t.Errorf("%d x %d with %d channels", m.W, m.H, m.C)
	}
}

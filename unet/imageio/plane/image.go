package plane

// Image is one 2-D image of C channels.
type Image struct {
	W, H, C int
	// Pix holds C planes of H rows of W samples, raw units of the file
	// (0..255 for 8-bit, 0..65535 for 16-bit, as stored for float).
	Pix []float32
	// Bits is the sample size of the source: 1, 8, 16, 32 or 64.
	Bits int
	// Float says that the source held floating-point samples.
	Float bool
	// Channels names the channels where the file does; else nil.
	Channels  []string
	PixelSize PixelSize
}

// NewImage returns a zeroed image of c channels.
func NewImage(w, h, c int) *Image {
	return &Image{W: w, H: h, C: c, Pix: make([]float32, w*h*c), Bits: 8}
}

// Plane returns channel c as H*W samples, row by row; it shares memory.
func (m *Image) Plane(c int) []float32 { return m.Pix[c*m.W*m.H : (c+1)*m.W*m.H] }

// Append adds the channels of n, which is as large, behind those of m. Names are
// left to the caller.
func (m *Image) Append(n *Image) {
	m.Pix = append(m.Pix, n.Pix...)
	m.C += n.C
}

// Gray returns m as one channel when it is gray in substance: when it has one
// channel or all its channels hold the same samples. Otherwise it returns m
// itself. Memory is shared with m.
func (m *Image) Gray() *Image {
	if m.C <= 1 {
		return m
	}
	first := m.Plane(0)
	for c := 1; c < m.C; c++ {
		for i, v := range m.Plane(c) {
			if v != first[i] {
				return m
			}
		}
	}
	g := *m
	g.C, g.Pix, g.Channels = 1, first, nil
	return &g
}

// Undefined returns the share of the samples that are no finite numbers.
func (m *Image) Undefined() float64 {
	n := 0
	for _, v := range m.Pix {
		if v-v != 0 {
			n++
		}
	}
	return float64(n) / max(1, float64(len(m.Pix)))
}

// Labels is a label image: ID holds H rows of W instance numbers, 0 is
// background. Numbers need not be consecutive.
type Labels struct {
	W, H int
	ID   []uint32
}

// NewLabels returns an all-background label image.
func NewLabels(w, h int) *Labels { return &Labels{W: w, H: h, ID: make([]uint32, w*h)} }

// Max returns the largest instance number, 0 for an empty image.
func (l *Labels) Max() uint32 {
	var m uint32
	for _, v := range l.ID {
		m = max(m, v)
	}
	return m
}

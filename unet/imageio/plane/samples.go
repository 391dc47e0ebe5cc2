package plane

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is how one sample is stored, little-endian.
type Type struct {
	Size int  // bytes: 1, 2, 4 or 8
	Kind byte // 'u' unsigned, 'i' signed, 'f' floating point
}

func (t Type) String() string {
	name := map[byte]string{'u': "uint", 'i': "int", 'f': "float"}[t.Kind]
	return fmt.Sprintf("%s%d", name, 8*t.Size)
}

// Valid reports whether samples of type t can be converted.
func (t Type) Valid() bool {
	switch t.Size {
	case 1:
		return t.Kind == 'u' || t.Kind == 'i'
	case 2, 4, 8:
		return t.Kind == 'u' || t.Kind == 'i' || t.Kind == 'f'
	}
	return false
}

// A Sink takes the samples of a region row piece by row piece: n samples of
// channel c at row y from column x on, step bytes apart in src.
type Sink interface {
	Put(c, x, y, n int, src []byte, step int, t Type) error
}

// ImageSink puts samples into an image.
type ImageSink struct{ *Image }

// Put implements Sink.
func (s ImageSink) Put(c, x, y, n int, src []byte, step int, t Type) error {
	ToFloat(s.Plane(c)[y*s.W+x:][:n], src, step, t)
	return nil
}

// LabelSink puts samples that are label numbers into a label image.
type LabelSink struct{ *Labels }

// Put implements Sink; a sample that is no label number is an error.
func (s LabelSink) Put(c, x, y, n int, src []byte, step int, t Type) error {
	if i, v := ToLabel(s.ID[y*s.W+x:][:n], src, step, t); i >= 0 {
		return &notLabels{x + i, y, v}
	}
	return nil
}

// notLabels says that a sample is no number of a label image.
type notLabels struct {
	x, y int
	v    any
}

func (e *notLabels) Error() string { return fmt.Sprintf("pixel (%d, %d) is %v", e.x, e.y, e.v) }

const labelHint = "a label image holds whole numbers from 0 to 4294967295; is this a probability map?"

var le = binary.LittleEndian

// ToFloat converts len(dst) samples. 32-bit integers and 64-bit samples are
// rounded to the nearest float32.
func ToFloat(dst []float32, src []byte, step int, t Type) {
	switch (Type{t.Size, t.Kind}) {
	case Type{1, 'u'}:
		if step == 1 {
			Widen(dst, src)
			return
		}
		for i := range dst {
			dst[i] = float32(src[i*step])
		}
	case Type{1, 'i'}:
		for i := range dst {
			dst[i] = float32(int8(src[i*step]))
		}
	case Type{2, 'u'}:
		for i := range dst {
			dst[i] = float32(le.Uint16(src[i*step:]))
		}
	case Type{2, 'i'}:
		for i := range dst {
			dst[i] = float32(int16(le.Uint16(src[i*step:])))
		}
	case Type{2, 'f'}:
		for i := range dst {
			dst[i] = Half(le.Uint16(src[i*step:]))
		}
	case Type{4, 'u'}:
		for i := range dst {
			dst[i] = float32(le.Uint32(src[i*step:]))
		}
	case Type{4, 'i'}:
		for i := range dst {
			dst[i] = float32(int32(le.Uint32(src[i*step:])))
		}
	case Type{4, 'f'}:
		for i := range dst {
			dst[i] = math.Float32frombits(le.Uint32(src[i*step:]))
		}
	case Type{8, 'u'}:
		for i := range dst {
			dst[i] = float32(le.Uint64(src[i*step:]))
		}
	case Type{8, 'i'}:
		for i := range dst {
			dst[i] = float32(int64(le.Uint64(src[i*step:])))
		}
	case Type{8, 'f'}:
		for i := range dst {
			dst[i] = float32(math.Float64frombits(le.Uint64(src[i*step:])))
		}
	}
}

// ToLabel converts len(dst) samples exactly. It returns the position and value
// of the first one that is no label number, or -1.
func ToLabel(dst []uint32, src []byte, step int, t Type) (bad int, value any) {
	for i := range dst {
		p := src[i*step:]
		var v uint64
		switch t.Size {
		case 1:
			v = uint64(p[0])
		case 2:
			v = uint64(le.Uint16(p))
		case 4:
			v = uint64(le.Uint32(p))
		case 8:
			v = le.Uint64(p)
		}
		switch t.Kind {
		case 'i':
			shift := 64 - 8*t.Size
			if s := int64(v<<shift) >> shift; s < 0 {
				return i, s
			}
		case 'f':
			var f float64
			switch t.Size {
			case 2:
				f = float64(Half(uint16(v)))
			case 4:
				f = float64(math.Float32frombits(uint32(v)))
			case 8:
				f = math.Float64frombits(v)
			}
			if !(f >= 0 && f <= math.MaxUint32) || f != math.Trunc(f) {
				return i, f
			}
			v = uint64(f)
		}
		if v > math.MaxUint32 {
			return i, v
		}
		dst[i] = uint32(v)
	}
	return -1, nil
}

// Half widens an IEEE 754 binary16 number.
func Half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&0x3ff
	switch exp {
	case 0: // zero and subnormal: frac * 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// SwapBytes reverses the bytes of each sample in b.
func SwapBytes(b []byte, size int) {
	switch size {
	case 2:
		for ; len(b) >= 2; b = b[2:] {
			b[0], b[1] = b[1], b[0]
		}
	case 4:
		for ; len(b) >= 4; b = b[4:] {
			le.PutUint32(b, binary.BigEndian.Uint32(b))
		}
	case 8:
		for ; len(b) >= 8; b = b[8:] {
			le.PutUint64(b, binary.BigEndian.Uint64(b))
		}
	}
}

// LabelsOf turns samples into label numbers, exactly or not at all.
func LabelsOf(name string, m *Image) (*Labels, error) {
	m = m.Gray()
	if m.C != 1 {
		return nil, &UnsupportedError{Name: name, Format: "label image", Feature: fmt.Sprintf("%d channels", m.C), Advice: "a label image holds one number per pixel; export labels as 8-, 16- or 32-bit gray"}
	}
	l := NewLabels(m.W, m.H)
	for i, v := range m.Pix {
		if !(v >= 0 && v < 1<<32) || float32(math.Trunc(float64(v))) != v {
			return nil, Wrap(name, "label image", &notLabels{i % m.W, i / m.W, v})
		}
		l.ID[i] = uint32(v)
	}
	return l, nil
}

// Widen converts bytes to samples.
func Widen(dst []float32, src []byte) {
	src = src[:len(dst)]
	for i, v := range src {
		dst[i] = float32(v)
	}
}

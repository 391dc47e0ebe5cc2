package plane

import (
	"encoding/binary"
	"math"
	"testing"
)

// TestHalf checks all binary16 numbers against IEEE 754's definition:
// (-1)^s · 2^(e-15) · (1 + f/1024), and (-1)^s · 2^-14 · f/1024 where e is 0.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, e, f := 1.0, h>>10&31, float64(h&1023)/1024
		if h>>15 != 0 {
			sign = -1
		}
		var want float64
		switch {
		case e == 31 && f == 0:
			want = sign * math.Inf(1)
		case e == 31:
			want = math.NaN()
		case e == 0:
			want = sign * math.Ldexp(f, -14)
		default:
			want = sign * math.Ldexp(1+f, e-15)
		}
		got := float64(Half(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != (h>>15 != 0) {
			t.Fatalf("%#04x is %v, want %v", h, got, want)
		}
	}
}

// TestToLabel: samples are label numbers exactly or not at all.
func TestToLabel(t *testing.T) {
	bytes := func(v any) []byte {
		b, err := binary.Append(nil, binary.LittleEndian, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name   string
		sample any
		t      Type
		want   uint32
		bad    any // the value refused
	}{
		{"a byte", uint8(200), Type{1, 'u'}, 200, nil},
		{"a signed byte", int8(100), Type{1, 'i'}, 100, nil},
		{"below zero, 8 bits", int8(-1), Type{1, 'i'}, 0, int64(-1)},
		{"below zero, 16 bits", int16(-2), Type{2, 'i'}, 0, int64(-2)},
		{"below zero, 32 bits", int32(-3), Type{4, 'i'}, 0, int64(-3)},
		{"below zero, 64 bits", int64(-4), Type{8, 'i'}, 0, int64(-4)},
		{"the greatest", uint32(math.MaxUint32), Type{4, 'u'}, math.MaxUint32, nil},
		{"beyond 32 bits", uint64(1 << 32), Type{8, 'u'}, 0, uint64(1 << 32)},
		{"a whole float", float32(16777216), Type{4, 'f'}, 16777216, nil},
		{"background, signed", int16(0), Type{2, 'i'}, 0, nil},
		{"background, float", float32(0), Type{4, 'f'}, 0, nil},
		{"the greatest, float", float64(math.MaxUint32), Type{8, 'f'}, math.MaxUint32, nil},
		{"below zero, float", float32(-1), Type{4, 'f'}, 0, -1.0},
		{"a probability", float32(0.5), Type{4, 'f'}, 0, 0.5},
		{"half precision", uint16(0x4200), Type{2, 'f'}, 3, nil},
		{"a double beyond 32 bits", float64(1 << 32), Type{8, 'f'}, 0, float64(1 << 32)},
	} {
		dst := make([]uint32, 1)
		switch bad, value := ToLabel(dst, bytes(c.sample), 0, c.t); {
		case c.bad == nil && (bad != -1 || dst[0] != c.want):
			t.Errorf("%s: %d, refused %v at %d", c.name, dst[0], value, bad)
		case c.bad != nil && (bad != 0 || value != c.bad):
			t.Errorf("%s: %v at %d, want %v refused", c.name, value, bad, c.bad)
		}
	}
}

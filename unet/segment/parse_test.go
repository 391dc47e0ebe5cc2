package segment

import (
	"errors"
	"fmt"
	"testing"

	"unet/unet"
	"unet/unet/imageio"

	"github.com/google/go-cmp/cmp"
)

// TestLengthIn: a length in µm takes a size of pixels.
func TestLengthIn(t *testing.T) {
	half := imageio.PixelSize{X: 0.5, Y: 0.5}
	for _, c := range []struct {
		length Length
		size   imageio.PixelSize
		want   float64
		ok     bool
	}{
		{Length{Micrometres: 2}, half, 4, true},
		{Length{Pixels: 5}, half, 5, true},
		{Length{Pixels: 5}, imageio.PixelSize{}, 5, true},
		{Length{Micrometres: 2}, imageio.PixelSize{}, 0, false},
	} {
		if v, ok := c.length.in(c.size); ok != c.ok || ok && v != c.want {
			t.Errorf("%+v at %+v: %v %v, want %v %v", c.length, c.size, v, ok, c.want, c.ok)
		}
	}
}

// TestParsePrecision: a model multiplies in what it was made for; one in float32 in
// bfloat16, too.
func TestParsePrecision(t *testing.T) {
	for _, c := range []struct{ own, text, want string }{ // want "": an error
		{"", "", "float32"}, {"", "auto", "float32"}, {"", "float32", "float32"}, {"", BFloat16, BFloat16}, {"", unet.Int8, ""}, {"", "float16", ""},
		{unet.Int8, "auto", unet.Int8}, {unet.Int8, unet.Int8, unet.Int8}, {unet.Int8, "float32", ""}, {unet.Int8, BFloat16, ""},
	} {
		got, err := ParsePrecision(c.text, &unet.Model{Card: unet.Card{Precision: c.own}})
		var wrong *PrecisionError
		if got != c.want || (c.want == "") != errors.As(err, &wrong) {
			t.Errorf("%q of a model in %q: %q, %v; want %q", c.text, c.own, got, err, c.want)
		} else if wrong != nil && wrong.Hint() == "" {
			t.Errorf("%v: no hint", err)
		}
	}
}

// TestParse: what options say, and that their texts read back. A μ may be that of Greek
// or the sign for micro.
func TestParse(t *testing.T) {
	diameter := func(s string) (any, error) { return ParseDiameter(s) }
	length := func(s string) (any, error) { return ParseLength(s) }
	colour := func(s string) (any, error) { return ParseColourBy(s) }
	markers := func(s string) (any, error) { return ParseMarkers(s) }
	for _, c := range []struct {
		parse func(string) (any, error)
		text  string
		want  any // nil: an error
		again string
	}{
		{diameter, "auto", Diameter{}, "auto"},
		{diameter, "native", Diameter{Native: true}, "native"},
		{diameter, "25", Diameter{Pixels: 25}, "25"},
		{diameter, "25.5px", Diameter{Pixels: 25.5}, "25.5"},
		{diameter, "12um", Diameter{Micrometres: 12}, "12um"},
		{diameter, "12 µm", Diameter{Micrometres: 12}, "12um"},
		{diameter, "12μm", Diameter{Micrometres: 12}, "12um"},
		{diameter, "0", nil, ""}, {diameter, "-3um", nil, ""}, {diameter, "Inf", nil, ""}, {diameter, "NaN", nil, ""}, {diameter, "", nil, ""}, {diameter, "12mm", nil, ""},
		{length, "5", Length{Pixels: 5}, "5"},
		{length, "2.5um", Length{Micrometres: 2.5}, "2.5um"},
		{length, "2µm", Length{Micrometres: 2}, "2um"},
		{length, "0px", nil, ""}, {length, "+Inf", nil, ""}, {length, "auto", nil, ""},
		{colour, "area", ColourBy{Column: "area"}, "area"},
		{colour, "area:20-400", ColourBy{"area", 20, 400}, "area:20-400"},
		{colour, "mean_DAPI:0.5-1", ColourBy{"mean_DAPI", 0.5, 1}, "mean_DAPI:0.5-1"},
		{colour, "area:400-20", nil, ""}, {colour, "area:5-5", nil, ""}, {colour, "area:5", nil, ""}, {colour, ":1-2", nil, ""}, {colour, "area:a-b", nil, ""},
		{markers, " ", []Marker(nil), ""},
		{markers, "Ki67, CD3>200", []Marker{{Name: "Ki67"}, {"CD3", new(200.0)}}, ""},
		{markers, "Ki67,ki67>2", nil, ""}, {markers, "Ki67,,CD3", nil, ""}, {markers, "CD3<2", nil, ""}, {markers, "CD3>=2", nil, ""}, {markers, "CD3>x", nil, ""},
	} {
		got, err := c.parse(c.text)
		if c.want == nil {
			if err == nil {
				t.Errorf("%q is %+v, want an error", c.text, got)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", c.text, err, diff)
		}
		if s, ok := got.(fmt.Stringer); ok && s.String() != c.again {
			t.Errorf("%q is written %q, want %q", c.text, s, c.again)
		}
	}
}

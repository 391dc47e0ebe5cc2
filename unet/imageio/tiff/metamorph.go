package tiff

import (
	"regexp"
	"strconv"
	"strings"

	"unet/unet/imageio/plane"
)

// metaMorph lists the planes of a MetaMorph stack: one directory describes the
// first plane, the others follow it, and tag UIC2 has a value for each.
// (MetaMorph Stack (STK) Image File Format, Universal Imaging, 1998.)
func (s *tiffSource) metaMorph() error {
	s.out.Format = "MetaMorph STK"
	first := s.pages[0]
	size := s.metaMorphStack()
	n := int(min(first.uic2.count, plane.MaxPlanes+1))
	if len(s.pages) > 1 || n < 2 {
		return s.plain(size)
	}
	pages, err := s.contiguous(first, n, "MetaMorph's tags count")
	if err != nil {
		return err
	}
	for i, p := range pages {
		if err := s.add(p, plane.Info{Page: i, Z: i, PixelSize: size}, nil); err != nil {
			return err
		}
	}
	return nil
}

// metaMorphStack is the calibration in tag UIC1, pairs of a number that says
// what follows and a value or its position, and the slices' distance in UIC2.
func (s *tiffSource) metaMorphStack() plane.PixelSize {
	e := s.pages[0].uic1
	if e.count < 2 || e.count > 1<<12 {
		return plane.PixelSize{}
	}
	b, err := s.bytes(e.pos, 8*int64(e.count))
	if err != nil {
		return plane.PixelSize{}
	}
	fraction := func(pos uint32) float64 {
		return s.rational(tiffEntry{typ: 5, count: 1, pos: int64(pos)})
	}
	var x, y, unit float64
	calibrated := true
	for ; len(b) >= 8; b = b[8:] {
		id, v := s.order.Uint32(b), s.order.Uint32(b[4:])
		switch id {
		case 3:
			calibrated = v != 0
		case 4:
			x = fraction(v)
		case 5:
			y = fraction(v)
		case 6:
			if n, err := s.bytes(int64(v), 4); err == nil {
				if text, err := s.bytes(int64(v)+4, int64(min(s.order.Uint32(n), 64))); err == nil {
					unit = plane.Micrometres(decodeText(text))
				}
			}
		}
	}
	if !calibrated || unit == 0 {
		return plane.PixelSize{}
	}
	return plane.SizeOf(x*unit, y*unit, fraction(uint32(s.pages[0].uic2.pos))*unit)
}

// calibration matches MetaMorph's properties in the description of a page.
var calibration = regexp.MustCompile(`id="spatial-calibration-(x|y|units|state)"[^>]*?value="([^"]*)"`)

// metaMorphSize is the calibration that MetaMorph and MetaXpress write into the
// XML of a plain TIFF file.
func (s *tiffSource) metaMorphSize(text string) plane.PixelSize {
	if !strings.Contains(text, "<MetaData>") {
		return plane.PixelSize{}
	}
	found := map[string]string{}
	for _, m := range calibration.FindAllStringSubmatch(text, 8) {
		found[m[1]] = m[2]
	}
	if state := found["state"]; state != "" && state != "on" {
		return plane.PixelSize{}
	}
	x, _ := strconv.ParseFloat(found["x"], 64)
	y, _ := strconv.ParseFloat(found["y"], 64)
	unit := plane.Micrometres(found["units"])
	return plane.SizeOf(x*unit, y*unit, 0)
}

package tiff

import (
	"encoding/binary"
	"math"

	"unet/unet/imageio/plane"
)

// zeissLSM lists the planes of a Zeiss LSM file: pages alternate with
// thumbnails, which are marked, z counts before time, and tag CZ_LSMINFO has the
// size of voxels in metres and the channels' names. (LSM 5/7 file format
// description, Carl Zeiss MicroImaging, 2010.)
func (s *tiffSource) zeissLSM() error {
	s.out.Format = "Zeiss LSM"
	var size plane.PixelSize
	var names []string
	slices := 1
	if b, err := s.bytes(s.pages[0].lsm.pos, int64(min(s.pages[0].lsm.count, 256))); err == nil && len(b) >= 112 {
		metres := func(at int) float64 { return 1e6 * math.Float64frombits(binary.LittleEndian.Uint64(b[at:])) }
		size = plane.SizeOf(metres(40), metres(48), metres(56))
		slices = int(max(1, min(binary.LittleEndian.Uint32(b[16:]), plane.MaxPlanes)))
		names = s.lsmNames(int64(binary.LittleEndian.Uint32(b[108:])))
	}
	name := func(c int) string {
		if c < len(names) {
			return names[c]
		}
		return ""
	}
	i := 0
	for _, p := range s.pages {
		if p.reduced {
			continue
		}
		if err := s.add(p, plane.Info{Page: i, Z: i % slices, T: i / slices, PixelSize: size}, name); err != nil {
			return err
		}
		i++
	}
	if i == 0 {
		return s.plain(size)
	}
	return nil
}

// lsmNames reads the names of channels at pos: a block of six numbers, of which
// the second last is the offset of texts led by their lengths.
func (s *tiffSource) lsmNames(pos int64) []string {
	head, err := s.bytes(pos, 24)
	if pos == 0 || err != nil {
		return nil
	}
	size, offset := int64(binary.LittleEndian.Uint32(head)), int64(binary.LittleEndian.Uint32(head[16:]))
	if offset < 24 || offset > size || size > 1<<16 {
		return nil
	}
	b, err := s.bytes(pos+offset, size-offset)
	if err != nil {
		return nil
	}
	var names []string
	for len(b) > 4 {
		n := int(min(binary.LittleEndian.Uint32(b), 1<<16))
		if n == 0 || n > len(b)-4 {
			break
		}
		names = append(names, decodeText(b[4:4+n]))
		b = b[4+n:]
	}
	return names
}

package tiff

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"

	"unet/unet/imageio/plane"
)

// imageJ lists the planes of an ImageJ stack. ImageJ describes it by lines of
// key=value in the first page; stacks above 4 GiB, and every stack that
// ImageJ keeps in one piece, have one directory for all planes, which follow
// each other uncompressed.
func (s *tiffSource) imageJ(text string) error {
	s.out.Format = "ImageJ TIFF"
	kv := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			kv[k] = v
		}
	}
	num := func(key string) int {
		n, err := strconv.Atoi(kv[key])
		if err != nil || n < 1 {
			return 1
		}
		return min(n, 1<<30)
	}
	first := s.pages[0]
	images, channels, slices := num("images"), num("channels"), num("slices")
	if frames := num("frames"); int64(channels)*int64(slices)*int64(frames) != int64(images) {
		if images > 1 || len(s.pages) > 1 {
			s.out.Note("ImageJ's description counts %d images but %d channels x %d slices x %d frames; read as a plain stack", images, channels, slices, frames)
		}
		channels, slices = 1, max(images, len(s.pages))
	}
	pages := s.pages
	if images > 1 && len(pages) == 1 {
		var err error
		if pages, err = s.contiguous(first, images, "its ImageJ description counts"); err != nil {
			return err
		}
	}
	if len(pages) > 1 && len(pages) != images {
		s.out.Note("ImageJ's description counts %d images, the file has %d pages", images, len(pages))
	}
	size, names := s.imageJSize(kv), s.imageJNames(channels, len(pages))
	for i, p := range pages {
		// Order xyczt; colour pages hold all their channels themselves.
		info := plane.Info{Page: i, PixelSize: size, Channel: i % channels, Z: i / channels % slices, T: i / channels / slices}
		if err := s.add(p, info, names); err != nil {
			return err
		}
	}
	return nil
}

// imageJSize is the size of a voxel: the resolution tags count pixels per unit
// of length of the description, which may have one of its own for y and z.
func (s *tiffSource) imageJSize(kv map[string]string) plane.PixelSize {
	first := s.pages[0]
	unit := func(axis string) (name string, um float64) {
		name = unescape(kv[axis+"unit"])
		if name == "" {
			name = unescape(kv["unit"])
		}
		return name, plane.Micrometres(name)
	}
	name, x := unit("")
	_, y := unit("y")
	_, z := unit("z")
	if first.resX <= 0 {
		return plane.PixelSize{}
	}
	if x == 0 {
		if name != "" && !strings.HasPrefix(strings.ToLower(name), "pixel") {
			s.out.Note("its pixel size is in the unit %q, which is not known and not used", name)
		}
		return plane.PixelSize{}
	}
	resY := first.resY
	if resY <= 0 {
		resY = first.resX
	}
	spacing, _ := strconv.ParseFloat(strings.Replace(kv["spacing"], ",", ".", 1), 64)
	size := plane.SizeOf(x/first.resX, y/resY, math.Abs(spacing)*z)
	if dpi := plane.PrintResolution(size.X); dpi > 0 && x >= plane.Micrometres("mm") {
		s.out.Note("its resolution of %g dots per inch is one for print or screen, and is not taken for a pixel size", dpi)
		return plane.PixelSize{}
	}
	return size
}

// contiguous makes pages of n planes that follow each other from first on;
// claim says who counts them.
func (s *tiffSource) contiguous(first *tiffPage, n int, claim string) ([]*tiffPage, error) {
	if err := s.readable(first); err != nil {
		return nil, err
	}
	if !first.direct() || first.tiled || first.planar {
		return nil, s.bad("%s %d images, the file has one page", claim, n)
	}
	bytes := s.storedBytes(first, first.spp, first.h)
	pos, err := s.ints(first.offsets, maxChunks)
	if err != nil {
		return nil, err
	}
	if len(pos) == 0 || n > plane.MaxPlanes || int64(n) > s.size/bytes || pos[0] > uint64(s.size-int64(n)*bytes) {
		return nil, s.bad("%s %d images of %d bytes, the file has %d bytes: truncated?", claim, n, bytes, s.size)
	}
	pages := make([]*tiffPage, n)
	for i := range pages {
		p := *first
		p.index, p.shift = i, int64(i)*bytes
		// One strip of all rows; its single offset is the first one's.
		p.ch, p.offsets.count, p.counts = p.h, 1, tiffEntry{}
		pages[i] = &p
	}
	return pages, nil
}

// unescape turns ImageJ's \u00B5 into µ.
func unescape(s string) string {
	if v, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, "") + `"`); err == nil {
		return v
	}
	return s
}

// maxLabels bounds the bytes of ImageJ's slice labels.
const maxLabels = 1 << 24

// sliceLabel matches what ImageJ puts before a slice's label, its place.
var sliceLabel = regexp.MustCompile(`^(?:[cztCZT]:\s*\d+/\d+\s*)+(?:-\s*)?`)

// imageJNames returns the names of channels that labels of slices give, nil
// where there are none.
func (s *tiffSource) imageJNames(channels, slices int) func(channel int) string {
	if channels < 2 {
		return nil
	}
	names := channelNames(s.imageJLabels(), channels, slices)
	return func(c int) string {
		if c < len(names) {
			return names[c]
		}
		return ""
	}
}

// channelNames are the labels that repeat over all slices of a channel; others
// are labels of slices.
func channelNames(labels []string, channels, slices int) []string {
	if len(labels) < channels {
		return nil
	}
	label := func(i int) string {
		line, _, _ := strings.Cut(labels[i], "\n")
		return strings.TrimSpace(sliceLabel.ReplaceAllString(strings.TrimSpace(line), ""))
	}
	names := make([]string, channels)
	for c := range names {
		names[c] = label(c)
		for i := c; i < min(len(labels), slices); i += channels {
			if label(i) != names[c] {
				names[c] = ""
				break
			}
		}
	}
	return names
}

// imageJLabels reads the labels of slices: ImageJ keeps them in two tags, byte
// counts and data, the first part of which lists the kinds and numbers of the
// others (ij.io.TiffEncoder). Damage costs the labels only.
func (s *tiffSource) imageJLabels() []string {
	counts, err := s.ints(s.pages[0].ijCounts, plane.MaxPlanes)
	e := s.pages[0].ijData
	if err != nil || len(counts) < 2 || e.count > maxLabels {
		return nil
	}
	b, err := s.bytes(e.pos, int64(e.count))
	if err != nil || counts[0] > uint64(len(b)) || counts[0] < 12 {
		return nil
	}
	head, rest := b[4:counts[0]], b[counts[0]:]
	counts = counts[1:]
	var labels []string
	for ; len(head) >= 8; head = head[8:] {
		kind, n := s.order.Uint32(head), uint64(s.order.Uint32(head[4:]))
		for range min(n, uint64(len(counts))) {
			size := counts[0]
			counts = counts[1:]
			if size > uint64(len(rest)) {
				return labels
			}
			if kind == 'l'<<24|'a'<<16|'b'<<8|'l' {
				units := make([]uint16, size/2)
				for i := range units {
					units[i] = s.order.Uint16(rest[2*i:])
				}
				labels = append(labels, string(utf16.Decode(units)))
			}
			rest = rest[size:]
		}
	}
	return labels
}

package tiff

import (
	"fmt"
	"math"

	"unet/unet/imageio/plane"
)

// tiffPage is one image file directory. Values that can be many are read on
// demand.
type tiffPage struct {
	index       int
	w, h        int
	spp         int // samples per pixel
	bits        int // stored bits per sample
	t           plane.Type
	compression int
	photometric int
	predictor   int
	planar      bool // every sample in chunks of its own
	reverseBits bool
	reduced     bool // a smaller version of another page
	tiled       bool
	cw, ch      int // size of a strip or tile
	extra       []uint64
	depths      []uint64
	formats     []uint64
	resX, resY  float64 // pixels per unit, 0 when not stated
	unit        uint64  // 2 inch, 3 cm
	offsets     tiffEntry
	counts      tiffEntry
	colorMap    tiffEntry
	jpegTables  tiffEntry
	description tiffEntry
	shift       int64 // added to the offsets, for planes without a directory
	depth       int   // slices of a volumetric page, else 1
	tileDepth   int   // slices in a tile
	orientation int
	software    tiffEntry
	ijCounts    tiffEntry // ImageJ's labels of slices
	ijData      tiffEntry
	uic1, uic2  tiffEntry // MetaMorph
	lsm         tiffEntry // Zeiss
	subIFDs     tiffEntry // smaller versions
	lens        float64   // NDPI's magnification, -1 the macro, -2 a map; 0 when not stated

	chunkPos, chunkLen []uint64 // loaded offsets and counts
}

// tagReader reads numbers of one directory and keeps the first error.
type tagReader struct {
	f    *tiffFile
	tags map[uint16]tiffEntry
	err  error
}

// all returns the values of a tag, nil when it is missing.
func (r *tagReader) all(tag uint16) []uint64 {
	e, ok := r.tags[tag]
	if !ok || r.err != nil {
		return nil
	}
	var v []uint64
	v, r.err = r.f.ints(e, maxSamplesPer)
	return v
}

// one returns the first value of a tag.
func (r *tagReader) one(tag uint16, missing uint64) uint64 {
	e, ok := r.tags[tag]
	if !ok || e.count == 0 || r.err != nil {
		return missing
	}
	e.count = 1
	var v []uint64
	if v, r.err = r.f.ints(e, 1); r.err != nil {
		return missing
	}
	return v[0]
}

// small is one for tags whose values beyond 65535 mean nothing.
func (r *tagReader) small(tag uint16, missing uint64) int {
	return int(min(r.one(tag, missing), 1<<16))
}

// page makes sense of the tags of one directory.
func (f *tiffFile) page(index int, tags map[uint16]tiffEntry) (*tiffPage, error) {
	r := &tagReader{f: f, tags: tags}
	p := &tiffPage{
		index:       index,
		compression: r.small(tagCompression, compNone),
		photometric: r.small(tagPhotometric, photoBlackIsZero),
		predictor:   r.small(tagPredictor, 1),
		reverseBits: r.one(tagFillOrder, 1) == 2,
		reduced:     r.one(tagNewSubfileType, 0)&1 != 0,
		unit:        r.one(tagResolutionUnit, 2),
		depths:      r.all(tagBitsPerSample),
		formats:     r.all(tagSampleFormat),
		extra:       r.all(tagExtraSamples),
		offsets:     tags[tagStripOffsets],
		counts:      tags[tagStripByteCounts],
		colorMap:    tags[tagColorMap],
		jpegTables:  tags[tagJPEGTables],
		description: tags[tagDescription],
		orientation: r.small(tagOrientation, 1),
		software:    tags[tagSoftware],
		ijCounts:    tags[tagIJCounts],
		ijData:      tags[tagIJData],
		uic1:        tags[tagUIC1],
		uic2:        tags[tagUIC2],
		lsm:         tags[tagLSM],
		subIFDs:     tags[tagSubIFDs],
		lens:        f.rational(tags[tagNDPILens]),
	}
	depth, tileDepth := r.one(tagImageDepth, 1), r.one(tagTileDepth, 1)
	w, h, spp := r.one(tagImageWidth, 0), r.one(tagImageLength, 0), r.one(tagSamplesPerPixel, 1)
	cw, ch := w, min(r.one(tagRowsPerStrip, h), h)
	if h > 0xffff && ch == h&0xffff && p.offsets.count == 1 {
		ch = h // ImageJ writes one strip and its rows with 16 bits
	}
	if _, p.tiled = tags[tagTileWidth]; p.tiled {
		cw, ch = r.one(tagTileWidth, 0), r.one(tagTileLength, 0)
		if e, ok := tags[tagTileOffsets]; ok { // else in the strips' tags, as some writers do
			p.offsets, p.counts = e, tags[tagTileByteCounts]
		}
	}
	p.planar = r.one(tagPlanarConfig, 1) == 2 && spp > 1
	p.resX, p.resY = f.rational(tags[tagXResolution]), f.rational(tags[tagYResolution])
	switch {
	case r.err != nil:
		return nil, r.err
	case w == 0 || h == 0 || w > plane.MaxSide || h > plane.MaxSide:
		return nil, f.bad("page %d is %d x %d pixels", index, w, h)
	case cw == 0 || ch == 0 || cw > plane.MaxSide || ch > plane.MaxSide:
		return nil, f.bad("page %d has strips or tiles of %d x %d pixels", index, cw, ch)
	case spp == 0 || spp > maxSamplesPer:
		return nil, f.bad("page %d has %d samples per pixel", index, spp)
	case depth == 0 || depth > plane.MaxPlanes || tileDepth == 0 || tileDepth > 4096:
		return nil, f.bad("page %d has %d slices, in tiles of %d", index, depth, tileDepth)
	}
	p.depth, p.tileDepth = int(depth), 1
	if p.tiled {
		p.tileDepth = int(tileDepth)
	}
	p.w, p.h, p.cw, p.ch, p.spp = int(w), int(h), int(cw), int(ch), int(spp)
	return p, nil
}

// rational reads a fraction, or a float, and returns 0 for what is none.
func (f *tiffFile) rational(e tiffEntry) float64 {
	if e.count != 1 {
		return 0
	}
	b, err := f.bytes(e.pos, max(typeSize[e.typ], 1))
	if err != nil {
		return 0
	}
	switch e.typ {
	case 5:
		if d := f.order.Uint32(b[4:]); d != 0 {
			return float64(f.order.Uint32(b)) / float64(d)
		}
	case 11:
		return float64(math.Float32frombits(f.order.Uint32(b)))
	case 12:
		return math.Float64frombits(f.order.Uint64(b))
	}
	return 0
}

// readable works out how samples are stored and refuses what this package
// cannot read. Pages that nobody asks for need not pass.
func (f *tiffFile) readable(p *tiffPage) error {
	for _, list := range [][]uint64{p.depths, p.formats} {
		for _, v := range list {
			if v != list[0] {
				return f.unsupported(p, fmt.Sprintf("samples of different types (bits %v, formats %v)", p.depths, p.formats))
			}
		}
	}
	depth, format := uint64(1), uint64(1)
	if len(p.depths) > 0 {
		depth = min(p.depths[0], 1<<16)
	}
	if len(p.formats) > 0 {
		format = p.formats[0]
	}
	p.bits = int(depth)
	p.t = plane.Type{Size: p.bits / 8, Kind: map[uint64]byte{1: 'u', 2: 'i', 3: 'f', 4: 'u'}[format]}
	switch {
	case depth < 8:
		p.t.Size = 1
	case depth > 8 && depth < 16:
		p.t.Size = 2
	}
	packed := p.bits != 8*p.t.Size
	colour := p.photometric == photoRGB || p.photometric == photoYCbCr
	switch {
	case depth == 0 || !p.t.Valid() || packed && (p.t.Kind != 'u' || depth > 16):
		return f.unsupported(p, fmt.Sprintf("%d-bit samples of format %d", depth, format))
	case compressionName(p.compression) != "":
		return f.unsupported(p, compressionName(p.compression)+" compression")
	case p.compression == compJPEG && (p.t != plane.Type{Size: 1, Kind: 'u'} || packed):
		return f.unsupported(p, fmt.Sprintf("%d-bit JPEG", depth))
	case p.photometric == photoYCbCr && p.compression != compJPEG:
		return f.unsupported(p, "YCbCr colours without JPEG compression")
	case p.photometric > photoMask && p.photometric != photoYCbCr:
		return f.unsupported(p, fmt.Sprintf("colour space %d", p.photometric))
	case colour && p.spp < 3:
		return f.bad("page %d is in colour but has %d samples per pixel", p.index, p.spp)
	case p.photometric == photoPalette && (p.t.Kind != 'u' || p.t.Size > 2):
		return f.unsupported(p, fmt.Sprintf("a palette for %v", p.t))
	case p.predictor == 1:
	case packed, p.predictor != 2 && p.predictor != 3, p.predictor == 3 && p.t.Kind != 'f':
		return f.unsupported(p, fmt.Sprintf("predictor %d for %d-bit %v", p.predictor, depth, p.t))
	}
	return nil
}

// jpeg2000 reports whether a compression is JPEG 2000, which common tools do not
// read either.
func jpeg2000(c int) bool { return compressionName(c) == "JPEG 2000" }

// compressionName names the compressions that are not read; "" for the others.
func compressionName(c int) string {
	switch c {
	case compNone, compLZW, compJPEG, compDeflate, compDeflateOld, compPackBits, compZstd:
		return ""
	case 2, 3, 4:
		return "CCITT fax"
	case 6:
		return "old-style JPEG"
	case 33003, 33004, 33005, 34712:
		return "JPEG 2000"
	case 34887:
		return "LERC"
	case 34925:
		return "LZMA"
	case 50001, 34927:
		return "WebP"
	case 50002, 52546:
		return "JPEG XL"
	}
	return fmt.Sprintf("number %d", c)
}

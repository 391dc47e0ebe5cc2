package tiff

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/plane"
)

// TIFF 6.0 and its extensions: BigTIFF (libtiff), predictor 3 (Adobe TIFF
// Technical Note 3), sample format (TIFF 6.0 section 19), JPEG (Technical
// Note 2). Only the tags below are read.
const (
	tagNewSubfileType  = 254
	tagImageWidth      = 256
	tagImageLength     = 257
	tagBitsPerSample   = 258
	tagCompression     = 259
	tagPhotometric     = 262
	tagFillOrder       = 266
	tagOrientation     = 274
	tagDescription     = 270
	tagStripOffsets    = 273
	tagSamplesPerPixel = 277
	tagRowsPerStrip    = 278
	tagStripByteCounts = 279
	tagXResolution     = 282
	tagYResolution     = 283
	tagPlanarConfig    = 284
	tagResolutionUnit  = 296
	tagPageName        = 285
	tagSoftware        = 305
	tagPredictor       = 317
	tagColorMap        = 320
	tagTileWidth       = 322
	tagTileLength      = 323
	tagTileOffsets     = 324
	tagTileByteCounts  = 325
	tagSubIFDs         = 330
	tagExtraSamples    = 338
	tagSampleFormat    = 339
	tagJPEGTables      = 347
	tagImageDepth      = 32997 // SGI: slices of a volumetric page
	tagTileDepth       = 32998
	tagUIC1            = 33628 // MetaMorph: calibration
	tagUIC2            = 33629 // MetaMorph: as many values as planes
	tagLSM             = 34412 // Zeiss
	tagIJCounts        = 50838 // ImageJ: labels of slices
	tagIJData          = 50839
	tagNDPILens        = 65421
)

const (
	compNone       = 1
	compLZW        = 5
	compJPEG       = 7
	compDeflate    = 8
	compPackBits   = 32773
	compDeflateOld = 32946
	compZstd       = 50000
)

const (
	photoWhiteIsZero = 0
	photoBlackIsZero = 1
	photoRGB         = 2
	photoPalette     = 3
	photoMask        = 4
	photoYCbCr       = 6
)

// Limits on TIFF structures.
const (
	maxPages       = 1 << 18 // image file directories in one file
	maxEntries     = 4096    // tags in one directory
	maxTags        = 1 << 23 // tags in all directories
	maxSamplesPer  = 4096    // samples per pixel
	maxChunks      = 1 << 24 // strips or tiles in one page
	maxRowBytes    = 1 << 28 // one row of a strip or tile, decoded
	maxChunkBytes  = 1 << 30 // one strip or tile, decoded
	maxDescription = 1 << 25 // bytes of an ImageDescription
)

// tiffFile is an open TIFF or BigTIFF file.
type tiffFile struct {
	name  string
	r     io.ReaderAt
	size  int64
	order binary.ByteOrder
	big   bool
	pages []*tiffPage
	cache chunk.Cache

	streams []*stream // large chunks that are being decoded

	loaded []*tiffPage // pages whose chunk tables are in memory
}

// tiffEntry is one tag: its values lie at offset pos of the file.
type tiffEntry struct {
	typ   uint16
	count uint64
	pos   int64
}

func (f *tiffFile) bad(format string, args ...any) error {
	return &plane.FormatError{Name: f.name, Format: "TIFF", Reason: fmt.Sprintf(format, args...)}
}

func (f *tiffFile) unsupported(p *tiffPage, feature string) error {
	if p.index > 0 {
		feature = fmt.Sprintf("%s (page %d)", feature, p.index)
	}
	advice := "re-save it from Fiji, or with \"tiffcp -c zip\" or \"bfconvert -compression zlib\""
	if jpeg2000(p.compression) {
		advice = "convert it: Aperio slides with \"vips tiffsave IN.svs OUT.tif --tile --compression deflate --bigtiff\", others in Python (tifffile, imagecodecs) with " +
			"tifffile.imwrite('OUT.tif', tifffile.imread('IN.tif'), tile=(256, 256), compression='zlib')"
	}
	return &plane.UnsupportedError{Name: f.name, Format: "TIFF", Feature: feature, Advice: advice}
}

// openTIFF reads the directories of a TIFF file, not its pixels.
func openTIFF(name string, r io.ReaderAt, size int64) (*tiffFile, error) {
	f := &tiffFile{name: name, r: r, size: size}
	h, err := f.bytes(0, 8)
	if err != nil {
		return nil, err
	}
	switch string(h[:2]) {
	case "II":
		f.order = binary.LittleEndian
	case "MM":
		f.order = binary.BigEndian
	default:
		return nil, f.bad("the header is %q", h[:4])
	}
	var next uint64
	switch f.order.Uint16(h[2:]) {
	case 42:
		next = uint64(f.order.Uint32(h[4:]))
	case 43:
		f.big = true
		if h, err = f.bytes(0, 16); err != nil {
			return nil, err
		}
		if f.order.Uint16(h[4:]) != 8 || f.order.Uint16(h[6:]) != 0 {
			return nil, f.bad("the BigTIFF header is damaged")
		}
		next = f.order.Uint64(h[8:])
	default:
		return nil, f.bad("the header is %q", h[:4])
	}
	seen, tags := map[uint64]bool{}, 0
	for next != 0 {
		if seen[next] {
			return nil, f.bad("its page directories form a loop at offset %d", next)
		}
		if len(f.pages) == maxPages {
			return nil, &plane.LimitError{Name: f.name, What: fmt.Sprintf("more than %d pages", maxPages), Advice: "split the file"}
		}
		seen[next] = true
		if next > uint64(size) {
			return nil, f.bad("the directory of page %d lies at offset %d, beyond the end (%d bytes): truncated?", len(f.pages), next, size)
		}
		entries, after, err := f.directory(int64(next))
		if tags += len(entries); tags > maxTags {
			return nil, &plane.LimitError{Name: f.name, What: fmt.Sprintf("more than %d tags", maxTags), Advice: "split the file"}
		}
		if err != nil {
			return nil, err
		}
		p, err := f.page(len(f.pages), entries)
		if err != nil {
			return nil, err
		}
		f.pages = append(f.pages, p)
		next = after
	}
	if len(f.pages) == 0 {
		return nil, f.bad("it has no pages")
	}
	return f, nil
}

// bytes reads n bytes at pos, after checking that the file has them.
func (f *tiffFile) bytes(pos, n int64) ([]byte, error) {
	if err := f.check(pos, n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	return b, f.readAt(b, pos)
}

func (f *tiffFile) check(pos, n int64) error {
	if pos < 0 || n < 0 || pos > f.size || n > f.size-pos {
		return f.bad("%d bytes at offset %d lie beyond the end (%d bytes): truncated?", n, pos, f.size)
	}
	return nil
}

func (f *tiffFile) readAt(b []byte, pos int64) error {
	if n, err := f.r.ReadAt(b, pos); n < len(b) {
		if err == io.EOF {
			return f.bad("the file ends too early")
		}
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// typeSize is the bytes per value of each TIFF field type.
var typeSize = [...]int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8}

// directory reads the tags of the directory at pos and the position of the
// next one.
func (f *tiffFile) directory(pos int64) (map[uint16]tiffEntry, uint64, error) {
	head, each, inline := int64(2), int64(12), int64(4)
	if f.big {
		head, each, inline = 8, 20, 8
	}
	b, err := f.bytes(pos, head)
	if err != nil {
		return nil, 0, err
	}
	n := uint64(f.order.Uint16(b))
	if f.big {
		n = f.order.Uint64(b)
	}
	if n == 0 || n > maxEntries {
		return nil, 0, f.bad("the directory at offset %d claims %d tags", pos, n)
	}
	if b, err = f.bytes(pos+head, int64(n)*each+inline); err != nil {
		return nil, 0, err
	}
	entries := make(map[uint16]tiffEntry, n)
	for i := range int64(n) {
		e := b[i*each:]
		v := tiffEntry{typ: f.order.Uint16(e[2:])}
		if f.big {
			v.count = f.order.Uint64(e[4:])
		} else {
			v.count = uint64(f.order.Uint32(e[4:]))
		}
		if int(v.typ) >= len(typeSize) || typeSize[v.typ] == 0 || v.count > uint64(f.size) {
			continue // a tag of an unknown type is to be skipped (TIFF 6.0, p. 16)
		}
		v.pos = pos + head + i*each + each - inline
		if int64(v.count)*typeSize[v.typ] > inline {
			if f.big {
				v.pos = int64(min(f.order.Uint64(e[12:]), math.MaxInt64))
			} else {
				v.pos = int64(f.order.Uint32(e[8:]))
			}
		}
		entries[f.order.Uint16(e)] = v
	}
	last := b[int64(n)*each:]
	if f.big {
		return entries, f.order.Uint64(last), nil
	}
	return entries, uint64(f.order.Uint32(last)), nil
}

// ints reads up to limit values of a tag as unsigned numbers. More than limit
// is an error.
func (f *tiffFile) ints(e tiffEntry, limit uint64) ([]uint64, error) {
	if e.count > limit {
		return nil, f.bad("a tag has %d values where at most %d make sense", e.count, limit)
	}
	var size int64
	switch e.typ {
	case 1, 3, 4, 13, 16, 18:
		size = typeSize[e.typ]
	default:
		return nil, f.bad("a tag has field type %d where a whole number is expected", e.typ)
	}
	b, err := f.bytes(e.pos, int64(e.count)*size)
	if err != nil {
		return nil, err
	}
	v := make([]uint64, e.count)
	for i := range v {
		switch size {
		case 1:
			v[i] = uint64(b[i])
		case 2:
			v[i] = uint64(f.order.Uint16(b[2*i:]))
		case 4:
			v[i] = uint64(f.order.Uint32(b[4*i:]))
		case 8:
			v[i] = f.order.Uint64(b[8*i:])
		}
	}
	return v, nil
}

package tiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"

	"unet/unet/imageio/atomicfile"
	"unet/unet/imageio/chunk"
	"unet/unet/imageio/plane"

	"github.com/klauspost/compress/zlib"
)

// Options describe a TIFF file to write. The zero value of every field but
// W, H and Bits has a use.
type Options struct {
	W, H int
	// Bits per sample: 8, 16 or 32, unsigned; 32 with Float.
	Bits  int
	Float bool
	// Pages is how many pages will be written; 0 means 1. Programs show them
	// as a stack.
	Pages int
	// Description is the text of the first page's ImageDescription tag.
	Description string
	// Names of the pages (PageName tags), when not nil.
	Names     []string
	PixelSize plane.PixelSize
	// Tiled stores tiles of 256 x 256 pixels rather than strips. ImageJ 1.x
	// opens strips only; pyramid builders and viewers of large images prefer
	// tiles. Images of more than StripPixels are always tiled.
	Tiled bool
	// BigTIFF forces the 64-bit format, which is otherwise taken when the
	// uncompressed file could pass 4 GiB.
	BigTIFF bool
}

// StripPixels is the largest image that is stored in strips unless asked
// otherwise.
const StripPixels = 1 << 27

const (
	tileSide   = 256
	stripBytes = 1 << 18
)

// Writer writes a TIFF file page by page and row by row with Deflate
// compression, in memory for one row of tiles whatever the image's size. The
// file appears under its name when Close succeeds; before, or after an error,
// nothing is left behind. Output bytes depend on input alone.
type Writer struct {
	o      Options
	file   *atomicfile.File
	big    bool
	pos    int64
	err    error
	size   int // bytes per sample
	cw, ch int // size of tiles or strips
	page   int
	row    int    // rows of the page taken so far
	band   []byte // rows of the current row of tiles
	next   int64  // position of the pointer to the next directory
	at     []uint64
	length []uint64
	enc    []*chunkEncoder
}

// Create starts a TIFF file at path. Call Close to finish it or Abort to
// drop it.
func Create(path string, o Options) (*Writer, error) {
	o.Pages = max(o.Pages, 1)
	switch {
	case o.W <= 0 || o.H <= 0 || o.W > plane.MaxSide || o.H > plane.MaxSide:
		return nil, fmt.Errorf("%s: TIFF cannot hold an image of %d x %d pixels", path, o.W, o.H)
	case o.Bits != 8 && o.Bits != 16 && o.Bits != 32, o.Float && o.Bits != 32:
		return nil, fmt.Errorf("%s: TIFF samples of %d bits (float %t) are not written", path, o.Bits, o.Float)
	case o.Pages > maxPages:
		return nil, fmt.Errorf("%s: %d pages (limit %d)", path, o.Pages, maxPages)
	}
	w := &Writer{o: o, size: o.Bits / 8}
	raw := int64(o.W) * int64(o.H) * int64(o.Pages) * int64(w.size)
	w.big = o.BigTIFF || raw > math.MaxUint32-raw/100-1<<20
	if o.Tiled || int64(o.W)*int64(o.H) > StripPixels {
		w.o.Tiled = true
		w.cw, w.ch = tileSide, tileSide
	} else {
		w.cw, w.ch = o.W, min(o.H, max(1, stripBytes/(o.W*w.size)))
	}
	nx, ny := (o.W+w.cw-1)/w.cw, (o.H+w.ch-1)/w.ch
	if int64(nx)*int64(ny) > maxChunks {
		return nil, fmt.Errorf("%s: an image of %d x %d pixels has too many tiles", path, o.W, o.H)
	}
	w.band = make([]byte, o.W*w.ch*w.size)
	for range min(nx, runtime.GOMAXPROCS(0)) {
		w.enc = append(w.enc, newChunkEncoder())
	}
	var err error
	if w.file, err = atomicfile.Create(path); err != nil {
		return nil, err
	}
	head := []byte("II*\x00\x00\x00\x00\x00")
	w.next = 4
	if w.big {
		head = []byte("II+\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
		w.next = 8
	}
	w.write(head)
	return w, w.err
}

// WriteLabels takes the next rows of the current page, any whole number of
// them: a row of tiles, the whole page or anything between. An id that does
// not fit the file's bits is an error.
func (w *Writer) WriteLabels(id []uint32) error {
	return w.rows(len(id), func(dst []byte, i int) error {
		if w.o.Float {
			return fmt.Errorf("labels for a file of floats")
		}
		src := id[i : i+len(dst)/w.size]
		switch w.size {
		case 1:
			for k, v := range src {
				if v > 0xff {
					return fmt.Errorf("label %d does not fit 8 bits", v)
				}
				dst[k] = byte(v)
			}
		case 2:
			for k, v := range src {
				if v > 0xffff {
					return fmt.Errorf("label %d does not fit 16 bits", v)
				}
				dst[2*k], dst[2*k+1] = byte(v), byte(v>>8)
			}
		case 4:
			for k, v := range src {
				binary.LittleEndian.PutUint32(dst[4*k:], v)
			}
		}
		return nil
	})
}

// WriteFloats takes the next rows of the current page, any whole number of
// them.
func (w *Writer) WriteFloats(v []float32) error {
	return w.rows(len(v), func(dst []byte, i int) error {
		if !w.o.Float {
			return fmt.Errorf("floats for a file of %d-bit integers", w.o.Bits)
		}
		for k, x := range v[i : i+len(dst)/4] {
			binary.LittleEndian.PutUint32(dst[4*k:], math.Float32bits(x))
		}
		return nil
	})
}

// rows fills the band of rows that make a row of tiles and stores it when
// full; put converts samples from number i on.
func (w *Writer) rows(n int, put func(dst []byte, i int) error) error {
	if w.err != nil {
		return w.err
	}
	if w.file == nil {
		return w.fail(fmt.Errorf("the file is closed"))
	}
	if n%w.o.W != 0 {
		return w.fail(fmt.Errorf("%d samples are not whole rows of %d", n, w.o.W))
	}
	stride := w.o.W * w.size
	for i := 0; i < n; {
		if w.page == w.o.Pages {
			return w.fail(fmt.Errorf("more rows than %d pages of %d", w.o.Pages, w.o.H))
		}
		top := w.row / w.ch * w.ch
		end := min(top+w.ch, w.o.H)
		take := min((n-i)/w.o.W, end-w.row)
		if err := put(w.band[(w.row-top)*stride:(w.row-top+take)*stride], i); err != nil {
			return w.fail(err)
		}
		w.row += take
		i += take * w.o.W
		if w.row == end {
			w.store(end - top)
		}
		if w.row == w.o.H {
			w.directory()
		}
		if w.err != nil {
			return w.err
		}
	}
	return nil
}

// store compresses a row of tiles, side by side, and writes them in order.
func (w *Writer) store(rows int) {
	tiles := (w.o.W + w.cw - 1) / w.cw
	chunk.InWaves(tiles, w.enc, func(e *chunkEncoder, x int) { e.encode(w, x, rows) }, func(e *chunkEncoder, _ int) error {
		w.at = append(w.at, uint64(w.pos))
		w.length = append(w.length, uint64(e.out.Len()))
		w.write(e.out.Bytes())
		return w.err // which Writer's methods return
	})
}

// chunkEncoder compresses one tile or strip at a time.
type chunkEncoder struct {
	out  bytes.Buffer
	zw   *zlib.Writer
	tile []byte
}

func newChunkEncoder() *chunkEncoder {
	e := &chunkEncoder{}
	e.zw, _ = zlib.NewWriterLevel(&e.out, 4)
	return e
}

// encode compresses tile x of the band. Tiles are padded with zeros, strips
// are not.
func (e *chunkEncoder) encode(w *Writer, x, rows int) {
	src := w.band[:rows*w.o.W*w.size]
	if w.o.Tiled {
		n := tileSide * w.size
		if e.tile == nil {
			e.tile = make([]byte, tileSide*n)
		}
		clear(e.tile)
		stride := w.o.W * w.size
		for y := range rows {
			copy(e.tile[y*n:(y+1)*n], src[y*stride+x*n:(y+1)*stride])
		}
		src = e.tile
	}
	e.out.Reset()
	e.zw.Reset(&e.out)
	e.zw.Write(src) // a bytes.Buffer does not fail
	e.zw.Close()
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	if !w.big && w.pos+int64(len(b)) > math.MaxUint32 {
		w.fail(fmt.Errorf("the file passes 4 GiB"))
		return
	}
	n, err := w.file.Write(b)
	w.pos += int64(n)
	if err != nil {
		w.fail(err)
	}
}

// fail keeps the first error and removes the file.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		if w.file == nil {
			w.err = err
			return err
		}
		w.err = fmt.Errorf("writing %s: %w", w.file.Path(), err)
	}
	w.Abort()
	return w.err
}

// Abort drops the file unless Close has succeeded.
func (w *Writer) Abort() {
	if w.file != nil {
		w.file.Abort()
		w.file = nil
	}
	if w.err == nil {
		w.err = fmt.Errorf("the TIFF file was dropped")
	}
}

// Close finishes the file. Missing rows are an error.
func (w *Writer) Close() error {
	if w.err != nil {
		w.Abort()
		return w.err
	}
	if w.page != w.o.Pages {
		return w.fail(fmt.Errorf("%d of %d pages and %d rows were written", w.page, w.o.Pages, w.row))
	}
	err := w.file.Commit()
	if err != nil {
		w.err = err
		w.Abort()
		return err
	}
	w.file = nil
	w.err = fmt.Errorf("the file is closed")
	return nil
}

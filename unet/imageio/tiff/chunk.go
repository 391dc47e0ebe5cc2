package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/plane"
)

// A chunk is a strip or a tile of a page.

// directBytes is how much of an uncompressed strip is read at once.
const directBytes = 1 << 22

// maxTables is how many pages' chunk tables are kept: many pages of a forged
// file can share one large table.
const maxTables = 16

// read hands the samples of rectangle r of a plane, inside which it must lie, to
// s: channel k of the sink gets sample samples[k].
func (f *tiffFile) read(pl tiffPlane, r image.Rectangle, samples []int, s plane.Sink) error {
	p := pl.page
	if err := f.loadChunks(p); err != nil {
		return err
	}
	nx, ny := (p.w+p.cw-1)/p.cw, (p.h+p.ch-1)/p.ch
	inChunk := p.spp // samples per pixel in a chunk
	if p.planar {
		inChunk = 1
	}
	size := p.t.Size
	pixel := inChunk * size
	for cy := r.Min.Y / p.ch; cy*p.ch < r.Max.Y; cy++ {
		for cx := r.Min.X / p.cw; cx*p.cw < r.Max.X; cx++ {
			x0, x1 := max(r.Min.X, cx*p.cw), min(r.Max.X, (cx+1)*p.cw)
			y0, y1 := max(r.Min.Y, cy*p.ch), min(r.Max.Y, (cy+1)*p.ch)
			for k, sample := range samples {
				chunk := pl.z/p.tileDepth*nx*ny + cy*nx + cx
				above := pl.z % p.tileDepth * p.ch // rows of the tile's slices before this one
				use := samples
				if p.planar {
					chunk += sample * nx * ny * p.layers()
					use = samples[k : k+1]
				} else if k > 0 {
					break // all samples came with the first
				}
				err := f.rows(p, chunk, x0-cx*p.cw, x1-cx*p.cw, above+y0-cy*p.ch, above+y1-cy*p.ch, inChunk, func(row int, b []byte) error {
					for j, sample := range use {
						off := sample * size
						c := j
						if p.planar {
							off, c = 0, k
						}
						if err := s.Put(c, x0-r.Min.X, cy*p.ch+row-above-r.Min.Y, x1-x0, b[off:], pixel, p.t); err != nil {
							return plane.Wrap(f.name, "TIFF", fmt.Errorf("page %d: %w", p.index, err))
						}
					}
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// rows calls put for rows y0 to y1 of a chunk with the samples from column x0
// to column x1.
func (f *tiffFile) rows(p *tiffPage, chunk, x0, x1, y0, y1, inChunk int, put func(row int, b []byte) error) error {
	pixel := inChunk * p.t.Size
	if p.chunkLen[chunk] == 0 { // not stored: all zero
		zero := make([]byte, (x1-x0)*pixel)
		for y := y0; y < y1; y++ {
			if err := put(y, zero); err != nil {
				return err
			}
		}
		return nil
	}
	if p.direct() {
		return f.directRows(p, chunk, x0, x1, y0, y1, pixel, put)
	}
	if p.streamed(f.rowsOf(p, chunk), inChunk) {
		return f.streamRows(p, chunk, x0, x1, y0, y1, inChunk, put)
	}
	stride := p.cw * pixel
	b, err := f.chunk(p, chunk, inChunk)
	if err != nil {
		return err
	}
	for y := y0; y < y1; y++ {
		if err := put(y, b[y*stride+x0*pixel:y*stride+x1*pixel]); err != nil {
			return err
		}
	}
	return nil
}

// direct says that rows of a chunk can be read without the others.
func (p *tiffPage) direct() bool {
	return p.compression == compNone && p.bits == 8*p.t.Size && p.predictor == 1
}

// streamed says that a chunk of so many rows is decoded row by row.
func (p *tiffPage) streamed(rows, inChunk int) bool {
	return p.compression != compJPEG && int64(rows)*int64(p.cw)*int64(inChunk)*int64(p.t.Size) > streamBytes
}

// ChunkBytes is that of a strip or tile of JPEG, the only ones that can be large
// and are decoded whole: its samples, twice, and the coefficients of one that is
// progressive.
func (s *tiffSource) ChunkBytes(i int) int64 {
	p := s.planes[i].page
	if p == nil || p.compression != compJPEG {
		return 0
	}
	samples := int64(p.cw) * int64(p.ch)
	if !p.planar {
		samples *= int64(p.spp)
	}
	return (2 + 4) * samples
}

// directRows reads rows of an uncompressed chunk without the rest of it.
func (f *tiffFile) directRows(p *tiffPage, chunk, x0, x1, y0, y1, pixel int, put func(row int, b []byte) error) error {
	stride := p.cw * pixel
	pos, n := int64(p.chunkPos[chunk]), int64(p.chunkLen[chunk])
	if n < int64(y1)*int64(stride) {
		return f.bad("page %d: strip or tile %d has %d bytes, %d are expected", p.index, chunk, n, int64(y1)*int64(stride))
	}
	first, width, step := 0, stride, max(1, directBytes/stride) // whole rows
	if (x1-x0)*2 < p.cw {
		first, width, step = x0*pixel, (x1-x0)*pixel, 1
	}
	step = min(step, y1-y0)
	buf := make([]byte, step*width)
	for y := y0; y < y1; y += step {
		rows := min(step, y1-y)
		b := buf[:rows*width]
		if err := f.readAt(b, pos+int64(y)*int64(stride)+int64(first)); err != nil {
			return err
		}
		if f.order != binary.LittleEndian {
			plane.SwapBytes(b, p.t.Size)
		}
		for i := range rows {
			row := b[i*width : (i+1)*width]
			if err := put(y+i, row[x0*pixel-first:x1*pixel-first]); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadChunks reads the table of a page's chunks and holds it against the size
// of the file and of the page.
func (f *tiffFile) loadChunks(p *tiffPage) error {
	if p.chunkPos != nil {
		return nil
	}
	n := uint64((p.w+p.cw-1)/p.cw) * uint64((p.h+p.ch-1)/p.ch)
	if n <= maxChunks {
		n *= uint64(p.layers())
	}
	inChunk := p.spp
	if p.planar {
		inChunk = 1
		n *= uint64(p.spp)
	}
	if n > maxChunks {
		return &plane.LimitError{Name: f.name, What: fmt.Sprintf("page %d has %d strips or tiles (limit %d)", p.index, n, maxChunks), Advice: "re-save it with larger tiles"}
	}
	pos, err := f.ints(p.offsets, maxChunks)
	if err != nil {
		return err
	}
	if uint64(len(pos)) < n {
		return f.bad("page %d lists %d strips or tiles, %d are expected", p.index, len(pos), n)
	}
	raw := int64(p.cw) * int64(inChunk) * int64(p.t.Size)
	if raw > maxRowBytes {
		return &plane.LimitError{Name: f.name, What: fmt.Sprintf("page %d has rows of %d pixels of %d samples (limit %d MiB)", p.index, p.cw, inChunk, maxRowBytes>>20), Advice: "re-save it with tiles"}
	}
	high := min(p.ch, p.h)
	if p.compression == compJPEG || p.tileDepth > 1 { // holds all rows, inside the page or not
		high = p.ch * p.tileDepth
	}
	if raw*int64(high) > maxChunkBytes && p.compression == compJPEG {
		return &plane.LimitError{Name: f.name, What: fmt.Sprintf("page %d has strips or tiles of %d x %d pixels (limit %d MiB)", p.index, p.cw, p.ch, maxChunkBytes>>20), Advice: "re-save it with tiles"}
	}
	length, err := f.ints(p.counts, maxChunks)
	if err != nil {
		// Some writers leave the byte counts out of uncompressed files.
		if p.counts.count != 0 || p.compression != compNone {
			return err
		}
		length = nil
	}
	if length != nil && uint64(len(length)) < n {
		return f.bad("page %d lists %d byte counts, %d are expected", p.index, len(length), n)
	}
	if length == nil {
		length = make([]uint64, n)
		for i := range length {
			length[i] = uint64(f.storedBytes(p, inChunk, f.rowsOf(p, i)))
		}
	}
	for i := range int(n) {
		if length[i] == 0 {
			continue // a sparse chunk: all zero
		}
		at := pos[i] + uint64(p.shift)
		if at < pos[i] || at > uint64(f.size) || length[i] > uint64(f.size)-at {
			// ImageJ and others pad the last strip's count.
			if due := uint64(f.storedBytes(p, inChunk, f.rowsOf(p, i))); p.compression == compNone && at < uint64(f.size) && due <= uint64(f.size)-at {
				pos[i], length[i] = at, due
				continue
			}
			return f.bad("page %d: strip or tile %d lies at offset %d with %d bytes, beyond the end (%d bytes): truncated?", p.index, i, at, length[i], f.size)
		}
		pos[i] = at
		if due := f.storedBytes(p, inChunk, f.rowsOf(p, i)); due/ratioOf(p.compression) > int64(length[i])+4096 {
			return f.bad("page %d: strip or tile %d claims %d bytes of pixels in %d bytes of the file", p.index, i, due, length[i])
		}
	}
	if len(f.loaded) == maxTables {
		f.loaded[0].chunkPos, f.loaded[0].chunkLen = nil, nil
		f.loaded = f.loaded[1:]
	}
	f.loaded = append(f.loaded, p)
	p.chunkPos, p.chunkLen = pos, length
	return nil
}

// rowsOf is how many rows of chunk i lie inside the page.
func (f *tiffFile) rowsOf(p *tiffPage, i int) int {
	if p.tileDepth > 1 { // slice below slice
		return p.ch * p.tileDepth
	}
	nx, ny := (p.w+p.cw-1)/p.cw, (p.h+p.ch-1)/p.ch
	cy := i / nx % ny
	return min(p.ch, p.h-cy*p.ch)
}

// layers is how many times chunks cover a page: once for each slice, or for as
// many as lie in a tile.
func (p *tiffPage) layers() int { return (p.depth + p.tileDepth - 1) / p.tileDepth }

// storedBytes is the size of rows of a chunk before compression.
func (f *tiffFile) storedBytes(p *tiffPage, inChunk, rows int) int64 {
	return (int64(p.cw)*int64(inChunk)*int64(p.bits) + 7) / 8 * int64(rows)
}

// ratioOf bounds how many bytes one compressed byte can become.
func ratioOf(compression int) int64 {
	switch compression {
	case compDeflate, compDeflateOld:
		return 1032
	case compLZW:
		return 2731 // 4096 bytes from 12 bits
	case compPackBits:
		return 64
	case compNone:
		return 1
	case compJPEG:
		return 2048 // a block of 64 takes a bit
	}
	return 1 << 15 // zstd: 128 KiB from 4 bytes
}

// chunk returns the decoded rows of a compressed chunk as little-endian
// samples. The result belongs to the cache.
func (f *tiffFile) chunk(p *tiffPage, i, inChunk int) ([]byte, error) {
	key := chunk.Key{Array: p.index, Chunk: i}
	if b := f.cache.Get(key); b != nil {
		return b, nil
	}
	rows := f.rowsOf(p, i)
	n := p.cw * inChunk * p.t.Size * rows
	out := f.cache.Make(n)
	// No compression makes more than this of n bytes, whatever the file says.
	src, err := f.bytes(int64(p.chunkPos[i]), min(int64(p.chunkLen[i]), 4*int64(n)+1<<20))
	if err != nil {
		return nil, err
	}
	if err := f.decode(p, out, src, rows, inChunk); err != nil {
		return nil, f.badChunk(p, i, err)
	}
	f.cache.Put(key, out)
	return out, nil
}

// badChunk says that a chunk cannot be decoded.
func (f *tiffFile) badChunk(p *tiffPage, i int, err error) error {
	var ue *plane.UnsupportedError
	if errors.As(err, &ue) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("not enough data")
	}
	return f.bad("page %d: strip or tile %d: %v", p.index, i, err)
}

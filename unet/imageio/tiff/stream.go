package tiff

import (
	"bufio"
	"errors"
	"io"
	"math/bits"
	"slices"

	"unet/unet/imageio/chunk"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/image/tiff/lzw"
)

// Chunks of more than streamBytes are decoded row by row, as they are asked for,
// and never held: a page may be one strip. Going back to earlier rows begins the
// chunk again. A variable for tests.
var streamBytes int64 = 64 << 20

// Streams that are kept, so that several chunks side by side can be read by
// bands; one of zstd may hold 128 MiB of what came before.
const (
	maxStreams     = 32
	maxZstdStreams = 4
)

// stream is a chunk that is being decoded.
type stream struct {
	key     chunk.Key
	src     io.Reader // what was compressed
	release func()
	row     int // the next one
	dec     rowDecoder
}

// stream returns the stream of a chunk that stands at row or before.
func (f *tiffFile) stream(p *tiffPage, i, inChunk, row int) (*stream, error) {
	key := chunk.Key{Array: p.index, Chunk: i}
	at := slices.IndexFunc(f.streams, func(s *stream) bool { return s.key == key })
	if at >= 0 {
		s := f.streams[at]
		f.streams = slices.Delete(f.streams, at, at+1)
		if s.row <= row {
			f.streams = append(f.streams, s) // the last used last
			return s, nil
		}
		s.release()
	}
	most := maxStreams
	if p.compression == compZstd {
		most = maxZstdStreams
	}
	for len(f.streams) >= most {
		f.streams[0].release()
		f.streams = f.streams[1:]
	}
	src, release, err := f.decompressor(p, io.NewSectionReader(f.r, int64(p.chunkPos[i]), int64(p.chunkLen[i])))
	if err != nil {
		return nil, err
	}
	s := &stream{key: key, src: src, release: release, dec: f.rowDecoder(p, inChunk)}
	f.streams = append(f.streams, s)
	return s, nil
}

// closeStreams ends all streams.
func (f *tiffFile) closeStreams() {
	for _, s := range f.streams {
		s.release()
	}
	f.streams = nil
}

// streamRows calls put for rows y0 to y1 of a large chunk with the samples from
// column x0 to column x1.
func (f *tiffFile) streamRows(p *tiffPage, i, x0, x1, y0, y1, inChunk int, put func(row int, b []byte) error) error {
	s, err := f.stream(p, i, inChunk, y0)
	if err != nil {
		return f.badChunk(p, i, err)
	}
	pixel := inChunk * p.t.Size
	row := make([]byte, p.cw*pixel)
	for s.row < y1 {
		y := s.row
		if err = s.dec.next(row, s.src, y >= y0); err == nil {
			s.row++
			if s.row == f.rowsOf(p, i) {
				err = chunk.Checked(s.src)
			}
		}
		if err != nil {
			s.row = 1 << 62 // never read on
			return f.badChunk(p, i, err)
		}
		if y < y0 {
			continue
		}
		if err := put(y, row[x0*pixel:x1*pixel]); err != nil {
			return err
		}
	}
	return nil
}

// decompressor reads what a chunk's stored bytes were before compression.
func (f *tiffFile) decompressor(p *tiffPage, stored io.Reader) (r io.Reader, release func(), err error) {
	in := bufio.NewReaderSize(stored, 1<<16)
	var src byteReader = in
	low := byte(1) // the lowest bit of a byte
	if p.reverseBits {
		src, low = &reversed{in}, 0x80
	}
	switch p.compression {
	case compNone:
		return src, func() {}, nil
	case compPackBits:
		return &packBits{r: src}, func() {}, nil
	case compLZW:
		if b, err := in.Peek(2); err == nil && b[0] == 0 && b[1]&low != 0 {
			return nil, nil, f.unsupported(p, "old-style LZW compression")
		}
		r := lzw.NewReader(src, lzw.MSB, 8)
		return r, func() { r.Close() }, nil
	case compZstd:
		r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<27))
		if err != nil {
			return nil, nil, err
		}
		return r, r.Close, nil
	}
	z, err := zlib.NewReader(src)
	if err != nil {
		return nil, nil, err
	}
	return z, func() { z.Close() }, nil
}

type byteReader interface {
	io.Reader
	io.ByteReader
}

// reversed turns the bits of every byte around.
type reversed struct{ r *bufio.Reader }

func (r *reversed) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	for i, v := range b[:n] {
		b[i] = bits.Reverse8(v)
	}
	return n, err
}

func (r *reversed) ReadByte() (byte, error) {
	b, err := r.r.ReadByte()
	return bits.Reverse8(b), err
}

// packBits undoes PackBits (TIFF 6.0 section 9).
type packBits struct {
	r       byteReader
	literal int // bytes that follow as they are
	repeats int // of value
	value   byte
}

func (p *packBits) Read(out []byte) (n int, err error) {
	for n < len(out) && err == nil {
		switch {
		case p.literal > 0:
			var k int
			k, err = io.ReadFull(p.r, out[n:min(n+p.literal, len(out))])
			n, p.literal = n+k, p.literal-k
		case p.repeats > 0:
			k := min(p.repeats, len(out)-n)
			for i := range out[n : n+k] {
				out[n+i] = p.value
			}
			n, p.repeats = n+k, p.repeats-k
		default:
			var b byte
			if b, err = p.r.ReadByte(); err != nil {
				return n, err
			}
			switch c := int(int8(b)); {
			case c >= 0:
				p.literal = c + 1
			case c != -128:
				p.value, err = p.r.ReadByte()
				p.repeats = 1 - c
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

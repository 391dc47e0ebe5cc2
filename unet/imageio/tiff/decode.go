package tiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math/bits"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/plane"

	"golang.org/x/image/tiff/lzw"
)

// decode undoes the compression, the packing, the byte order and the
// predictor of a chunk.
func (f *tiffFile) decode(p *tiffPage, out, src []byte, rows, inChunk int) error {
	if p.compression == compJPEG {
		return f.decodeJPEG(p, out, src, rows, inChunk)
	}
	if p.reverseBits {
		for i, v := range src {
			src[i] = bits.Reverse8(v)
		}
	}
	d := f.rowDecoder(p, inChunk)
	raw := out
	if d.raw != nil {
		raw = make([]byte, len(d.raw)*rows)
	}
	if err := f.decompress(p, raw, src); err != nil {
		return err
	}
	stored, row := len(raw)/rows, len(out)/rows
	for y := range rows {
		d.finish(out[y*row:(y+1)*row], raw[y*stored:(y+1)*stored])
	}
	return nil
}

// rowDecoder undoes the packing, the byte order and the predictor of one row of
// a chunk after the other.
type rowDecoder struct {
	p       *tiffPage
	inChunk int
	swap    bool
	raw     []byte // a packed row; nil where samples are whole bytes
	tmp     []byte
}

func (f *tiffFile) rowDecoder(p *tiffPage, inChunk int) rowDecoder {
	d := rowDecoder{p: p, inChunk: inChunk, swap: f.order != binary.LittleEndian}
	switch {
	case p.bits != 8*p.t.Size:
		d.raw = make([]byte, f.storedBytes(p, inChunk, 1))
	case p.predictor == 3:
		d.tmp = make([]byte, p.cw*inChunk*p.t.Size)
	}
	return d
}

// next decodes the next row of src, or passes over it.
func (d *rowDecoder) next(out []byte, src io.Reader, wanted bool) error {
	raw := out
	if d.raw != nil {
		raw = d.raw
	}
	_, err := io.ReadFull(src, raw)
	if err == nil && wanted {
		d.finish(out, raw)
	}
	return err
}

// finish makes little-endian samples of a row as it was before compression,
// which is out itself unless it is packed.
func (d *rowDecoder) finish(out, raw []byte) {
	p := d.p
	switch {
	case d.raw != nil:
		unpackBits(out, raw, p.bits, p.t.Size, p.cw*d.inChunk, 1)
	case p.predictor == 3:
		unpredictFloat(out, d.tmp, d.inChunk, p.t.Size)
	default:
		if d.swap {
			plane.SwapBytes(out, p.t.Size)
		}
		if p.predictor == 2 {
			unpredict(out, d.inChunk, p.t.Size)
		}
	}
}

func (f *tiffFile) decompress(p *tiffPage, out, src []byte) error {
	switch p.compression {
	case compNone:
		if len(src) < len(out) {
			return io.ErrUnexpectedEOF
		}
		copy(out, src)
		return nil
	case compPackBits:
		_, err := io.ReadFull(&packBits{r: bytes.NewReader(src)}, out)
		return err
	case compLZW:
		if len(src) >= 2 && src[0] == 0 && src[1]&1 != 0 {
			return f.unsupported(p, "old-style LZW compression")
		}
		r := lzw.NewReader(bytes.NewReader(src), lzw.MSB, 8)
		defer r.Close()
		_, err := io.ReadFull(r, out)
		return err
	case compZstd:
		return chunk.InflateZstd(out, src)
	}
	return chunk.Inflate(out, src)
}

// unpackBits widens samples of an odd number of bits, most significant bit
// first and rows starting on whole bytes, to bytes or 16-bit numbers.
func unpackBits(out, raw []byte, depth, size, perRow, rows int) {
	stored := len(raw) / rows
	for y := range rows {
		row, dst := raw[y*stored:], out[y*perRow*size:]
		acc, have := uint32(0), 0
		for i := range perRow {
			for have < depth {
				acc, have = acc<<8|uint32(row[0]), have+8
				row = row[1:]
			}
			have -= depth
			v := acc >> have & (1<<depth - 1)
			if size == 1 {
				dst[i] = byte(v)
			} else {
				binary.LittleEndian.PutUint16(dst[2*i:], uint16(v))
			}
		}
	}
}

// unpredict undoes horizontal differencing (predictor 2) on a row of
// little-endian samples, step of them per pixel.
func unpredict(row []byte, step, size int) {
	switch size {
	case 1:
		for i := step; i < len(row); i++ {
			row[i] += row[i-step]
		}
	case 2:
		for i := 2 * step; i < len(row); i += 2 {
			binary.LittleEndian.PutUint16(row[i:], binary.LittleEndian.Uint16(row[i:])+binary.LittleEndian.Uint16(row[i-2*step:]))
		}
	case 4:
		for i := 4 * step; i < len(row); i += 4 {
			binary.LittleEndian.PutUint32(row[i:], binary.LittleEndian.Uint32(row[i:])+binary.LittleEndian.Uint32(row[i-4*step:]))
		}
	case 8:
		for i := 8 * step; i < len(row); i += 8 {
			binary.LittleEndian.PutUint64(row[i:], binary.LittleEndian.Uint64(row[i:])+binary.LittleEndian.Uint64(row[i-8*step:]))
		}
	}
}

// unpredictFloat undoes the floating-point predictor (predictor 3): bytes of
// equal weight lie together, most significant first, and are differenced.
func unpredictFloat(row, tmp []byte, step, size int) {
	for i := step; i < len(row); i++ {
		row[i] += row[i-step]
	}
	copy(tmp, row)
	n := len(row) / size
	for k := range size {
		plane := tmp[(size-1-k)*n:][:n]
		for i, v := range plane {
			row[i*size+k] = v
		}
	}
}

// decodeJPEG decodes a JPEG strip or tile, which may lean on the page's
// shared tables, to interleaved 8-bit samples.
func (f *tiffFile) decodeJPEG(p *tiffPage, out, src []byte, rows, inChunk int) error {
	if len(src) < 4 || src[0] != 0xff || src[1] != 0xd8 {
		return errors.New("not a JPEG stream")
	}
	if p.jpegTables.count > 0 {
		if p.jpegTables.count > 1<<16 {
			return fmt.Errorf("JPEG tables of %d bytes", p.jpegTables.count)
		}
		tables, err := f.bytes(p.jpegTables.pos, int64(p.jpegTables.count))
		if err != nil {
			return err
		}
		if n := len(tables); n >= 4 && tables[0] == 0xff && tables[1] == 0xd8 && tables[n-2] == 0xff && tables[n-1] == 0xd9 {
			src = append(tables[:n-2], src[2:]...)
		}
	}
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(src))
	if err != nil {
		return err
	}
	if cfg.Width != p.cw || cfg.Height < rows || cfg.Height > max(p.ch, rows) {
		return fmt.Errorf("JPEG of %d x %d pixels where %d x %d are expected", cfg.Width, cfg.Height, p.cw, p.ch)
	}
	m, err := jpeg.Decode(bytes.NewReader(src))
	if err != nil {
		return err
	}
	row := p.cw * inChunk
	switch m := m.(type) {
	case *image.Gray:
		if inChunk != 1 {
			break
		}
		for y := range rows {
			copy(out[y*row:(y+1)*row], m.Pix[y*m.Stride:])
		}
		return nil
	case *image.YCbCr:
		if inChunk != 3 {
			break
		}
		if p.photometric != photoYCbCr {
			// Stored without colour transform, but nothing in the stream
			// says so: the three planes are the samples.
			if m.SubsampleRatio != image.YCbCrSubsampleRatio444 {
				return errors.New("JPEG samples of different resolution")
			}
			for y := range rows {
				for x := range p.cw {
					i, o := y*m.YStride+x, y*row+3*x
					j := y*m.CStride + x
					out[o], out[o+1], out[o+2] = m.Y[i], m.Cb[j], m.Cr[j]
				}
			}
			return nil
		}
		for y := range rows {
			dst := out[y*row : (y+1)*row]
			for x := range p.cw {
				dst[3*x], dst[3*x+1], dst[3*x+2] = color.YCbCrToRGB(m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)])
			}
		}
		return nil
	case *image.RGBA:
		if inChunk != 3 {
			break
		}
		for y := range rows {
			for x := range p.cw {
				copy(out[y*row+3*x:][:3], m.Pix[y*m.Stride+4*x:])
			}
		}
		return nil
	}
	return fmt.Errorf("JPEG of type %T where %d samples per pixel are expected", m, inChunk)
}

package zarr

import (
	"encoding/binary"
	"errors"
	"fmt"

	"unet/unet/imageio/chunk"
)

// Blosc 1 frames, which hold most Zarr chunks:
// https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst

var errBlosc = errors.New("the Blosc frame is damaged")

// unblosc decodes a Blosc frame of exactly len(out) bytes.
func unblosc(out, src []byte) error {
	if len(src) < 16 || src[0] < 1 || src[0] > 2 {
		return errBlosc
	}
	flags, typeSize := src[2], int(src[3])
	total, blockSize := int64(binary.LittleEndian.Uint32(src[4:])), int64(binary.LittleEndian.Uint32(src[8:]))
	if total != int64(len(out)) {
		return fmt.Errorf("a Blosc frame of %d bytes where %d are expected", total, len(out))
	}
	if total == 0 {
		return nil
	}
	if flags&2 != 0 { // stored
		if len(src)-16 < len(out) {
			return errBlosc
		}
		copy(out, src[16:])
		return nil
	}
	if blockSize <= 0 || typeSize == 0 {
		return errBlosc
	}
	blockSize = min(blockSize, total)
	blocks := (total + blockSize - 1) / blockSize
	if int64(len(src)) < 16+4*blocks {
		return errBlosc
	}
	shuffle := flags&1 != 0 && typeSize > 1
	bitShuffle := flags&4 != 0
	var tmp []byte
	if shuffle || bitShuffle {
		tmp = make([]byte, blockSize)
	}
	for b := range blocks {
		dst := out[b*blockSize : min((b+1)*blockSize, total)]
		start := int64(binary.LittleEndian.Uint32(src[16+4*b:]))
		if start > int64(len(src)) {
			return errBlosc
		}
		// Blocks of some codecs are cut into one stream per byte of a sample.
		streams := 1
		if flags&0x10 == 0 && len(dst) == int(blockSize) && typeSize <= 16 && len(dst)/typeSize >= 128 {
			streams = typeSize
		}
		into := dst
		if tmp != nil {
			into = tmp[:len(dst)]
		}
		if err := bloscBlock(into, src[start:], streams, flags>>5); err != nil {
			return err
		}
		switch {
		case bitShuffle:
			unshuffleBits(dst, into, typeSize)
		case shuffle:
			unshuffle(dst, into, typeSize)
		}
	}
	return nil
}

// bloscBlock decodes the streams of a block.
func bloscBlock(out, src []byte, streams int, codec byte) error {
	if len(out)%streams != 0 {
		return errBlosc
	}
	n := len(out) / streams
	for ; len(out) > 0; out = out[n:] {
		if len(src) < 4 {
			return errBlosc
		}
		size := int64(binary.LittleEndian.Uint32(src))
		src = src[4:]
		if size > int64(len(src)) {
			return errBlosc
		}
		from, to := src[:size], out[:n]
		src = src[size:]
		var err error
		switch {
		case int(size) == n: // stored
			copy(to, from)
		case codec == 0:
			err = unblosclz(to, from)
		case codec == 1:
			err = unlz4(to, from)
		case codec == 3:
			err = chunk.Inflate(to, from)
		case codec == 4:
			err = chunk.InflateZstd(to, from)
		default:
			err = fmt.Errorf("codec %d of Blosc is not supported", codec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unshuffle undoes Blosc's grouping of bytes of equal weight.
func unshuffle(dst, src []byte, size int) {
	n := len(src) / size
	for k := range size {
		for i, v := range src[k*n : (k+1)*n] {
			dst[i*size+k] = v
		}
	}
	copy(dst[n*size:], src[n*size:])
}

// unshuffleBits undoes Blosc's grouping of bits of equal weight, which leaves
// blocks alone whose number of samples is no multiple of 8.
func unshuffleBits(dst, src []byte, size int) {
	n := len(src) / size
	if n%8 != 0 {
		copy(dst, src)
		return
	}
	n8 := n / 8
	for k := range size {
		rows := src[k*n:][:n] // 8 bit planes of n8 bytes
		for g := range n8 {
			var v uint64
			for bit := range 8 {
				v |= uint64(rows[bit*n8+g]) << (8 * bit)
			}
			v = transpose8(v)
			for i := range 8 {
				dst[(g*8+i)*size+k] = byte(v >> (8 * i))
			}
		}
	}
	copy(dst[n*size:], src[n*size:])
}

// transpose8 transposes an 8 x 8 matrix of bits (Warren, Hacker's Delight,
// section 7-3).
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

var errLZ = errors.New("the compressed data are damaged")

// unlz4 fills out from an LZ4 block:
// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
func unlz4(out, src []byte) error {
	o, i := 0, 0
	length := func(n int) (int, bool) { // 15 means that more bytes follow
		if n < 15 {
			return n, true
		}
		for i < len(src) && n <= len(out) {
			b := src[i]
			i++
			n += int(b)
			if b != 255 {
				return n, true
			}
		}
		return 0, false
	}
	for i < len(src) {
		token := src[i]
		i++
		n, ok := length(int(token >> 4))
		if !ok || n > len(src)-i || n > len(out)-o {
			return errLZ
		}
		copy(out[o:], src[i:i+n])
		o, i = o+n, i+n
		if i == len(src) {
			break // the last sequence has no match
		}
		if len(src)-i < 2 {
			return errLZ
		}
		distance := int(binary.LittleEndian.Uint16(src[i:]))
		i += 2
		n, ok = length(int(token & 15))
		if !ok || !copyMatch(out, o, distance, n+4) {
			return errLZ
		}
		o += n + 4
	}
	if o != len(out) {
		return errLZ
	}
	return nil
}

// unblosclz fills out from a stream of BloscLZ, Blosc's own kin of FastLZ.
func unblosclz(out, src []byte) error {
	const far = 8191 // distances from here on take two more bytes
	o, i := 0, 0
	next := func() int {
		if i < len(src) {
			i++
			return int(src[i-1])
		}
		i = len(src) + 1 // seen below
		return 0
	}
	for first := true; i < len(src); first = false {
		ctrl := next()
		if first {
			ctrl &= 31
		}
		if ctrl < 32 {
			n := ctrl + 1
			if n > len(src)-i || n > len(out)-o {
				return errLZ
			}
			copy(out[o:], src[i:i+n])
			o, i = o+n, i+n
			continue
		}
		n, distance := ctrl>>5-1, ctrl&31<<8
		if n == 6 {
			for b := 255; b == 255 && n <= len(out); {
				b = next()
				n += b
			}
		}
		code := next()
		distance += code
		if code == 255 && distance == 31<<8+255 {
			distance = next()<<8 + far
			distance += next()
		}
		if i > len(src) || !copyMatch(out, o, distance+1, n+3) {
			return errLZ
		}
		o += n + 3
	}
	if o != len(out) {
		return errLZ
	}
	return nil
}

// copyMatch copies n bytes of out from distance before o to o; they may
// overlap. It says whether they lie inside out.
func copyMatch(out []byte, o, distance, n int) bool {
	if distance <= 0 || distance > o || n > len(out)-o {
		return false
	}
	if distance >= n {
		copy(out[o:o+n], out[o-distance:])
		return true
	}
	for k := range n {
		out[o+k] = out[o+k-distance]
	}
	return true
}

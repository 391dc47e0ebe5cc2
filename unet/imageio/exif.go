package imageio

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"iter"
)

// orientation is how a camera or program says that an image is to be turned
// for show (Exif tag 274): 1 is not at all, 0 not said.
func orientation(format string, data []byte) int {
	switch format {
	case "JPEG":
		for b := data[2:]; len(b) >= 4 && b[0] == 0xff && b[1] != 0xda; {
			n := int(binary.BigEndian.Uint16(b[2:]))
			if n < 2 || n+2 > len(b) {
				return 0
			}
			if exif, ok := bytes.CutPrefix(b[4:n+2], []byte("Exif\x00\x00")); ok && b[1] == 0xe1 {
				return exifOrientation(exif)
			}
			b = b[n+2:]
		}
	case "PNG":
		for at, n := range pngChunks(data) {
			if string(data[at-4:at]) == "eXIf" {
				return exifOrientation(data[at : at+n])
			}
		}
	}
	return 0
}

// exifOrientation reads the tag from the first directory of a TIFF structure.
func exifOrientation(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'M' {
		order = binary.BigEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	n := int(order.Uint16(b[at:]))
	for e := b[at+2:]; n > 0 && len(e) >= 12; n, e = n-1, e[12:] {
		if order.Uint16(e) == 274 && order.Uint16(e[2:]) == 3 {
			return int(order.Uint16(e[8:]))
		}
	}
	return 0
}

// pngChunks gives the chunks of a PNG file before its pixels: where the content
// begins, and how long it is.
func pngChunks(data []byte) iter.Seq2[int, int] {
	return func(yield func(at, size int) bool) {
		for at := 8; at+12 <= len(data); {
			n := int64(binary.BigEndian.Uint32(data[at:]))
			if n > int64(len(data)-at-12) || string(data[at+4:at+8]) == "IDAT" || !yield(at+8, int(n)) {
				return
			}
			at += 12 + int(n)
		}
	}
}

// pngPixelSize is the size of the pixels of a PNG file that says how many a metre
// has (chunk pHYs).
func pngPixelSize(f *File, data []byte) PixelSize {
	for at, n := range pngChunks(data) {
		if string(data[at-4:at]) == "pHYs" && n == 9 && data[at+8] == 1 {
			x, y := binary.BigEndian.Uint32(data[at:]), binary.BigEndian.Uint32(data[at+4:])
			if x > 0 && y > 0 {
				return f.Resolution(1e6/float64(x), 1e6/float64(y))
			}
		}
	}
	return PixelSize{}
}

// withoutColourKey hides the chunk by which a gray or colour PNG says that one
// value is to be shown transparent: the value is what was measured there.
func withoutColourKey(data []byte) []byte {
	if len(data) < 33 || data[25] != 0 && data[25] != 2 {
		return data
	}
	for at, n := range pngChunks(data) {
		if string(data[at-4:at]) == "tRNS" {
			out := bytes.Clone(data)
			chunk := out[at-4 : at+n]
			copy(chunk, "tRNs") // not known to decoders, and not critical
			binary.BigEndian.PutUint32(out[at+n:], crc32.ChecksumIEEE(chunk))
			return out
		}
	}
	return data
}

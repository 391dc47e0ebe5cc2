package imageio

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"io"

	"unet/unet/imageio/atomicfile"

	"github.com/klauspost/compress/zlib"
)

// WritePNG writes m to path as PNG, atomically.
//
// 8-bit gray and opaque colour images are written here: the standard library's
// encoder, which writes the others, tries five filters on every row and takes six
// times as long for files of the same size.
func WritePNG(path string, m image.Image) error {
	return atomicfile.WriteFile(path, func(w io.Writer) error { return streamPNG(w, m) })
}

// streamPNG writes m with filter Sub, the difference to the pixel on the left,
// and the fastest compression.
func streamPNG(w io.Writer, m image.Image) error {
	size := m.Bounds().Size()
	samples, colour, row := 0, byte(0), func(y int, line []byte) {}
	switch m := m.(type) {
	case *image.Gray:
		samples, colour = 1, 0
		row = func(y int, line []byte) {
			left := byte(0)
			for x, v := range m.Pix[y*m.Stride:][:size.X] {
				line[x] = v - left
				left = v
			}
		}
	case *image.RGBA:
		if !m.Opaque() {
			break
		}
		samples, colour = 3, 2
		row = func(y int, line []byte) {
			p := m.Pix[y*m.Stride:][:4*size.X]
			var r, g, b byte // of the pixel on the left
			for len(p) >= 4 && len(line) >= 3 {
				line[0], line[1], line[2] = p[0]-r, p[1]-g, p[2]-b
				r, g, b = p[0], p[1], p[2]
				p, line = p[4:], line[3:]
			}
		}
	}
	if samples == 0 || size.X <= 0 || size.Y <= 0 {
		return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, m)
	}
	if _, err := io.WriteString(w, "\x89PNG\r\n\x1a\n"); err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(size.X))
	head = binary.BigEndian.AppendUint32(head, uint32(size.Y))
	if err := writeChunk(w, "IHDR", append(head, 8, colour, 0, 0, 0)); err != nil {
		return err
	}
	data := bufio.NewWriterSize(chunkWriter{w}, 1<<15)
	z, err := zlib.NewWriterLevel(data, zlib.BestSpeed)
	if err != nil {
		return err
	}
	line := make([]byte, 1+samples*size.X)
	line[0] = 1 // Sub
	for y := range size.Y {
		row(y, line[1:])
		if _, err := z.Write(line); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := data.Flush(); err != nil {
		return err
	}
	return writeChunk(w, "IEND", nil)
}

// chunkWriter makes a chunk of pixels of every write.
type chunkWriter struct{ w io.Writer }

func (c chunkWriter) Write(p []byte) (int, error) { return len(p), writeChunk(c.w, "IDAT", p) }

// writeChunk writes one chunk: length, name, data and their checksum.
func writeChunk(w io.Writer, name string, data []byte) error {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, len(data)+12), uint32(len(data)))
	b = append(append(b, name...), data...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	_, err := w.Write(b)
	return err
}

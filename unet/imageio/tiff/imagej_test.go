package tiff

import (
	"encoding/binary"
	"testing"
)

// ImageJ stores the rows of its only strip in 16 bits: files of more than 65535
// rows say too few, or none.
func TestTIFFImageJTall(t *testing.T) {
	for _, h := range []int{65536 + 3, 65536} {
		be := binary.BigEndian
		entries := [][4]uint32{{256, 4, 1, 2}, {257, 4, 1, uint32(h)}, {258, 3, 1, 8 << 16}, {262, 3, 1, 1 << 16}, {273, 4, 1, 200},
			{277, 3, 1, 1 << 16}, {278, 3, 1, uint32(h) << 16}, {279, 4, 1, uint32(2 * h)}}
		b := be.AppendUint32([]byte{'M', 'M', 0, 42}, 8)
		b = be.AppendUint16(b, uint16(len(entries)))
		for _, e := range entries {
			b = be.AppendUint16(be.AppendUint16(b, uint16(e[0])), uint16(e[1]))
			b = be.AppendUint32(be.AppendUint32(b, e[2]), e[3])
		}
		b = append(b, make([]byte, 200-len(b)+2*h)...)
		for i := range 2 * h {
			b[200+i] = byte(i / 2 * 7 >> 3)
		}
		m, err := decode("tall.tif", b)
		if err != nil {
			t.Errorf("%d rows: %v", h, err)
			continue
		}
		for i, v := range m.Pix {
			if v != float32(byte(i/2*7>>3)) {
				t.Fatalf("%d rows: sample %d is %v", h, i, v)
			}
		}
	}
}

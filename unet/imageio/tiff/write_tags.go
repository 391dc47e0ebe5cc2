package tiff

import (
	"bytes"
	"encoding/binary"
	"math"
)

// directory writes the tags of the page that is complete and links it.
func (w *Writer) directory() {
	format := uint64(1)
	if w.o.Float {
		format = 3
	}
	tags := []tiffTag{
		short(tagNewSubfileType, 0).as(4),
		short(tagImageWidth, uint64(w.o.W)).as(4),
		short(tagImageLength, uint64(w.o.H)).as(4),
		short(tagBitsPerSample, uint64(w.o.Bits)),
		short(tagCompression, compDeflate),
		short(tagPhotometric, photoBlackIsZero),
	}
	if w.o.Pages > 1 {
		tags[0].values[0] = 2 // a page of several
	}
	if w.page == 0 && w.o.Description != "" {
		tags = append(tags, text(tagDescription, w.o.Description))
	}
	if !w.o.Tiled {
		tags = append(tags, w.table(tagStripOffsets, w.at))
	}
	tags = append(tags, short(tagSamplesPerPixel, 1))
	if !w.o.Tiled {
		tags = append(tags, short(tagRowsPerStrip, uint64(w.ch)).as(4), w.table(tagStripByteCounts, w.length))
	}
	if s := w.o.PixelSize; s.Known() {
		xn, xd := resolution(s.X)
		yn, yd := resolution(s.Y)
		tags = append(tags, tiffTag{tag: tagXResolution, typ: 5, values: []uint64{xn, xd}},
			tiffTag{tag: tagYResolution, typ: 5, values: []uint64{yn, yd}}, short(tagPlanarConfig, 1))
		if w.page < len(w.o.Names) {
			tags = append(tags, text(tagPageName, w.o.Names[w.page]))
		}
		tags = append(tags, short(tagResolutionUnit, 3)) // cm
	} else {
		tags = append(tags, short(tagPlanarConfig, 1))
		if w.page < len(w.o.Names) {
			tags = append(tags, text(tagPageName, w.o.Names[w.page]))
		}
	}
	tags = append(tags, text(tagSoftware, "unet"))
	if w.o.Tiled {
		tags = append(tags, short(tagTileWidth, tileSide), short(tagTileLength, tileSide),
			w.table(tagTileOffsets, w.at), w.table(tagTileByteCounts, w.length))
	}
	tags = append(tags, short(tagSampleFormat, format))
	w.link(tags)
	w.page++
	w.row = 0
	w.at, w.length = w.at[:0], w.length[:0]
}

// resolution is pixels per cm as a fraction of 32-bit numbers.
func resolution(µm float64) (num, den uint64) {
	r := 1e4 / µm
	den = 1
	for den < 1e6 && r*float64(den*10) < math.MaxUint32 && r*float64(den) != math.Trunc(r*float64(den)) {
		den *= 10
	}
	return uint64(min(math.Round(r*float64(den)), math.MaxUint32)), den
}

// tiffTag is a tag to be written.
type tiffTag struct {
	tag, typ uint16
	values   []uint64
	text     []byte
}

func short(tag uint16, v uint64) tiffTag {
	return tiffTag{tag: tag, typ: 3, values: []uint64{v}}
}

func (t tiffTag) as(typ uint16) tiffTag { t.typ = typ; return t }

func text(tag uint16, s string) tiffTag {
	return tiffTag{tag: tag, typ: 2, text: append(bytes.ReplaceAll([]byte(s), []byte{0}, nil), 0)}
}

func (w *Writer) table(tag uint16, v []uint64) tiffTag {
	t := tiffTag{tag: tag, typ: 4, values: v}
	if w.big {
		t.typ = 16
	}
	return t
}

// encode returns the number of values and their bytes.
func (t tiffTag) encode() (count int, b []byte) {
	if t.typ == 2 {
		return len(t.text), t.text
	}
	for _, v := range t.values {
		switch t.typ {
		case 3:
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		case 4, 5:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case 16:
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	count = len(t.values)
	if t.typ == 5 {
		count /= 2
	}
	return count, b
}

// link writes a directory at the end of the file and the pointer to it.
func (w *Writer) link(tags []tiffTag) {
	if w.pos%2 != 0 {
		w.write([]byte{0})
	}
	head, each, inline := 2, 12, 4
	if w.big {
		head, each, inline = 8, 20, 8
	}
	start := w.pos
	values := start + int64(head+each*len(tags)+inline) // what does not fit a tag follows
	var dir, more []byte
	if w.big {
		dir = binary.LittleEndian.AppendUint64(dir, uint64(len(tags)))
	} else {
		dir = binary.LittleEndian.AppendUint16(dir, uint16(len(tags)))
	}
	for _, t := range tags {
		count, b := t.encode()
		dir = binary.LittleEndian.AppendUint16(dir, t.tag)
		dir = binary.LittleEndian.AppendUint16(dir, t.typ)
		dir = w.offset(dir, uint64(count))
		if len(b) <= inline {
			dir = append(dir, append(b, make([]byte, inline-len(b))...)...)
			continue
		}
		dir = w.offset(dir, uint64(values)+uint64(len(more)))
		more = append(more, b...)
		if len(more)%2 != 0 {
			more = append(more, 0)
		}
	}
	pointer := start + int64(len(dir))
	dir = w.offset(dir, 0)
	w.write(dir)
	w.write(more)
	if w.err == nil {
		if _, err := w.file.WriteAt(w.offset(nil, uint64(start)), w.next); err != nil {
			w.fail(err)
		}
	}
	w.next = pointer
}

// offset appends a number of the file's offset size.
func (w *Writer) offset(b []byte, v uint64) []byte {
	if w.big {
		return binary.LittleEndian.AppendUint64(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, uint32(v))
}

package tiff

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"unet/unet/imageio/plane"
)

// TestPredictors writes samples of every size with every predictor, sample by
// sample or plane by plane, in both byte orders, as the specifications say (TIFF
// 6.0 section 14; Adobe's TIFF technical note 3), and reads them back.
func TestPredictors(t *testing.T) {
	const side = 4
	rng := rand.New(rand.NewPCG(1, 2))
	for _, predictor := range []int{1, 2, 3} {
		for _, size := range []int{1, 2, 4, 8} {
			if predictor == 3 && size == 1 {
				continue // there are no floats of one byte
			}
			for spp := 1; spp <= 3; spp++ {
				for planar := 1; planar <= 2; planar++ {
					for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
						kind, format := byte('u'), uint64(1)
						if predictor == 3 {
							kind, format = 'f', 3
						}
						// samples[s][y][x], of few exponent bits, so that no float is NaN.
						samples := make([][][]uint64, spp)
						for s := range samples {
							samples[s] = make([][]uint64, side)
							for y := range samples[s] {
								for range side {
									samples[s][y] = append(samples[s][y], rng.Uint64()>>(64-8*size)&^(1<<(8*size-2)))
								}
							}
						}
						data, strips := encode(samples, predictor, size, planar, order)
						repeat := func(v uint64, n int) []uint64 { return slices.Repeat([]uint64{v}, n) }
						var offsets, counts []uint64
						for k := range strips {
							offsets = append(offsets, uint64(8+k*len(data)/strips))
							counts = append(counts, uint64(len(data)/strips))
						}
						tags := page8(rawTag{tag: tagBitsPerSample, typ: 3, values: repeat(uint64(8*size), spp)},
							rawTag{tag: tagStripOffsets, typ: 4, values: offsets}, rawTag{tag: tagStripByteCounts, typ: 4, values: counts},
							shortTag(tagSamplesPerPixel, uint64(spp)), shortTag(tagPlanarConfig, uint64(planar)), shortTag(tagPredictor, uint64(predictor)),
							rawTag{tag: tagSampleFormat, typ: 3, values: repeat(format, spp)})
						if spp > 1 {
							tags = append(tags, rawTag{tag: tagExtraSamples, typ: 3, values: repeat(0, spp-1)})
						}
						slices.SortFunc(tags, func(a, b rawTag) int { return int(a.tag) - int(b.tag) })
						name := fmt.Sprintf("predictor %d, %d bytes, %d samples, planar %d, %v", predictor, size, spp, planar, order)
						f, err := openData(name, rawTIFF(order, data, tags))
						if err != nil {
							t.Fatal(err)
						}
						for s := range spp {
							m, err := f.ReadPlane(s)
							if err != nil {
								t.Fatal(err)
							}
							var raw []byte
							for _, v := range slices.Concat(samples[s]...) {
								raw = append(raw, binary.LittleEndian.AppendUint64(nil, v)[:size]...)
							}
							want := make([]float32, side*side)
							plane.ToFloat(want, raw, size, plane.Type{Size: size, Kind: kind})
							if !slices.Equal(m.Pix, want) {
								t.Fatalf("%s: sample %d is %v, want %v", name, s, m.Pix, want)
							}
						}
					}
				}
			}
		}
	}
}

// encode writes samples[s][y][x] as strips: one, or one for each plane.
func encode(samples [][][]uint64, predictor, size, planar int, order binary.ByteOrder) (data []byte, strips int) {
	put := func(v uint64, order binary.ByteOrder) []byte {
		b := make([]byte, 8)
		order.PutUint64(b, v)
		if order == binary.BigEndian {
			return b[8-size:]
		}
		return b[:size]
	}
	groups := [][][][]uint64{samples}
	if planar == 2 {
		groups = nil
		for _, s := range samples {
			groups = append(groups, [][][]uint64{s})
		}
	}
	for _, group := range groups {
		for y := range group[0] {
			var row []uint64 // interleaved
			for x := range group[0][y] {
				for _, s := range group {
					row = append(row, s[y][x])
				}
			}
			n := len(group)
			switch predictor {
			case 1:
				for _, v := range row {
					data = append(data, put(v, order)...)
				}
			case 2: // each sample less the same one of the pixel before
				for i, v := range row {
					if i >= n {
						v -= row[i-n]
					}
					data = append(data, put(v, order)...)
				}
			case 3: // all most significant bytes, then the next, each less the one n before
				var b []byte
				for k := range size {
					for _, v := range row {
						b = append(b, put(v, binary.BigEndian)[k])
					}
				}
				for i := len(b) - 1; i >= n; i-- {
					b[i] -= b[i-n]
				}
				data = append(data, b...)
			}
		}
	}
	return data, len(groups)
}

// TestUnpackBytes: the example of Apple's technical note 1023, and a byte of -128,
// which is to be skipped (TIFF 6.0 section 9).
func TestUnpackBytes(t *testing.T) {
	packed := []byte{0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa}
	want := []byte{0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22,
		0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa}
	for name, src := range map[string][]byte{"example": packed, "skipped byte": slices.Insert(slices.Clone(packed), 2, 0x80)} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(&packBits{r: bytes.NewReader(src)}, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: % x, %v; want % x", name, got, err, want)
		}
	}
}

// TestMeaningOfSamples: what the tags say about colour, transparency and white.
func TestMeaningOfSamples(t *testing.T) {
	rgba := func(extra uint64) []rawTag {
		return []rawTag{{tag: tagBitsPerSample, typ: 3, values: []uint64{8, 8, 8, 8}}, shortTag(tagPhotometric, 2),
			shortTag(tagSamplesPerPixel, 4), longTag(tagStripByteCounts, 64), shortTag(tagExtraSamples, extra)}
	}
	pixel := bytes.Repeat([]byte{100, 50, 20, 51}, 16) // 51 is a fifth of 255
	gray := bytes.Repeat([]byte{200}, 16)
	for _, c := range []struct {
		name string
		data []byte
		tags []rawTag
		want []float32 // the channels of the first pixel
	}{
		{"premultiplied colour is over black already", pixel, rgba(1), []float32{100, 50, 20}},
		{"other colour is composited over black", pixel, rgba(2), []float32{20, 10, 4}},
		{"a fourth sample of unknown meaning is left out", pixel, rgba(0), []float32{100, 50, 20}},
		{"0 is black", gray, nil, []float32{200}},
		{"0 is white", gray, []rawTag{shortTag(tagPhotometric, 0)}, []float32{55}},
		{"0 is white of signed samples, which have no white", gray, []rawTag{shortTag(tagPhotometric, 0), shortTag(tagSampleFormat, 2)}, []float32{200 - 256}},
	} {
		tags := page8(c.tags...)
		slices.SortFunc(tags, func(a, b rawTag) int { return int(a.tag) - int(b.tag) })
		f, err := openData(c.name, rawTIFF(binary.LittleEndian, c.data, tags))
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.ReadPlane(0)
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		for k := range m.C {
			got = append(got, m.Plane(k)[0])
		}
		if len(f.Planes) != 1 || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d planes, %v, want %v", c.name, len(f.Planes), got, c.want)
		}
	}
}

// TestDepth: samples of odd numbers of bits are widened, and planes say to what.
func TestDepth(t *testing.T) {
	for stored, want := range map[uint64]int{1: 1, 4: 8, 8: 8, 12: 16, 16: 16} {
		f, err := openData("depth", rawTIFF(binary.LittleEndian, make([]byte, 32), page8(shortTag(tagBitsPerSample, stored), longTag(tagStripByteCounts, 2*stored))))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Planes[0].Bits; got != want {
			t.Errorf("%d bits: the plane says %d, want %d", stored, got, want)
		}
	}
}

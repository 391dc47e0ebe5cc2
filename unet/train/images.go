package train

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/augment"
	"unet/unet/imageio"
	"unet/unet/imageio/atomicfile"
)

// Images holds annotated images ready to draw patches from: their samples in the
// fewest bytes that hold them, as they are, and their labels likewise. They are
// normalised when they are used. What does not fit in memory lies in a temporary
// file, so that a set may be of any size. Several trainings may share one.
type Images struct {
	input  unet.Input
	items  []stored
	strata []augment.Strata
	store  *atomicfile.Scratch
}

// stored is where an image lies in the store, and what is known of it: samples,
// labels and the places of nuclei follow each other.
type stored struct {
	id                  string
	at                  int64
	w, h, channels      int
	sampleBytes         int // of 1, 2, or 4: a float32
	labelBytes          int // of 1, 2 or 4
	bits                int
	nuclei              int
	pixelSize           imageio.PixelSize
	levels              unet.Levels
	contrast            float64
	sampleSize, allSize int // in bytes
}

// Len returns the number of images.
func (s *Images) Len() int { return len(s.items) }

// NewImages takes samples for training or validation, and keeps them in memory.
func NewImages(in unet.Input, samples []*dataset.Sample) (*Images, error) {
	s := &Images{input: in, store: atomicfile.NewScratch("", math.MaxInt64)}
	for _, sm := range samples {
		if err := s.add(sm); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Close removes the temporary file.
func (s *Images) Close() { s.store.Close() }

// add appends an image.
func (s *Images) add(sm *dataset.Sample) error {
	in := s.input
	img, err := in.Apply(sm.Image)
	if err != nil {
		return fmt.Errorf("%s: %w", sm.ID, err)
	}
	if in.Size > 0 && (img.W != in.Size || img.H != in.Size) {
		return &dataset.InputError{Name: sm.ID, Problem: fmt.Sprintf("is %dx%d, not %dx%d", img.W, img.H, in.Size, in.Size),
			Advice: "prepare the set again", Option: fmt.Sprintf("size %d", in.Size)}
	}
	l, err := augment.NewLabelled(img, sm.Labels)
	if err != nil {
		return fmt.Errorf("%s: %w", sm.ID, err)
	}
	it := stored{id: sm.ID, at: s.store.Size(), w: img.W, h: img.H, channels: img.C, bits: img.Bits, nuclei: len(l.Nuclei), pixelSize: img.PixelSize,
		levels: in.LevelsOf(sm.Image), contrast: l.Contrast}
	record, size := appendSamples(nil, sm.Image.Pix[:img.C*img.W*img.H])
	it.sampleBytes, it.sampleSize = size, len(record)
	record, it.labelBytes = appendLabels(record, sm.Labels)
	for _, n := range l.Nuclei {
		for _, v := range [...]int{int(n.ID), n.X0, n.Y0, n.X1, n.Y1, n.Area} {
			record = binary.LittleEndian.AppendUint32(record, uint32(v))
		}
	}
	it.allSize = len(record)
	if err := s.store.Append(record); err != nil {
		return fmt.Errorf("%s: %w", sm.ID, err)
	}
	s.items = append(s.items, it)
	s.strata = append(s.strata, augment.Strata{Kind: sm.Kind, Source: sm.Source, Group: sm.Group})
	return nil
}

// appendSamples appends samples in the fewest bytes that hold all of them, and
// returns how many each takes.
func appendSamples(b []byte, samples []float32) ([]byte, int) {
	size := 1
	for _, v := range samples {
		if u := uint32(max(0, min(v, 65535))); math.Float32bits(float32(u)) != math.Float32bits(v) {
			size = 4
			break
		} else if u > 255 {
			size = 2
		}
	}
	return appendNumbers(b, samples, size, math.Float32bits), size
}

// appendLabels is appendSamples for labels.
func appendLabels(b []byte, l *imageio.Labels) ([]byte, int) {
	size := 4
	switch most := l.Max(); {
	case most <= math.MaxUint8:
		size = 1
	case most <= math.MaxUint16:
		size = 2
	}
	return appendNumbers(b, l.ID, size, sameNumber), size
}

// appendNumbers appends numbers of size bytes each, of 4 as whole says.
func appendNumbers[T float32 | uint32](b []byte, list []T, size int, whole func(T) uint32) []byte {
	b = slices.Grow(b, size*len(list))
	for _, v := range list {
		switch size {
		case 1:
			b = append(b, byte(v))
		case 2:
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		default:
			b = binary.LittleEndian.AppendUint32(b, whole(v))
		}
	}
	return b
}

// loaded is memory for an image in use; it is used again for the next one.
type loaded struct {
	record  []byte
	samples []float32
	labels  []uint32
	nuclei  []augment.Nucleus
}

// item reads image i, normalised, into memory that belongs to it until the next
// call with the same.
func (s *Images) item(i int, in *loaded) (l augment.Labelled, err error) {
	it := &s.items[i]
	in.record = slices.Grow(in.record[:0], it.allSize)[:it.allSize]
	record, err := s.store.Read(in.record, it.at)
	if err != nil {
		return l, fmt.Errorf("%s: reading it again: %w", it.id, err)
	}
	n := it.w * it.h
	in.samples = slices.Grow(in.samples[:0], it.channels*n)[:it.channels*n]
	in.labels = slices.Grow(in.labels[:0], n)[:n]
	readNumbers(in.samples, record[:it.sampleSize], it.sampleBytes, math.Float32frombits)
	record = record[it.sampleSize:]
	readNumbers(in.labels, record[:n*it.labelBytes], it.labelBytes, sameNumber)
	record = record[n*it.labelBytes:]
	in.nuclei = in.nuclei[:0]
	for ; len(record) > 0; record = record[24:] {
		at := func(k int) int { return int(binary.LittleEndian.Uint32(record[4*k:])) }
		in.nuclei = append(in.nuclei, augment.Nucleus{ID: uint32(at(0)), X0: at(1), Y0: at(2), X1: at(3), Y1: at(4), Area: at(5)})
	}
	img := &imageio.Image{W: it.w, H: it.h, C: it.channels, Pix: in.samples, Bits: it.bits, PixelSize: it.pixelSize}
	it.levels.Apply(img)
	return augment.Labelled{Image: img, Labels: &imageio.Labels{W: it.w, H: it.h, ID: in.labels}, Nuclei: in.nuclei, Contrast: it.contrast}, nil
}

// readNumbers reads numbers of size bytes each; whole is what those of 4 stand for.
func readNumbers[T float32 | uint32](to []T, from []byte, size int, whole func(uint32) T) {
	switch size {
	case 1:
		for i, v := range from[:len(to)] {
			to[i] = T(v)
		}
	case 2:
		for i := range to {
			to[i] = T(binary.LittleEndian.Uint16(from[2*i:]))
		}
	default:
		for i := range to {
			to[i] = whole(binary.LittleEndian.Uint32(from[4*i:]))
		}
	}
}

// sameNumber is what a label of 4 bytes stands for, and is stored as.
func sameNumber(v uint32) uint32 { return v }

// inMemory is how many bytes of images are kept in memory rather than in a file.
const inMemory = 32 << 20

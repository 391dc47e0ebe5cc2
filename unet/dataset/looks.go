package dataset

import (
	"context"
	"encoding/binary"
	"math"
	"path/filepath"
	"slices"
	"sync"

	"unet/unet/imageio/atomicfile"
)

// How much memory grouping takes, in bytes, whatever the number of images.
const (
	scratchBytes = 8 << 20 // of each kind of record, before they go to a file
	blockBytes   = 8 << 20 // of looks that are compared with others; there are two such blocks
	partBytes    = 8 << 20 // of rows that are sorted at once
)

// looks holds what grouping compares, outside of memory: every look is compared with
// every other, block by block.
type looks struct {
	mu      sync.Mutex
	records *atomicfile.Scratch // looks, one after the other
	ends    []int64             // where each record ends
	patches table               // hash in two numbers, image, y, x
	votes   table               // two images and the displacement of a patch they share
	block   int64               // bytes of a block, and of a part of the tables
	part    int64
}

// newLooks keeps its files in a folder.
func newLooks(dir string) *looks {
	scratch := func(name string) *atomicfile.Scratch {
		return atomicfile.NewScratch(filepath.Join(dir, name), scratchBytes)
	}
	return &looks{records: scratch("looks"), patches: table{rows: scratch("patches")}, votes: table{rows: scratch("votes")},
		block: blockBytes, part: partBytes}
}

// close removes the files.
func (s *looks) close() {
	s.records.Close()
	s.patches.rows.Close()
	s.votes.rows.Close()
}

// add takes the look of an image. Several goroutines may call it at once.
func (s *looks) add(img int, l *look) error {
	record := l.encode(img)
	s.mu.Lock()
	err := s.records.Append(record)
	s.ends = append(s.ends, s.records.Size())
	s.mu.Unlock()
	if err != nil {
		return err
	}
	seen := map[uint64]int{}
	var rows []row
	for _, p := range l.patches {
		if seen[p.hash]++; seen[p.hash] <= patchImages {
			rows = append(rows, row{uint32(p.hash >> 32), uint32(p.hash), uint32(img), uint32(p.y), uint32(p.x)})
		}
	}
	return s.patches.add(rows)
}

// links compares all pairs. digests are those of the images' files, by number.
func (s *looks) links(ctx context.Context, digests []string) ([]link, error) {
	// Equal files are duplicates: that they look alike, too, need not be said.
	same := func(i, j int) bool { return digests[i] != "" && digests[i] == digests[j] }
	alike, err := s.alike(ctx, same)
	if err != nil {
		return nil, err
	}
	overlapping, err := s.overlaps(ctx, same)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(duplicates(digests), alike, overlapping)
	slices.SortFunc(out, link.compare)
	return slices.Compact(out), nil
}

// numbered is the look of an image.
type numbered struct {
	img int
	*look
}

// alike finds adjacent crops, and images that look alike unless their files are equal.
func (s *looks) alike(ctx context.Context, same func(i, j int) bool) ([]link, error) {
	var out []link
	var mu sync.Mutex
	for from := 0; from < len(s.ends); {
		ours, next, err := s.read(from)
		if err != nil {
			return nil, err
		}
		for at := from; at < len(s.ends); {
			theirs, end := ours, next
			if at != from {
				if theirs, end, err = s.read(at); err != nil {
					return nil, err
				}
			}
			err := parallel(ctx, len(ours), func(i int) error {
				others := theirs
				if at == from {
					others = theirs[i+1:]
				}
				found := ours[i].alike(others, same)
				mu.Lock()
				out = append(out, found...)
				mu.Unlock()
				return nil
			})
			if err != nil {
				return nil, err
			}
			at = end
		}
		from = next
	}
	return out, nil
}

// alike compares an image with others.
func (n numbered) alike(others []numbered, same func(i, j int) bool) (out []link) {
	for _, other := range others {
		a, b := n, other
		if a.img > b.img {
			a, b = b, a
		}
		if adjacent(a.look, b.look) {
			out = append(out, link{a.img, b.img, relAdjacent})
		}
		if near(a.look, b.look) && !same(a.img, b.img) {
			out = append(out, link{a.img, b.img, relNear})
		}
	}
	return out
}

// read reads a block of looks: those from a number on that fit in it, or one.
func (s *looks) read(from int) (block []numbered, end int, err error) {
	start := int64(0)
	if from > 0 {
		start = s.ends[from-1]
	}
	end = from + 1
	for end < len(s.ends) && s.ends[end]-start <= s.block {
		end++
	}
	b, err := s.records.Read(make([]byte, s.ends[end-1]-start), start)
	if err != nil {
		return nil, 0, err
	}
	for _, stop := range s.ends[from:end] {
		l, img := decodeLook(b[:stop-start])
		block = append(block, numbered{img, l})
		b, start = b[stop-start:], stop
	}
	return block, end, nil
}

// encode is the look without its patches, as bytes that decodeLook reads.
func (k *look) encode(img int) (b []byte) {
	number := func(v int) { b = binary.LittleEndian.AppendUint64(b, uint64(v)) }
	float := func(v float64) { b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v)) }
	pixels := func(list []float32) {
		for _, v := range list {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	number(img)
	number(k.w)
	number(k.h)
	number(k.c)
	for _, h := range k.hashes {
		number(int(h))
	}
	pixels(k.thumb)
	for _, side := range k.edges {
		for _, e := range side {
			float(e.mean)
			float(e.std)
			float(e.inside)
			number(len(e.pix))
			pixels(e.pix)
		}
	}
	return b
}

func decodeLook(b []byte) (k *look, img int) {
	number := func() int {
		v := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return int(v)
	}
	float := func() float64 { return math.Float64frombits(uint64(number())) }
	pixels := func(n int) []float32 {
		list := make([]float32, n)
		for i := range list {
			list[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		b = b[4*n:]
		return list
	}
	img = number()
	k = &look{w: number(), h: number(), c: number()}
	for o := range k.hashes {
		k.hashes[o] = uint64(number())
	}
	k.thumb = pixels(thumbSide * thumbSide)
	for side := range k.edges {
		for t := range k.edges[side] {
			e := edge{mean: float(), std: float(), inside: float()}
			e.pix = pixels(number())
			k.edges[side][t] = e
		}
	}
	return k, img
}

// overlaps finds pairs that share patches at one displacement, unless their files are
// equal.
func (s *looks) overlaps(ctx context.Context, same func(i, j int) bool) (out []link, err error) {
	err = s.patches.sorted(ctx, 2, s.part, func(part []row) error {
		var votes []row
		for same := range runs(part, 2) {
			// Patches that many images share are pattern, not place.
			same = same[:min(len(same), patchImages)]
			for k, a := range same {
				for _, b := range same[k+1:] {
					if a[2] != b[2] {
						votes = append(votes, row{a[2], b[2], a[3] - b[3], a[4] - b[4]})
					}
				}
			}
			if len(votes) > 1<<15 {
				if err := s.votes.add(votes); err != nil {
					return err
				}
				votes = votes[:0]
			}
		}
		return s.votes.add(votes)
	})
	if err != nil {
		return nil, err
	}
	err = s.votes.sorted(ctx, 4, s.part, func(part []row) error {
		for votes := range runs(part, 4) {
			i, j := int(votes[0][0]), int(votes[0][1])
			if len(votes) >= patchMatches && !same(i, j) {
				out = append(out, link{i, j, relOverlap})
			}
		}
		return nil
	})
	return out, err
}

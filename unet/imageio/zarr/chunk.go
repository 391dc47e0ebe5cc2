package zarr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"

	"unet/unet/imageio/chunk"
	"unet/unet/imageio/input"
	"unet/unet/imageio/plane"
)

// ChunkBytes is that of a chunk, compressed and decoded.
func (s *zarrSource) ChunkBytes(i int) int64 {
	a := s.planes[i].array
	bytes := int64(a.t.Size) // setChunks has bounded the product
	for _, n := range a.chunk {
		bytes *= int64(n)
	}
	return 2 * bytes
}

// read hands the samples of a region of one plane to s as channel c. lead is
// the plane's index along all axes but the last two.
func (a *zarrArray) read(lead []int, x0, y0, x1, y1, c int, s plane.Sink) error {
	n := len(a.shape)
	ch, cw := a.chunk[n-2], a.chunk[n-1]
	if chunks := int64((y1-1)/ch-y0/ch+1) * int64((x1-1)/cw-x0/cw+1); chunks > maxRegionChunks {
		return &plane.LimitError{Name: a.name, What: fmt.Sprintf("%d chunks of %d x %d pixels in one piece (limit %d)", chunks, cw, ch, maxRegionChunks), Advice: "rewrite it with larger chunks"}
	}
	at := make([]int64, n)
	inside := 0 // position of the plane in a chunk, in planes
	for i, v := range lead {
		at[i] = int64(v / a.chunk[i])
		inside = inside*a.chunk[i] + v%a.chunk[i]
	}
	size := a.t.Size
	for cy := y0 / ch; cy*ch < y1; cy++ {
		for cx := x0 / cw; cx*cw < x1; cx++ {
			at[n-2], at[n-1] = int64(cy), int64(cx)
			b, err := a.chunkAt(at)
			if err != nil {
				return err
			}
			left, right := max(x0, cx*cw), min(x1, (cx+1)*cw)
			for y := max(y0, cy*ch); y < min(y1, (cy+1)*ch); y++ {
				src, step := a.fill, 0
				if b != nil {
					row := (inside*ch+y-cy*ch)*cw + left - cx*cw
					src, step = b[row*size:(row+right-left)*size], size
				}
				if err := s.Put(c, left-x0, y-y0, right-left, src, step, a.t); err != nil {
					return a.bad("%v", err)
				}
			}
		}
	}
	return nil
}

// chunkAt returns the decoded chunk, nil when it is not stored.
func (a *zarrArray) chunkAt(at []int64) ([]byte, error) {
	number := 0
	samples := 1
	for i, v := range at {
		grid := (a.shape[i] + int64(a.chunk[i]) - 1) / int64(a.chunk[i])
		number = number*int(grid) + int(v)
		samples *= a.chunk[i]
	}
	key := chunk.Key{Array: 0, Chunk: number}
	if b := a.cache.Get(key); b != nil {
		return b, nil
	}
	raw, where, err := a.stored(at)
	if err != nil || raw == nil {
		return nil, err
	}
	due, ratio := samples*a.t.Size, int64(1)
	for _, c := range a.codecs {
		ratio = max(ratio, c.ratio)
	}
	if int64(due)/ratio > int64(len(raw))+4096 {
		return nil, a.bad("chunk %s has %d bytes, %d samples are expected", where, len(raw), samples)
	}
	out := a.cache.Make(due)
	if err := decodeChain(a.codecs, out, raw); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends too early")
		}
		return nil, a.bad("chunk %s: %v", where, err)
	}
	if a.bigEndian {
		plane.SwapBytes(out, a.t.Size)
	}
	a.cache.Put(key, out)
	return out, nil
}

// stored reads a chunk's bytes, nil when it is not stored, and says where
// they are.
func (a *zarrArray) stored(at []int64) (raw []byte, where string, err error) {
	if a.shard == nil {
		where = path.Join(a.path, a.key(at))
		f, err := a.openChunk(where)
		if f == nil {
			return nil, where, err
		}
		defer f.Close()
		raw, err = a.part(f, where, 0, -1)
		return raw, where, err
	}
	outer := make([]int64, len(at))
	inner, count := 0, 1
	for i, v := range at {
		per := int64(a.shard[i])
		outer[i] = v / per
		inner = inner*a.shard[i] + int(v%per)
		count *= a.shard[i]
	}
	where = path.Join(a.path, a.key(outer))
	f, err := a.openChunk(where)
	if f == nil {
		return nil, where, err
	}
	defer f.Close()
	if a.shardKey != where {
		// The index: offset and length of each chunk, all ones when absent.
		n := 16 * count
		size := int64(n)
		for _, k := range a.index {
			size = k.size(size)
		}
		from := int64(0)
		if a.indexEnd {
			from = -size
		}
		b, err := a.part(f, where, from, size)
		if err != nil {
			return nil, where, err
		}
		index := make([]byte, n)
		if err := decodeChain(a.index, index, b); err != nil {
			return nil, where, a.bad("index of shard %s: %v", where, err)
		}
		a.shardKey, a.shardData = where, index
	}
	offset, size := binary.LittleEndian.Uint64(a.shardData[16*inner:]), binary.LittleEndian.Uint64(a.shardData[16*inner+8:])
	if offset == math.MaxUint64 && size == math.MaxUint64 {
		return nil, where, nil
	}
	if offset > math.MaxInt64 || size > math.MaxInt64 {
		return nil, where, a.bad("the index of shard %s is wrong", where)
	}
	raw, err = a.part(f, where, int64(offset), int64(size))
	return raw, where, err
}

// openChunk opens a chunk's file; nil without an error when there is none.
func (a *zarrArray) openChunk(where string) (*os.File, error) {
	f, err := input.OpenIn(a.root, where)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if kind := new(input.KindError); errors.As(err, &kind) {
		return nil, a.bad("%v", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	return f, nil
}

// part reads n bytes at offset from, which counts from the end when negative;
// the whole file when n is negative.
func (a *zarrArray) part(f *os.File, where string, from, n int64) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	if !st.Mode().IsRegular() {
		return nil, a.bad("%s is not a regular file", where)
	}
	if n < 0 {
		n = st.Size()
	}
	if from < 0 {
		from += st.Size()
	}
	if from < 0 || n > st.Size()-from || n > 2*maxChunkBytes {
		return nil, a.bad("%s: %d bytes at offset %d do not lie in a file of %d bytes", where, n, from, st.Size())
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, from); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", a.name, err)
	}
	return b, nil
}

package unet

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
)

// tensor is one named array of a safetensors file
// (https://huggingface.co/docs/safetensors: 8-byte length, JSON header, data).
type tensor struct {
	name  string
	shape []int
	data  []float32
	half  bool // stored as IEEE half precision
}

// maxHeader bounds the JSON header of a file before it is read.
const maxHeader = 16 << 20

type tensorHeader struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// writeTensors writes a file with the metadata and the tensors in order.
func writeTensors(w io.Writer, metadata map[string]string, list []tensor) error {
	header := map[string]any{"__metadata__": metadata}
	at := int64(0)
	for _, t := range list {
		h := tensorHeader{DType: "F32", Offsets: [2]int64{at, at + 4*int64(len(t.data))}, Shape: []int64{}}
		if t.half {
			h.DType, h.Offsets[1] = "F16", at+2*int64(len(t.data))
		}
		for _, d := range t.shape {
			h.Shape = append(h.Shape, int64(d))
		}
		header[t.name] = h
		at = h.Offsets[1]
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for (len(text)+8)%64 != 0 {
		text = append(text, ' ') // aligns the data
	}
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(text)))
	if _, err := w.Write(append(n[:], text...)); err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<16)
	for _, t := range list {
		for i, v := range t.data {
			if t.half {
				buf = binary.LittleEndian.AppendUint16(buf, toHalf(v))
			} else {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
			}
			if len(buf) > 1<<16-8 || i == len(t.data)-1 {
				if _, err := w.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
	}
	return nil
}

var errTruncated = errors.New("the file is cut short")

// tensorFile is what the header of a safetensors file says, found possible for
// a file of its size.
type tensorFile struct {
	metadata map[string]string
	entries  []tensorEntry // in the order of their data
}

type tensorEntry struct {
	tensorHeader
	name  string
	count int64 // of values
}

// readHeader reads the header of a file of the given size in bytes. A file may
// claim to be of any size: what follows is read by f.read, after the caller has
// found f.values sensible.
func readHeader(r io.Reader, size int64) (*tensorFile, error) {
	return readHeaderOf(r, size, map[string]int64{"F32": 4, "F16": 2})
}

// readHeaderOf is readHeader for a file of the element types whose widths are
// given.
func readHeaderOf(r io.Reader, size int64, widths map[string]int64) (*tensorFile, error) {
	var n [8]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, errTruncated
	}
	length := binary.LittleEndian.Uint64(n[:])
	if length > maxHeader {
		return nil, errors.New("not a safetensors file (its header would be too long)")
	}
	if int64(length)+8 > size {
		return nil, errTruncated
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, errTruncated
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("not a safetensors file (its header is not JSON: %w)", err)
	}
	f := new(tensorFile)
	for name, msg := range raw {
		if name == "__metadata__" {
			if err := json.Unmarshal(msg, &f.metadata); err != nil {
				return nil, fmt.Errorf("damaged metadata: %w", err)
			}
			continue
		}
		e := tensorEntry{name: name, count: 1}
		if err := json.Unmarshal(msg, &e.tensorHeader); err != nil {
			return nil, fmt.Errorf("damaged header of tensor %q: %w", name, err)
		}
		width := widths[e.DType]
		if width == 0 {
			return nil, fmt.Errorf("tensor %q has type %q, known are %q", name, e.DType, slices.Sorted(maps.Keys(widths)))
		}
		for _, d := range e.Shape {
			if d < 0 || d > size || d > 0 && e.count > size/d {
				return nil, fmt.Errorf("tensor %q has an impossible shape %v", name, e.Shape)
			}
			e.count *= d
		}
		if e.Offsets[0] < 0 || e.Offsets[1]-e.Offsets[0] != e.count*width || e.Offsets[1] > size {
			return nil, fmt.Errorf("tensor %q: shape %v does not fit its place in the file", name, e.Shape)
		}
		f.entries = append(f.entries, e)
	}
	sort.Slice(f.entries, func(i, j int) bool {
		a, b := f.entries[i], f.entries[j]
		if a.Offsets[0] != b.Offsets[0] {
			return a.Offsets[0] < b.Offsets[0]
		}
		return a.name < b.name
	})
	at := int64(0)
	for _, e := range f.entries {
		if e.Offsets[0] != at {
			return nil, fmt.Errorf("tensor %q overlaps another or leaves a gap", e.name)
		}
		at = e.Offsets[1]
	}
	switch {
	case 8+int64(length)+at > size:
		return nil, errTruncated
	case 8+int64(length)+at < size:
		return nil, errors.New("there are bytes after the end of the data")
	}
	return f, nil
}

// values counts the numbers in the file.
func (f *tensorFile) values() (n int64) {
	for _, e := range f.entries {
		n += e.count
	}
	return n
}

// read reads the data, which follows the header.
func (f *tensorFile) read(r io.Reader) ([]tensor, error) {
	var list []tensor
	for _, e := range f.entries {
		t := tensor{name: e.name, half: e.DType == "F16", data: make([]float32, e.count)}
		for _, d := range e.Shape {
			t.shape = append(t.shape, int(d))
		}
		buf := make([]byte, min(e.Offsets[1]-e.Offsets[0], 1<<16))
		for i := 0; i < len(t.data); {
			width := 4
			if t.half {
				width = 2
			}
			chunk := buf[:min(len(buf), (len(t.data)-i)*width)]
			if _, err := io.ReadFull(r, chunk); err != nil {
				return nil, errTruncated
			}
			for ; len(chunk) > 0; chunk = chunk[width:] {
				if t.half {
					t.data[i] = fromHalf(binary.LittleEndian.Uint16(chunk))
				} else {
					t.data[i] = math.Float32frombits(binary.LittleEndian.Uint32(chunk))
				}
				i++
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// Tensor is one named array of numbers.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// ReadTensors reads the arrays of any safetensors file of the given size in
// bytes, which other programs write, too, in the order of their data; integers
// are passed over.
func ReadTensors(r io.Reader, size int64) ([]Tensor, error) {
	widths := map[string]int64{"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8}
	f, err := readHeaderOf(r, size, widths)
	if err != nil {
		return nil, err
	}
	var list []Tensor
	for _, e := range f.entries {
		if e.DType == "I64" { // PyTorch counts the batches of a batch-norm
			if _, err := io.CopyN(io.Discard, r, 8*e.count); err != nil {
				return nil, errTruncated
			}
			continue
		}
		t := Tensor{Name: e.name, Data: make([]float32, 0, min(e.count, 1<<16))}
		for _, d := range e.Shape {
			t.Shape = append(t.Shape, int(d))
		}
		b := make([]byte, widths[e.DType])
		for range e.count {
			if _, err := io.ReadFull(r, b); err != nil {
				return nil, errTruncated
			}
			var v float32
			switch e.DType {
			case "F32":
				v = math.Float32frombits(binary.LittleEndian.Uint32(b))
			case "F16":
				v = fromHalf(binary.LittleEndian.Uint16(b))
			case "BF16":
				v = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
			case "F64":
				v = float32(math.Float64frombits(binary.LittleEndian.Uint64(b)))
			}
			t.Data = append(t.Data, v)
		}
		list = append(list, t)
	}
	return list, nil
}

// toHalf rounds to IEEE half precision, to nearest, ties to even; what is too
// large becomes infinite.
func toHalf(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 // NaN
	case b >= 0x47800000:
		return sign | 0x7c00 // at least 65536: infinite
	case b >= 0x38800000: // normal
		b -= 0x38000000 // exponent bias 127 -> 15
		return sign | uint16((b+0xfff+b>>13&1)>>13)
	}
	// Subnormal: units of 2^-24.
	return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
}

func fromHalf(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0:
		v := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

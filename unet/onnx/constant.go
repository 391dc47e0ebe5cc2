package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"unet/unet/imageio/input"
)

// constant is a tensor that does not depend on the image's samples: a weight,
// or part of the arithmetic of shapes. Its values are float32 or int64 in the
// file; only the arithmetic of shapes mixes them, which float64 does exactly.
type constant struct {
	dims   []int
	values []float64 // nil for a weight, see weight
	weight []float32
	whole  bool // of integers
}

// maxArithmetic is the most values a constant may have to be computed with:
// per-channel vectors, not weights.
const maxArithmetic = 1 << 14

// count is the product of dims, or -1 if it is above most.
func count(dims []int, most int) int {
	n := 1
	for _, d := range dims {
		if d < 0 || d > most || d > 0 && n > most/d {
			return -1
		}
		n *= d
	}
	return n
}

func (c *constant) len() int {
	if c.weight != nil {
		return len(c.weight)
	}
	return len(c.values)
}

// at returns value i.
func (c *constant) at(i int) float64 {
	if c.weight != nil {
		return float64(c.weight[i])
	}
	return c.values[i]
}

// ints returns the values as whole numbers.
func (c *constant) ints() ([]int, error) {
	if c.len() > maxArithmetic {
		return nil, fmt.Errorf("a list of %d numbers", c.len())
	}
	list := make([]int, c.len())
	for i := range list {
		v := c.at(i)
		switch {
		case v >= math.MaxInt32: // "to the end"
			v = math.MaxInt32
		case v <= math.MinInt32:
			v = math.MinInt32
		case v != math.Trunc(v):
			return nil, fmt.Errorf("%v where a whole number should be", v)
		}
		list[i] = int(v)
	}
	return list, nil
}

// load reads the values of a tensor, which are in the model's file or, if
// folder is not nil, in one beside it.
func (t *tensorProto) load(folder *os.Root) (*constant, error) {
	c := &constant{whole: t.dataType == typeInt32 || t.dataType == typeInt64}
	for _, d := range t.dims {
		if d < 0 || d > math.MaxInt32 {
			return nil, fmt.Errorf("a dimension of %d", d)
		}
		c.dims = append(c.dims, int(d))
	}
	width := map[int64]int{typeFloat: 4, typeInt32: 4, typeInt64: 8}[t.dataType]
	if width == 0 {
		return nil, fmt.Errorf("numbers of ONNX type %d: float32, int32 and int64 are known (export the model in float32)", t.dataType)
	}
	n := count(c.dims, maxFile/width)
	if n < 0 {
		return nil, fmt.Errorf("its shape %v is too large", c.dims)
	}
	raw := t.raw
	if t.location == 1 {
		var err error
		if raw, err = t.readExternal(folder, n*width); err != nil {
			return nil, err
		}
	}
	if raw == nil && n > 0 { // the values are fields of their own
		return c, t.loadFields(c, n)
	}
	if len(raw) != n*width {
		return nil, fmt.Errorf("%d bytes for shape %v", len(raw), c.dims)
	}
	switch t.dataType {
	case typeFloat:
		c.weight = make([]float32, n)
		for i := range c.weight {
			c.weight[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case typeInt32:
		c.values = make([]float64, n)
		for i := range c.values {
			c.values[i] = float64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	case typeInt64:
		c.values = make([]float64, n)
		for i := range c.values {
			c.values[i] = float64(int64(binary.LittleEndian.Uint64(raw[8*i:])))
		}
	}
	return c, nil
}

func (t *tensorProto) loadFields(c *constant, n int) error {
	var ints []int64
	switch t.dataType {
	case typeFloat:
		c.weight = t.floats
	case typeInt32:
		ints = t.int32s
	case typeInt64:
		ints = t.int64s
	}
	for _, v := range ints {
		c.values = append(c.values, float64(v))
	}
	if c.len() != n {
		return fmt.Errorf("%d values for shape %v", c.len(), c.dims)
	}
	return nil
}

// readExternal reads a tensor's bytes from the file that it names, which must
// lie in the model's folder.
func (t *tensorProto) readExternal(folder *os.Root, size int) ([]byte, error) {
	var name string
	offset, length := int64(0), int64(size)
	for _, e := range t.external {
		var err error
		switch e.key {
		case "location":
			name = e.value
		case "offset":
			offset, err = strconv.ParseInt(e.value, 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.value, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("a bad %s of external data: %q", e.key, e.value)
		}
	}
	if folder == nil {
		return nil, fmt.Errorf("its values are in another file, %q", name)
	}
	if length != int64(size) || offset < 0 {
		return nil, fmt.Errorf("external data: %d bytes at %d for a shape of %d bytes", length, offset, size)
	}
	// Opening a pipe would wait for its other end.
	st, err := folder.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size()-offset < length {
		return nil, fmt.Errorf("external data: %s is not a file of at least %d bytes", name, offset+length)
	}
	f, err := input.OpenIn(folder, filepath.FromSlash(name))
	if err != nil {
		return nil, fmt.Errorf("external data: %w", err)
	}
	defer f.Close()
	b := make([]byte, size)
	_, err = io.ReadFull(io.NewSectionReader(f, offset, length), b)
	return b, err
}

// arithmetic computes an operator on constants; ok is false for an operator it
// does not know.
func arithmetic(n *nodeProto, in []*constant) (out *constant, ok bool, err error) {
	for _, c := range in {
		if c == nil { // an optional input
			return nil, false, nil
		}
	}
	if f := binary2[n.op]; f != nil && len(in) == 2 {
		out, err = elementwise(f, in[0], in[1])
		return out, true, err
	}
	if f := unary[n.op]; f != nil && len(in) == 1 {
		out, err = elementwise(func(a, _ float64) float64 { return f(a) }, in[0], in[0])
		return out, true, err
	}
	if len(in) < 1 {
		return nil, false, nil
	}
	switch n.op {
	case "Identity":
		return in[0], true, nil
	case "Shape":
		out = vector(nil, true)
		for _, d := range in[0].dims {
			out.values = append(out.values, float64(d))
		}
		out.dims = []int{len(in[0].dims)}
	case "Cast":
		out, err = in[0].cast(n.integer("to", typeFloat))
	case "Reshape":
		out, err = in[0].reshape(in[1:])
	case "Squeeze", "Unsqueeze":
		out, err = in[0].squeeze(n, in[1:])
	case "Transpose":
		out, err = in[0].transpose(n.ints("perm"))
	case "Concat":
		out, err = concatenate(in)
	case "Gather":
		out, err = in[0].gather(in[1:])
	case "Slice":
		out, err = in[0].slice(in[1:])
	case "ConstantOfShape":
		out, err = fill(n, in[0])
	default:
		return nil, false, nil
	}
	return out, true, err
}

var unary = map[string]func(float64) float64{
	"Neg": func(a float64) float64 { return -a }, "Floor": math.Floor, "Ceil": math.Ceil,
	"Sqrt": math.Sqrt, "Reciprocal": func(a float64) float64 { return 1 / a },
}

var binary2 = map[string]func(a, b float64) float64{
	"Add": func(a, b float64) float64 { return a + b },
	"Sub": func(a, b float64) float64 { return a - b },
	"Mul": func(a, b float64) float64 { return a * b },
	"Div": func(a, b float64) float64 { return a / b },
	"Max": math.Max, "Min": math.Min,
	"Mod": func(a, b float64) float64 { // the sign is the divisor's
		r := math.Mod(a, b)
		if r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r
	},
}

var errLarge = fmt.Errorf("arithmetic on more than %d constants", maxArithmetic)

// elementwise computes on two constants of one shape, or on one and a scalar.
func elementwise(f func(a, b float64) float64, a, b *constant) (*constant, error) {
	shape, n := a.dims, a.len()
	if b.len() > n || n == 1 && len(b.dims) > len(a.dims) {
		shape, n = b.dims, b.len()
	}
	if n > maxArithmetic {
		return nil, errLarge
	}
	if a.len() != n && a.len() != 1 || b.len() != n && b.len() != 1 {
		return nil, fmt.Errorf("constants of shape %v and %v", a.dims, b.dims)
	}
	c := &constant{dims: shape, values: make([]float64, n), whole: a.whole && b.whole}
	for i := range c.values {
		v := f(a.at(min(i, a.len()-1)), b.at(min(i, b.len()-1)))
		if c.whole {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("division by zero")
			}
			v = math.Trunc(v)
		}
		c.values[i] = v
	}
	return c, nil
}

func (c *constant) cast(to int64) (*constant, error) {
	whole := to == typeInt32 || to == typeInt64
	if !whole && to != typeFloat {
		return nil, fmt.Errorf("a cast to ONNX type %d", to)
	}
	if whole == c.whole {
		return c, nil
	}
	if c.len() > maxArithmetic {
		return nil, errLarge
	}
	out := &constant{dims: c.dims, values: make([]float64, c.len()), whole: whole}
	for i := range out.values {
		if out.values[i] = c.at(i); whole {
			out.values[i] = math.Trunc(c.at(i))
		}
	}
	return out, nil
}

// shaped returns the same values in another shape.
func (c *constant) shaped(dims []int) (*constant, error) {
	if count(dims, maxFile) != c.len() {
		return nil, fmt.Errorf("shape %v for %d values", dims, c.len())
	}
	out := *c
	out.dims = dims
	return &out, nil
}

func (c *constant) reshape(in []*constant) (*constant, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("no shape")
	}
	dims, err := in[0].ints()
	if err != nil {
		return nil, err
	}
	rest, known := -1, 1
	for i, d := range dims {
		if d == 0 && i < len(c.dims) {
			dims[i] = c.dims[i]
		}
		if d == -1 && rest < 0 {
			rest = i
		} else if known *= dims[i]; known <= 0 || known > maxFile {
			return nil, fmt.Errorf("shape %v", dims)
		}
	}
	if rest >= 0 {
		dims[rest] = c.len() / known
	}
	return c.shaped(dims)
}

// squeeze takes dimensions of 1 away or puts them in; the axes are an input
// or, before opset 13, an attribute.
func (c *constant) squeeze(n *nodeProto, in []*constant) (*constant, error) {
	dims, err := c.squeezed(n, in)
	if err != nil {
		return nil, err
	}
	return c.shaped(dims)
}

// squeezed is the shape after it.
func (c *constant) squeezed(n *nodeProto, in []*constant) ([]int, error) {
	axes := n.ints("axes")
	if len(in) > 0 && in[0] != nil {
		var err error
		if axes, err = in[0].ints(); err != nil {
			return nil, err
		}
	}
	rank := len(c.dims)
	if n.op == "Unsqueeze" {
		rank += len(axes)
	}
	if rank > 8 {
		return nil, fmt.Errorf("%d dimensions", rank)
	}
	named := make([]bool, rank)
	for _, a := range axes {
		if a < 0 {
			a += rank
		}
		if a < 0 || a >= rank || named[a] {
			return nil, fmt.Errorf("axes %v", axes)
		}
		named[a] = true
	}
	var dims []int
	if n.op == "Squeeze" {
		for i, d := range c.dims {
			if !named[i] && (len(axes) > 0 || d != 1) {
				dims = append(dims, d)
			} else if d != 1 {
				return nil, fmt.Errorf("axis %d of shape %v is not 1", i, c.dims)
			}
		}
		return dims, nil
	}
	rest := c.dims
	for i := range rank {
		if named[i] {
			dims = append(dims, 1)
		} else {
			dims, rest = append(dims, rest[0]), rest[1:]
		}
	}
	return dims, nil
}

func (c *constant) transpose(perm []int) (*constant, error) {
	rank := len(c.dims)
	if perm == nil {
		for i := range rank {
			perm = append(perm, rank-1-i)
		}
	}
	if len(perm) != rank || rank > 8 {
		return nil, fmt.Errorf("permutation %v of %d dimensions", perm, rank)
	}
	stride, strides := 1, make([]int, rank)
	for i := rank - 1; i >= 0; i-- {
		strides[i] = stride
		stride *= c.dims[i]
	}
	out := &constant{whole: c.whole}
	var steps []int
	seen := make([]bool, rank)
	for _, p := range perm {
		if p < 0 || p >= rank || seen[p] {
			return nil, fmt.Errorf("permutation %v", perm)
		}
		seen[p] = true
		out.dims, steps = append(out.dims, c.dims[p]), append(steps, strides[p])
	}
	at := make([]int, rank)
	for range c.len() {
		from := 0
		for i, v := range at {
			from += v * steps[i]
		}
		if c.weight != nil {
			out.weight = append(out.weight, c.weight[from])
		} else {
			out.values = append(out.values, c.values[from])
		}
		for i := rank - 1; i >= 0; i-- {
			if at[i]++; at[i] < out.dims[i] {
				break
			}
			at[i] = 0
		}
	}
	return out, nil
}

// list returns the values of a scalar or a vector.
func (c *constant) list() ([]float64, error) {
	if len(c.dims) > 1 || c.len() > maxArithmetic {
		return nil, fmt.Errorf("a constant of shape %v where a list should be", c.dims)
	}
	values := make([]float64, c.len())
	for i := range values {
		values[i] = c.at(i)
	}
	return values, nil
}

func vector(values []float64, whole bool) *constant {
	return &constant{dims: []int{len(values)}, values: values, whole: whole}
}

func concatenate(in []*constant) (*constant, error) {
	var values []float64
	for _, c := range in {
		v, err := c.list()
		if err != nil {
			return nil, err
		}
		if values = append(values, v...); len(values) > maxArithmetic {
			return nil, errLarge
		}
	}
	return vector(values, in[0].whole), nil
}

func (c *constant) gather(in []*constant) (*constant, error) {
	values, err := c.list()
	if err != nil || len(in) != 1 {
		return nil, fmt.Errorf("gathers from shape %v", c.dims)
	}
	indices, err := in[0].ints()
	if err != nil {
		return nil, err
	}
	out := &constant{dims: in[0].dims, values: make([]float64, 0, len(indices)), whole: c.whole}
	for _, i := range indices {
		if i < 0 {
			i += len(values)
		}
		if i < 0 || i >= len(values) {
			return nil, fmt.Errorf("index %d of %d", i, len(values))
		}
		out.values = append(out.values, values[i])
	}
	return out, nil
}

// slice cuts a vector, or a matrix along its first axis.
func (c *constant) slice(in []*constant) (*constant, error) {
	if len(c.dims) < 1 || len(c.dims) > 2 || c.len() > maxArithmetic || len(in) < 2 {
		return nil, fmt.Errorf("a slice of shape %v", c.dims)
	}
	start, end, axis, step := []int{0}, []int{0}, []int{0}, []int{1}
	for i, p := range []*[]int{&start, &end, &axis, &step} {
		if i < len(in) {
			var err error
			if *p, err = in[i].ints(); err != nil || len(*p) != 1 {
				return nil, fmt.Errorf("a slice along several axes")
			}
		}
	}
	if axis[0] != 0 && axis[0] != -len(c.dims) || step[0] == 0 {
		return nil, fmt.Errorf("a slice along axis %d, step %d", axis[0], step[0])
	}
	n := c.dims[0]
	row := c.len() / max(n, 1)
	within := func(v, low, high int) int {
		if v < 0 {
			v = max(v+n, -1)
		}
		return min(max(v, low), high)
	}
	out := &constant{dims: slices.Clone(c.dims), whole: c.whole, values: []float64{}}
	take := func(i int) {
		for j := range row {
			out.values = append(out.values, c.at(i*row+j))
		}
	}
	if step[0] > 0 {
		for i, last := within(start[0], 0, n), within(end[0], 0, n); i < last; i += step[0] {
			take(i)
		}
	} else {
		for i, last := within(start[0], -1, n-1), within(end[0], -1, n-1); i > last; i += step[0] {
			take(i)
		}
	}
	out.dims[0] = len(out.values) / max(row, 1)
	return out, nil
}

// split cuts a vector into one part for each output.
func split(n *nodeProto, in []*constant) ([]*constant, error) {
	if len(in) < 1 || in[0] == nil {
		return nil, errors.New("nothing to split")
	}
	values, err := in[0].list()
	if err != nil {
		return nil, err
	}
	sizes := n.ints("split")
	if len(in) > 1 && in[1] != nil {
		if sizes, err = in[1].ints(); err != nil {
			return nil, err
		}
	}
	if sizes == nil {
		sizes = slices.Repeat([]int{len(values) / len(n.outputs)}, len(n.outputs))
	}
	var parts []*constant
	for _, k := range sizes {
		if k < 0 || k > len(values) || len(parts) == len(n.outputs) {
			return nil, fmt.Errorf("parts of %v", sizes)
		}
		parts = append(parts, vector(values[:k], in[0].whole))
		values = values[k:]
	}
	if len(values) > 0 || len(parts) < len(n.outputs) {
		return nil, fmt.Errorf("parts of %v", sizes)
	}
	return parts, nil
}

func fill(n *nodeProto, shape *constant) (*constant, error) {
	dims, err := shape.ints()
	if err != nil {
		return nil, err
	}
	size := count(dims, maxArithmetic)
	if size < 0 {
		return nil, errLarge
	}
	out := &constant{dims: dims, values: make([]float64, size)}
	if t := n.tensor("value"); t != nil {
		v, err := t.load(nil)
		if err != nil || v.len() != 1 {
			return nil, fmt.Errorf("a bad value")
		}
		out.whole = v.whole
		for i := range out.values {
			out.values[i] = v.at(0)
		}
	}
	return out, nil
}

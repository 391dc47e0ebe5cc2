package formats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"unet/unet/imageio"
)

// ReadNPY reads a label image from a NumPy file: an array of whole numbers of two
// dimensions, or the array of masks of Cellpose's _seg.npy.
func ReadNPY(r io.Reader) (*imageio.Labels, error) {
	data, err := io.ReadAll(limited(r))
	if err != nil {
		return nil, fmt.Errorf("NumPy file: %w", err)
	}
	l, err := decodeNPY(data)
	if err != nil {
		return nil, fmt.Errorf("NumPy file: %w", err)
	}
	return l, nil
}

// numpyArray is an array of numbers, or of one object.
type numpyArray struct {
	descr   string // type as in <u2
	fortran bool   // columns are contiguous
	shape   []int
	raw     []byte
}

var (
	npyDescr   = regexp.MustCompile(`'descr':\s*'([^']*)'`)
	npyFortran = regexp.MustCompile(`'fortran_order':\s*(True|False)`)
	npyShape   = regexp.MustCompile(`'shape':\s*\(([0-9, ]*)\)`)
)

func decodeNPY(data []byte) (*imageio.Labels, error) {
	if len(data) < 12 || !bytes.HasPrefix(data, []byte("\x93NUMPY")) {
		return nil, errors.New("it does not begin as one")
	}
	size, at := int(binary.LittleEndian.Uint16(data[8:])), 10
	if data[6] > 1 {
		size, at = int(binary.LittleEndian.Uint32(data[8:])), 12
	}
	if size > len(data)-at {
		return nil, errors.New("its header is cut off")
	}
	header, body := string(data[at:at+size]), data[at+size:]
	descr, fortran, shape := npyDescr.FindStringSubmatch(header), npyFortran.FindStringSubmatch(header), npyShape.FindStringSubmatch(header)
	if descr == nil || fortran == nil || shape == nil {
		return nil, errors.New("its header does not say what it holds")
	}
	if strings.HasSuffix(descr[1], "O") {
		return cellposeMasks(body)
	}
	a := numpyArray{descr: descr[1], fortran: fortran[1] == "True", raw: body}
	for s := range strings.SplitSeq(shape[1], ",") {
		if s = strings.TrimSpace(s); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil {
				return nil, fmt.Errorf("its shape: %w", err)
			}
			a.shape = append(a.shape, n)
		}
	}
	return a.labels()
}

// labels is the array as a label image.
func (a *numpyArray) labels() (*imageio.Labels, error) {
	if len(a.shape) != 2 {
		return nil, fmt.Errorf("its array has %d dimensions, and a label image has two", len(a.shape))
	}
	h, w := a.shape[0], a.shape[1]
	if w < 1 || h < 1 || w > imageio.MaxSide || h > imageio.MaxSide || w > maxPixels/h {
		return nil, fmt.Errorf("%d x %d pixels: none, or more than the limit of %d", w, h, maxPixels)
	}
	var order binary.ByteOrder = binary.LittleEndian
	kind := strings.TrimLeft(a.descr, "<|=>")
	if strings.HasPrefix(a.descr, ">") {
		order = binary.BigEndian
	}
	widths := map[string]int{"b1": 1, "?": 1, "u1": 1, "i1": 1, "u2": 2, "i2": 2, "u4": 4, "i4": 4, "u8": 8, "i8": 8}
	width, ok := widths[kind]
	if !ok {
		return nil, fmt.Errorf("its numbers are %s, and labels are whole numbers", a.descr)
	}
	if len(a.raw) < w*h*width {
		return nil, errors.New("its array is cut off")
	}
	l := imageio.NewLabels(w, h)
	for i := range l.ID {
		from := i
		if a.fortran {
			from = i%w*h + i/w
		}
		p := a.raw[from*width:]
		var v uint64
		switch width {
		case 1:
			v = uint64(p[0])
		case 2:
			v = uint64(order.Uint16(p))
		case 4:
			v = uint64(order.Uint32(p))
		default:
			v = order.Uint64(p)
		}
		if kind[0] == 'i' && v>>(8*width-1) != 0 || v > 1<<32-1 {
			return nil, fmt.Errorf("pixel (%d, %d) holds a number that cannot be a label", i%w, i/w)
		}
		l.ID[i] = uint32(v)
	}
	return l, nil
}

// cellposeMasks finds the masks in the dictionary that Cellpose saves.
func cellposeMasks(data []byte) (*imageio.Labels, error) {
	top, err := unpickle(data)
	if err != nil {
		return nil, err
	}
	// An array of no dimensions holds the dictionary.
	if o, ok := top.(*pickled); ok {
		if state, ok := o.state.([]any); ok && len(state) == 5 {
			if list, ok := state[4].(*pickledList); ok && len(list.items) == 1 {
				top = list.items[0]
			}
		}
	}
	dict, ok := top.(map[string]any)
	if !ok || dict["masks"] == nil {
		return nil, errors.New("it holds objects, but not the masks of Cellpose")
	}
	a, err := arrayOf(dict["masks"])
	if err != nil {
		return nil, fmt.Errorf("its masks: %w", err)
	}
	return a.labels()
}

// arrayOf is a pickled array: its state is (version, shape, type, is Fortran's,
// bytes), that of its type (version, byte order, ...).
func arrayOf(v any) (*numpyArray, error) {
	o, _ := v.(*pickled)
	if o == nil {
		return nil, errors.New("they are not an array")
	}
	state, _ := o.state.([]any)
	if len(state) != 5 {
		return nil, errors.New("they are not an array")
	}
	shape, _ := state[1].([]any)
	kind, _ := state[2].(*pickled)
	fortran, _ := state[3].(bool)
	raw, ok := state[4].([]byte)
	if kind == nil || !ok {
		return nil, errors.New("their array is not of numbers")
	}
	a := &numpyArray{fortran: fortran, raw: raw}
	for _, n := range shape {
		i, ok := n.(int64)
		if !ok || i < 0 || i > maxPixels {
			return nil, errors.New("their shape is not valid")
		}
		a.shape = append(a.shape, int(i))
	}
	name, order := "", ""
	if args, _ := kind.args.([]any); len(args) > 0 {
		name, _ = args[0].(string)
	}
	if state, _ := kind.state.([]any); len(state) > 1 {
		order, _ = state[1].(string)
	}
	a.descr = order + name
	return a, nil
}

package onnx

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of ONNX that a U-Net needs
// (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). Each lists its
// fields once, for reading and for writing; fields that are not listed are
// passed over.
type (
	modelProto struct {
		irVersion       int64
		producer        string
		producerVersion string
		doc             string
		graph           *graphProto
		opsets          []*opsetProto
		metadata        []*entryProto
		functions       [][]byte
	}
	opsetProto struct {
		domain  string
		version int64
	}
	entryProto struct{ key, value string }
	graphProto struct {
		nodes           []*nodeProto
		name            string
		initializers    []*tensorProto
		inputs, outputs []*valueProto
		sparse          [][]byte
	}
	nodeProto struct {
		inputs, outputs  []string
		name, op, domain string
		attributes       []*attributeProto
	}
	attributeProto struct {
		name   string
		f      float32
		i      int64
		s      []byte
		t      *tensorProto
		floats []float32
		ints   []int64
		kind   int64
	}
	tensorProto struct {
		dims     []int64
		dataType int64
		name     string
		floats   []float32
		int32s   []int64
		int64s   []int64
		raw      []byte
		external []*entryProto
		location int64 // 1: in another file
	}
	valueProto struct {
		name string
		kind *typeProto
	}
	typeProto       struct{ tensor *tensorTypeProto }
	tensorTypeProto struct {
		elem  int64
		shape *shapeProto
	}
	shapeProto struct{ dims []*dimProto }
	dimProto   struct {
		value int64
		param string
	}
)

// Element types and kinds of attribute.
const (
	typeFloat = 1
	typeInt32 = 6
	typeInt64 = 7

	kindFloat  = 1
	kindInt    = 2
	kindString = 3
	kindInts   = 7
)

// field is the number of a field and where its value lies: a pointer to a
// string, bytes, number, a slice of these, or one or several messages.
type field struct {
	number protowire.Number
	at     any
}

type message interface{ fields() []field }

// children are the messages of a field.
type children interface {
	add() message
	all() []message
}

type one[T any, P interface {
	*T
	message
}] struct{ at *P }

func (o one[T, P]) add() message { // a field that comes twice is merged
	if *o.at == nil {
		*o.at = new(T)
	}
	return *o.at
}

func (o one[T, P]) all() []message {
	if *o.at == nil {
		return nil
	}
	return []message{*o.at}
}

type many[T any, P interface {
	*T
	message
}] struct{ at *[]P }

func (m many[T, P]) add() message {
	p := P(new(T))
	*m.at = append(*m.at, p)
	return p
}

func (m many[T, P]) all() []message {
	list := make([]message, len(*m.at))
	for i, p := range *m.at {
		list[i] = p
	}
	return list
}

func (m *modelProto) fields() []field {
	return []field{{1, &m.irVersion}, {2, &m.producer}, {3, &m.producerVersion}, {6, &m.doc}, {7, one[graphProto, *graphProto]{&m.graph}},
		{8, many[opsetProto, *opsetProto]{&m.opsets}}, {14, many[entryProto, *entryProto]{&m.metadata}}, {25, &m.functions}}
}

func (m *opsetProto) fields() []field { return []field{{1, &m.domain}, {2, &m.version}} }

func (m *entryProto) fields() []field { return []field{{1, &m.key}, {2, &m.value}} }

func (m *graphProto) fields() []field {
	return []field{{1, many[nodeProto, *nodeProto]{&m.nodes}}, {2, &m.name}, {5, many[tensorProto, *tensorProto]{&m.initializers}},
		{11, many[valueProto, *valueProto]{&m.inputs}}, {12, many[valueProto, *valueProto]{&m.outputs}}, {15, &m.sparse}}
}

func (n *nodeProto) fields() []field {
	return []field{{1, &n.inputs}, {2, &n.outputs}, {3, &n.name}, {4, &n.op},
		{5, many[attributeProto, *attributeProto]{&n.attributes}}, {7, &n.domain}}
}

func (m *attributeProto) fields() []field {
	return []field{{1, &m.name}, {2, &m.f}, {3, &m.i}, {4, &m.s}, {5, one[tensorProto, *tensorProto]{&m.t}},
		{7, &m.floats}, {8, &m.ints}, {20, &m.kind}}
}

func (t *tensorProto) fields() []field {
	return []field{{1, &t.dims}, {2, &t.dataType}, {4, &t.floats}, {5, &t.int32s}, {7, &t.int64s}, {8, &t.name}, {9, &t.raw},
		{13, many[entryProto, *entryProto]{&t.external}}, {14, &t.location}}
}

func (m *valueProto) fields() []field {
	return []field{{1, &m.name}, {2, one[typeProto, *typeProto]{&m.kind}}}
}

func (m *typeProto) fields() []field {
	return []field{{1, one[tensorTypeProto, *tensorTypeProto]{&m.tensor}}}
}

func (m *tensorTypeProto) fields() []field {
	return []field{{1, &m.elem}, {2, one[shapeProto, *shapeProto]{&m.shape}}}
}

func (m *shapeProto) fields() []field { return []field{{1, many[dimProto, *dimProto]{&m.dims}}} }

func (m *dimProto) fields() []field { return []field{{1, &m.value}, {2, &m.param}} }

// encode returns the message; zero values are left out.
func encode(m message) []byte {
	var b []byte
	number := func(n protowire.Number, v uint64) {
		b = protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), v)
	}
	text := func(n protowire.Number, v []byte) {
		b = protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
	}
	for _, f := range m.fields() {
		switch at := f.at.(type) {
		case *int64:
			if *at != 0 {
				number(f.number, uint64(*at))
			}
		case *float32:
			if *at != 0 {
				b = protowire.AppendFixed32(protowire.AppendTag(b, f.number, protowire.Fixed32Type), math.Float32bits(*at))
			}
		case *string:
			if *at != "" {
				text(f.number, []byte(*at))
			}
		case *[]byte:
			if *at != nil {
				text(f.number, *at)
			}
		case *[]string:
			for _, s := range *at {
				text(f.number, []byte(s))
			}
		case *[][]byte:
			for _, s := range *at {
				text(f.number, s)
			}
		case *[]int64:
			for _, v := range *at {
				number(f.number, uint64(v))
			}
		case *[]float32:
			for _, v := range *at {
				b = protowire.AppendFixed32(protowire.AppendTag(b, f.number, protowire.Fixed32Type), math.Float32bits(v))
			}
		case children:
			for _, c := range at.all() {
				text(f.number, encode(c))
			}
		}
	}
	return b
}

var errProto = errors.New("it is damaged, or no protocol buffer")

// maxParts bounds the messages of a file, which take far more memory than
// their bytes do: a large U-Net has some hundred nodes.
const maxParts = 200_000

// decode reads a message. Bytes are not copied: they are parts of b.
func decode(b []byte, m message) error {
	parts := 0
	return decodePart(b, m, &parts)
}

func decodePart(b []byte, m message, parts *int) error {
	if *parts++; *parts > maxParts {
		return fmt.Errorf("it has more than %d parts", maxParts)
	}
	fields := m.fields()
	for len(b) > 0 {
		n, wire, size := protowire.ConsumeTag(b)
		if size < 0 {
			return errProto
		}
		b = b[size:]
		size = protowire.ConsumeFieldValue(n, wire, b)
		if size < 0 {
			return errProto
		}
		value := b[:size]
		b = b[size:]
		for _, f := range fields {
			if f.number == n {
				if err := decodeField(value, wire, f.at, parts); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// decodeField reads one value, which is whole.
func decodeField(b []byte, wire protowire.Type, at any, parts *int) error {
	var text []byte
	switch wire {
	case protowire.BytesType:
		text, _ = protowire.ConsumeBytes(b)
	case protowire.VarintType, protowire.Fixed32Type:
	default:
		return errProto
	}
	varint := func() int64 { v, _ := protowire.ConsumeVarint(b); return int64(v) }
	fixed := func() float32 { v, _ := protowire.ConsumeFixed32(b); return math.Float32frombits(v) }
	switch at := at.(type) {
	case *int64:
		if wire != protowire.VarintType {
			return errProto
		}
		*at = varint()
	case *float32:
		if wire != protowire.Fixed32Type {
			return errProto
		}
		*at = fixed()
	case *[]int64:
		switch wire {
		case protowire.VarintType:
			*at = append(*at, varint())
		case protowire.BytesType: // packed
			for len(text) > 0 {
				v, n := protowire.ConsumeVarint(text)
				if n < 0 {
					return errProto
				}
				*at = append(*at, int64(v))
				text = text[n:]
			}
		default:
			return errProto
		}
	case *[]float32:
		switch wire {
		case protowire.Fixed32Type:
			*at = append(*at, fixed())
		case protowire.BytesType:
			for len(text) > 0 {
				v, n := protowire.ConsumeFixed32(text)
				if n < 0 {
					return errProto
				}
				*at = append(*at, math.Float32frombits(v))
				text = text[n:]
			}
		default:
			return errProto
		}
	default:
		if wire != protowire.BytesType {
			return errProto
		}
		switch at := at.(type) {
		case *string:
			*at = string(text)
		case *[]byte:
			*at = text
		case *[]string:
			if *parts++; *parts > maxParts {
				return fmt.Errorf("it has more than %d parts", maxParts)
			}
			*at = append(*at, string(text))
		case *[][]byte:
			if *parts++; *parts > maxParts {
				return fmt.Errorf("it has more than %d parts", maxParts)
			}
			*at = append(*at, text)
		case children:
			return decodePart(text, at.add(), parts)
		}
	}
	return nil
}

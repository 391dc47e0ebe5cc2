package formats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// pickled is an object of Python as a pickle describes it: what makes it, from
// what, and its state. Nothing is made or called.
type pickled struct {
	of          string
	args, state any
}

// pickledList is a list, which grows after others refer to it.
type pickledList struct{ items []any }

// mark separates items on the stack from those before.
type mark struct{}

// unpickler reads the values of a pickle of Python, of the protocols 2 to 5: none,
// bool, int64, float64, string, []byte, tuples as []any, *pickledList,
// dictionaries with names as keys as map[string]any, and *pickled.
type unpickler struct {
	data  []byte
	stack []any
	memo  map[int]any
}

var errPickle = errors.New("its pickle is cut off or damaged")

// unpickle returns the value of a pickle.
func unpickle(data []byte) (v any, err error) {
	u := &unpickler{data: data, memo: map[int]any{}}
	for {
		op, err := u.bytes(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			return u.pop()
		}
		if err := u.do(op[0]); err != nil {
			return nil, err
		}
	}
}

// bytes takes the next n bytes.
func (u *unpickler) bytes(n int) ([]byte, error) {
	if n < 0 || n > len(u.data) {
		return nil, errPickle
	}
	b := u.data[:n]
	u.data = u.data[n:]
	return b, nil
}

// number takes a little-endian number of n bytes.
func (u *unpickler) number(n int) (int, error) {
	b, err := u.bytes(n)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	v := binary.LittleEndian.Uint64(full[:])
	if v > math.MaxInt {
		return 0, errPickle
	}
	return int(v), nil
}

// counted takes bytes after their number, which has n bytes.
func (u *unpickler) counted(n int) ([]byte, error) {
	size, err := u.number(n)
	if err != nil {
		return nil, err
	}
	return u.bytes(size)
}

// line takes bytes up to the end of a line.
func (u *unpickler) line() (string, error) {
	for i, b := range u.data {
		if b == '\n' {
			s := string(u.data[:i])
			u.data = u.data[i+1:]
			return s, nil
		}
	}
	return "", errPickle
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

func (u *unpickler) pop() (any, error) {
	if len(u.stack) == 0 {
		return nil, errPickle
	}
	v := u.stack[len(u.stack)-1]
	u.stack = u.stack[:len(u.stack)-1]
	return v, nil
}

// popN takes the last n values; n below 0: those after the last mark.
func (u *unpickler) popN(n int) ([]any, error) {
	at := len(u.stack) - n
	if n < 0 {
		for at = len(u.stack) - 1; at >= 0; at-- {
			if _, ok := u.stack[at].(mark); ok {
				break
			}
		}
	}
	if at < 0 {
		return nil, errPickle
	}
	items := append([]any{}, u.stack[at:]...)
	u.stack = u.stack[:at]
	if n < 0 {
		items = items[1:]
	}
	return items, nil
}

// do carries out one operation.
func (u *unpickler) do(op byte) error {
	switch op {
	case 0x80: // protocol
		_, err := u.bytes(1)
		return err
	case 0x95: // frame
		_, err := u.bytes(8)
		return err
	case '(':
		u.push(mark{})
	case '0':
		_, err := u.pop()
		return err
	case 'N':
		u.push(nil)
	case 0x88, 0x89:
		u.push(op == 0x88)
	case 'K', 'M', 'J', 0x8a:
		return u.integer(op)
	case 'G':
		b, err := u.bytes(8)
		if err != nil {
			return err
		}
		u.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 0x8c, 'X', 0x8d, 'C', 'B', 0x8e, 'U', 'T', 0x96:
		return u.text(op)
	case ']', '}', ')', 0x8f:
		u.push(map[byte]any{']': &pickledList{}, '}': map[string]any{}, ')': []any{}, 0x8f: &pickledList{}}[op])
	case 'a', 'e', 0x90, 's', 'u':
		return u.fill(op)
	case 't', 0x85, 0x86, 0x87:
		n := -1
		if op != 't' {
			n = int(op) - 0x84
		}
		items, err := u.popN(n)
		if err != nil {
			return err
		}
		u.push(items)
	case 0x94, 'q', 'r', 'h', 'j':
		return u.remember(op)
	case 'c', 0x93, 'R', 0x81, 'b':
		return u.object(op)
	default:
		return fmt.Errorf("its pickle holds the operation %#x, which is not read", op)
	}
	return nil
}

func (u *unpickler) integer(op byte) error {
	if op == 0x8a { // of any length
		b, err := u.counted(1)
		if err != nil || len(b) > 8 {
			return errPickle
		}
		var v int64
		for i, x := range b {
			v |= int64(x) << (8 * i)
		}
		if n := len(b); n > 0 && n < 8 && b[n-1] >= 0x80 {
			v -= 1 << (8 * n)
		}
		u.push(v)
		return nil
	}
	v, err := u.number(map[byte]int{'K': 1, 'M': 2, 'J': 4}[op])
	if op == 'J' {
		v = int(int32(uint32(v)))
	}
	u.push(int64(v))
	return err
}

func (u *unpickler) text(op byte) error {
	width := map[byte]int{0x8c: 1, 'X': 4, 0x8d: 8, 'C': 1, 'B': 4, 0x8e: 8, 'U': 1, 'T': 4, 0x96: 8}[op]
	b, err := u.counted(width)
	switch op {
	case 0x8c, 'X', 0x8d:
		u.push(string(b))
	default:
		u.push(b)
	}
	return err
}

// fill puts items into a list or a dictionary.
func (u *unpickler) fill(op byte) error {
	n := map[byte]int{'a': 1, 's': 2, 'e': -1, 'u': -1, 0x90: -1}[op]
	items, err := u.popN(n)
	if err != nil || len(u.stack) == 0 {
		return errPickle
	}
	switch to := u.stack[len(u.stack)-1].(type) {
	case *pickledList:
		to.items = append(to.items, items...)
	case map[string]any:
		for i := 0; i+1 < len(items); i += 2 {
			if key, ok := items[i].(string); ok {
				to[key] = items[i+1]
			}
		}
	default:
		return errPickle
	}
	return nil
}

// remember keeps the last value under a number, or brings one back.
func (u *unpickler) remember(op byte) error {
	if op == 0x94 || op == 'q' || op == 'r' {
		key := len(u.memo)
		var err error
		if op != 0x94 {
			key, err = u.number(map[byte]int{'q': 1, 'r': 4}[op])
		}
		if err != nil || len(u.stack) == 0 {
			return errPickle
		}
		u.memo[key] = u.stack[len(u.stack)-1]
		return nil
	}
	key, err := u.number(map[byte]int{'h': 1, 'j': 4}[op])
	if err != nil {
		return err
	}
	v, ok := u.memo[key]
	if !ok {
		return errPickle
	}
	u.push(v)
	return nil
}

// object describes an object, or its state.
func (u *unpickler) object(op byte) error {
	if op == 'c' {
		module, err := u.line()
		if err != nil {
			return err
		}
		name, err := u.line()
		u.push(module + "." + name)
		return err
	}
	two, err := u.popN(2)
	if err != nil {
		return err
	}
	switch op {
	case 0x93:
		module, _ := two[0].(string)
		name, _ := two[1].(string)
		u.push(module + "." + name)
	case 'b':
		o, ok := two[0].(*pickled)
		if !ok {
			return errPickle
		}
		o.state = two[1]
		u.push(o)
	default:
		name, _ := two[0].(string)
		u.push(&pickled{of: name, args: two[1]})
	}
	return nil
}

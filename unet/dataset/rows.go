package dataset

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"unet/unet/imageio/atomicfile"
)

// row is a record of a table: numbers, the key among the first of them.
type row [5]uint32

const rowBytes = 4 * len(row{})

// table holds rows outside of memory.
type table struct {
	mu   sync.Mutex
	rows *atomicfile.Scratch
}

func (t *table) add(list []row) error {
	b := make([]byte, 0, len(list)*rowBytes)
	for _, r := range list {
		for _, v := range r {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows.Append(b)
}

// sorted calls visit with all rows, a part of about partBytes at a time, in order;
// rows that are equal in their first key numbers are in one part. It reads the
// table once for each part.
func (t *table) sorted(ctx context.Context, key int, partBytes int64, visit func(part []row) error) error {
	parts := uint64(t.rows.Size()/partBytes + 1)
	buffer := make([]byte, 1<<12*rowBytes)
	var part []row
	for k := range parts {
		part = part[:0]
		for at := int64(0); at < t.rows.Size(); at += int64(len(buffer)) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			b, err := t.rows.Read(buffer[:min(int64(len(buffer)), t.rows.Size()-at)], at)
			if err != nil {
				return err
			}
			for ; len(b) > 0; b = b[rowBytes:] {
				var r row
				for i := range r {
					r[i] = binary.LittleEndian.Uint32(b[4*i:])
				}
				if r.hash(key)%parts == k {
					part = append(part, r)
				}
			}
		}
		slices.SortFunc(part, func(a, b row) int { return slices.Compare(a[:], b[:]) })
		if err := visit(part); err != nil {
			return err
		}
	}
	return nil
}

// hash mixes the first n numbers.
func (r *row) hash(n int) uint64 {
	h := uint64(0)
	for _, v := range r[:n] {
		h = (h ^ uint64(v)) * 0x9E3779B97F4A7C15
		h ^= h >> 32
	}
	return h
}

// runs cuts sorted rows where their first key numbers change.
func runs(sorted []row, key int) func(yield func([]row) bool) {
	return func(yield func([]row) bool) {
		for len(sorted) > 0 {
			n := 1
			for n < len(sorted) && slices.Equal(sorted[n][:key], sorted[0][:key]) {
				n++
			}
			if !yield(sorted[:n]) {
				return
			}
			sorted = sorted[n:]
		}
	}
}

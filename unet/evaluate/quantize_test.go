package evaluate

import (
	"testing"

	"unet/core/coretest"
	"unet/unet/modeltest"
)

// TestQuantizedBytes: the sizes are those of the files before and after, and 8-bit
// weights take less.
func TestQuantizedBytes(t *testing.T) {
	coretest.NeedsKernels(t)
	m, set := modeltest.Small(t), preparedSet(t, 4, 64)
	ranges, n, err := inputRanges(t.Context(), coretest.Engine(t, "", 1), m, set, 1)
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	q := &Quantization{Clip: 1}
	if err := q.build(m, ranges, 0); err != nil {
		t.Fatal(err)
	}
	defer q.Model.Params.Free()
	before, err := m.Bytes(false)
	if err != nil {
		t.Fatal(err)
	}
	after, err := q.Model.Bytes(true)
	if err != nil {
		t.Fatal(err)
	}
	if q.BytesBefore != len(before) || q.BytesAfter != len(after) || len(after) >= len(before) {
		t.Errorf("from %d to %d bytes, the files have %d and %d", q.BytesBefore, q.BytesAfter, len(before), len(after))
	}
}

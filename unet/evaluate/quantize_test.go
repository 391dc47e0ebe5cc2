package evaluate

import (
	"testing"

	"unet/core/coretest"
	"unet/unet/modeltest"
)

// TestLost: a model has lost too much if either score fell by more than MostLost.
func TestLost(t *testing.T) {
	for _, c := range []struct {
		kaggle, dice float64 // gained
		lost         bool
	}{
		{0, 0, false}, {-MostLost / 2, -MostLost / 2, false}, {-2 * MostLost, 0.1, true}, {0.1, -2 * MostLost, true}, {0.5, 0.5, false},
	} {
		q := Quantization{KaggleScoreBefore: 0.5, KaggleScoreAfter: 0.5 + c.kaggle, DiceBefore: 0.5, DiceAfter: 0.5 + c.dice}
		if q.Lost() != c.lost {
			t.Errorf("%v and %v gained: lost is %v", c.kaggle, c.dice, q.Lost())
		}
	}
	if got := (&Quantization{MillisBefore: 10, MillisAfter: 4}).Speedup(); got != 2.5 {
		t.Errorf("4 ms instead of 10 are %v times as fast", got)
	}
}

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

package unet

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

// TestNotFinite: weights that are NaN or infinite, or too large for half
// precision, are neither written nor read.
func TestNotFinite(t *testing.T) {
	m := smallModel(t)
	v := m.Params.All()[0].Value
	was := v[1]
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 65520} {
		v[1] = bad
		if err := m.Write(new(bytes.Buffer), true); err == nil || !strings.Contains(err.Error(), "value 1") {
			t.Errorf("%v is written: %v", bad, err)
		}
	}
	v[1] = was
	var b bytes.Buffer
	if err := m.Write(&b, false); err != nil {
		t.Fatal(err)
	}
	// The data end the file.
	text := bytes.Clone(b.Bytes())
	copy(text[len(text)-4:], "\xff\xff\xff\xff")
	_, err := ReadModel("damaged", bytes.NewReader(text), int64(len(text)))
	if e := new(ModelError); !errors.As(err, &e) || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("NaN is read: %v", err)
	}
	for i, d := range []float64{-1, math.Inf(1), math.NaN()} {
		c := m.Card
		c.Diameter[i] = d
		if c.Check() == nil {
			t.Errorf("diameter %v", d)
		}
	}
}

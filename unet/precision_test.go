package unet

import (
	"bytes"
	"testing"
)

// The layers with 8-bit products are layers of the network, with its channels,
// and a quantised model survives its file.
func TestQuantisedModelFile(t *testing.T) {
	for depth := 1; depth <= 4; depth++ {
		arch := Arch{Channels: 3, Depth: depth, Width: 16, Norm: "batch", Heads: []string{HeadForeground}}
		card := Card{Kind: Paper, Arch: arch, Input: Input{Normalise: "range", Size: 64}, Threshold: 0.5,
			Precision: Int8, FloatLayers: []string{"enc0.conv2"}}
		m, err := NewModel(card, 1, false)
		if err != nil {
			t.Fatal(err)
		}
		list := arch.QuantLayers()
		if want := 5*depth + 1; len(list) != want {
			t.Errorf("depth %d: %d layers, want %d", depth, len(list), want)
		}
		for _, l := range list {
			level := depth // of bottom
			if name := l.Name[:4]; name != "bott" {
				level = int(name[3] - '0') // encN.conv1, decN.up
			}
			if l.Level != level {
				t.Errorf("depth %d: %s at level %d, not %d", depth, l.Name, l.Level, level)
			}
			w := m.Params.Get(l.Name + ".weight")
			if w == nil {
				t.Fatalf("depth %d: no layer %s", depth, l.Name)
			}
			channels := w.Shape[1]
			if l.up {
				channels = w.Shape[0]
			}
			if channels != l.channels {
				t.Errorf("%s reads %d channels, not %d", l.Name, channels, l.channels)
			}
			if r := m.Params.Get(l.Name + ".input_range"); (r == nil) != (l.Name == "enc0.conv2") {
				t.Errorf("%s: ranges %v", l.Name, r != nil)
			}
		}
		data, err := m.Bytes(true)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ReadModel("model", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if back.Card.Precision != Int8 || len(back.Card.FloatLayers) != 1 {
			t.Errorf("card %+v", back.Card)
		}
		back.Params.Free()
		m.Params.Free()
	}
}

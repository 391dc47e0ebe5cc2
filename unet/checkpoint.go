package unet

import (
	"fmt"
	"io"

	"unet/unet/imageio/atomicfile"
)

// SaveCheckpoint writes a model in training, whole or not at all: its weights,
// Adam's moments, the running average of the weights, and state, a text that
// tells the trainer where it stands.
func (m *Model) SaveCheckpoint(path string, state []byte) error {
	am, av, ema := m.Params.State()
	list := m.tensors(false)
	for _, t := range []tensor{{name: "adam.m", data: am}, {name: "adam.v", data: av}, {name: "ema", data: ema}} {
		t.shape = []int{len(t.data)}
		list = append(list, t)
	}
	return atomicfile.WriteFile(path, func(w io.Writer) error { return m.write(w, string(state), list) })
}

const notACheckpoint = "a checkpoint is the file checkpoint.safetensors of a training run"

// LoadCheckpoint reads what SaveCheckpoint wrote.
func LoadCheckpoint(path string) (m *Model, state []byte, err error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	m, extra, text, err := readModel(path, f, size, true)
	if err != nil {
		return nil, nil, err
	}
	fail := func(format string, args ...any) (*Model, []byte, error) {
		m.Params.Free()
		return nil, nil, &ModelError{Name: path, Problem: fmt.Sprintf(format, args...), Advice: notACheckpoint}
	}
	if text == "" {
		return fail("a model without the state of training")
	}
	am, av, ema := m.Params.State()
	for _, t := range []struct {
		name string
		dst  []float32
	}{{"adam.m", am}, {"adam.v", av}, {"ema", ema}} {
		src := extra[t.name].data
		if len(src) != len(t.dst) {
			return fail("tensor %s has %d values, want %d", t.name, len(src), len(t.dst))
		}
		copy(t.dst, src)
	}
	return m, []byte(text), nil
}

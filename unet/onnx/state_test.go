package onnx

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/unet"
)

// writeState writes bare tensors as safetensors, by name as other programs do.
func writeState(t *testing.T, list map[string]unet.Tensor) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weights.safetensors")
	if err := os.WriteFile(file, stateBytes(t, list), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func stateBytes(t testing.TB, list map[string]unet.Tensor) []byte {
	t.Helper()
	header, data := map[string]any{}, []byte{}
	for name, q := range list {
		from := len(data)
		for _, v := range q.Data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		header[name] = map[string]any{"dtype": "F32", "shape": q.Shape, "data_offsets": []int{from, len(data)}}
	}
	// A counter of PyTorch's.
	header["num_batches_tracked"] = map[string]any{"dtype": "I64", "shape": []int{}, "data_offsets": []int{len(data), len(data) + 8}}
	data = append(data, make([]byte, 8)...)
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), data...)
}

// A scheme names block b of the network (enc0..., bottom, dec0...), its
// convolutions and batch-norms 1 and 2, the transposed convolution and the head.
type scheme func(block string, i int, role string) string

func levelOf(block string) (kind string, l int) {
	if block == "bottom" {
		return block, 0
	}
	fmt.Sscanf(block[3:], "%d", &l)
	return block[:3], l
}

var schemes = map[string]scheme{
	"sequential": func(block string, i int, role string) string { // nn.Sequential in module lists
		kind, l := levelOf(block)
		list := map[string]string{"enc": "encoder", "dec": "decoder", "bottom": "bottom"}[kind]
		switch at := fmt.Sprintf("%s.%d", list, l); role {
		case "head":
			return "head"
		case "up":
			return fmt.Sprintf("ups.%d", l)
		case "norm":
			return fmt.Sprintf("%s.%d", at, 3*i-2)
		default:
			return fmt.Sprintf("%s.%d", at, 3*i-3)
		}
	},
	"attributes": func(block string, i int, role string) string { // self.conv1, self.bn1
		return map[string]string{
			"head": "outc.conv", "up": block + "_up.upconv", "norm": fmt.Sprintf("%s.bn%d", block, i), "conv": fmt.Sprintf("%s.conv%d", block, i),
		}[role]
	},
	"keras": func(block string, i int, role string) string { // numbered as they are made
		const depth = 2
		kind, l := levelOf(block)
		n := map[string]int{"enc": 2 * l, "bottom": 2 * depth, "dec": 2*depth + 2 + 2*(depth-1-l)}[kind] + i - 1
		name := map[string]string{"head": "conv2d", "up": "conv2d_transpose", "norm": "batch_normalization", "conv": "conv2d"}[role]
		if role == "head" {
			n = 4*depth + 2
		}
		if role == "up" {
			n = depth - 1 - l
		}
		if n == 0 {
			return name
		}
		return fmt.Sprintf("%s_%d", name, n)
	},
}

// stateOf writes m's weights as s names them; skipFirst changes the order in
// which decoders join.
func stateOf(m *unet.Model, s scheme, keras, skipFirst bool) map[string]unet.Tensor {
	list := map[string]unet.Tensor{}
	for _, q := range m.Params.All() {
		parts := strings.Split(q.Name, ".")
		block, role := parts[0], "head"
		i := 0
		if len(parts) == 3 {
			role = strings.TrimRight(parts[1], "12")
			fmt.Sscanf(parts[1][len(role):], "%d", &i)
		}
		last := parts[len(parts)-1]
		shape, data := q.Shape, append([]float32(nil), q.Value...)
		if skipFirst && len(shape) == 4 && strings.HasPrefix(block, "dec") && strings.HasSuffix(parts[1], "conv1") {
			half := shape[1] / 2 * 9
			for o := range shape[0] {
				row := data[o*2*half:][:2*half]
				copy(row, append(append([]float32(nil), row[half:]...), row[:half]...))
			}
		}
		sep := "."
		if keras {
			sep = "/"
			names := map[string]string{"weight": "kernel"}
			if role == "norm" {
				names = map[string]string{"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
			}
			if n := names[last]; n != "" {
				last = n
			}
			if len(shape) == 4 { // ABkk to kkBA
				a, b, k := shape[0], shape[1], shape[2]
				to := make([]float32, len(data))
				for x := range a {
					for y := range b {
						for tap := range k * k {
							to[(tap*b+y)*a+x] = data[(x*b+y)*k*k+tap]
						}
					}
				}
				shape, data = []int{k, k, b, a}, to
			}
		}
		list[s(block, i, role)+sep+last] = unet.Tensor{Shape: shape, Data: data}
	}
	return list
}

func TestReadState(t *testing.T) {
	const h, w = 32, 48
	x := make([]float32, h*w)
	for i := range x {
		x[i] = float32(i*7%53) / 52
	}
	for name, s := range schemes {
		for _, norm := range []string{"batch", "none"} {
			for _, skipFirst := range []bool{false, true} {
				m := model(t, small(norm, 1, "foreground", "border"))
				keras := name == "keras"
				want := mapsOf(t, m, 1, h, w, x)
				if keras && norm == "batch" { // whose epsilon is larger: smaller variances give the same
					for _, q := range m.Params.All() {
						if strings.HasSuffix(q.Name, "running_var") {
							for i := range q.Value {
								q.Value[i] += torchEpsilon - kerasEpsilon
							}
						}
					}
				}
				file := writeState(t, stateOf(m, s, keras, skipFirst))
				like := m.Card
				got, matched, err := ReadState(file, like, skipFirst)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if d := furthest(t, mapsOf(t, got, 1, h, w, x), want); !(d <= 1e-5) {
					t.Errorf("%s, %s, skip first %v: maps differ by %g: %v", name, norm, skipFirst, d, matched)
				}
				if got.Card.Arch.Norm != norm {
					t.Errorf("norm %s, want %s", got.Card.Arch.Norm, norm)
				}
				got.Params.Free()
			}
		}
	}
}

// TestReadStateRefuses: what is not unambiguous or does not fit.
func TestReadStateRefuses(t *testing.T) {
	m := model(t, small("batch", 1, "foreground"))
	for name, c := range map[string]struct {
		change func(list map[string]unet.Tensor)
		want   string
	}{
		"names that tell nothing": {func(list map[string]unet.Tensor) {
			for _, old := range []string{"enc0.conv2", "dec0.conv2"} {
				list["z"+map[bool]string{true: "a", false: "b"}[old[0] == 'e']+".weight"] = list[old+".weight"]
				delete(list, old+".weight")
			}
		}, "the names do not tell"},
		"a layer too many": {func(list map[string]unet.Tensor) {
			list["other.weight"] = unet.Tensor{Shape: []int{16, 16, 1, 1}, Data: make([]float32, 256)}
		}, "has no place"},
		"another layer": {func(list map[string]unet.Tensor) {
			list["dense.weight"] = unet.Tensor{Shape: []int{16, 16}, Data: make([]float32, 256)}
		}, "neither a convolution nor a batch-norm"},
		"a layer missing": {func(list map[string]unet.Tensor) { delete(list, "bottom.conv2.weight") }, "expected one"},
		"another kernel": {func(list map[string]unet.Tensor) {
			list["bottom.conv2.weight"] = unet.Tensor{Shape: []int{64, 64, 5, 5}, Data: make([]float32, 64*64*25)}
		}, "expected one"},
		"a norm missing": {func(list map[string]unet.Tensor) {
			for _, r := range []string{"weight", "bias", "running_mean", "running_var"} {
				delete(list, "enc0.bn1."+r)
			}
		}, "batch-norm"},
		"a statistic missing": {func(list map[string]unet.Tensor) { delete(list, "enc0.bn1.running_var") }, "running_var"},
	} {
		list := stateOf(m, schemes["attributes"], false, false)
		c.change(list)
		got, _, err := ReadState(writeState(t, list), m.Card, false)
		if err == nil {
			got.Params.Free()
			t.Errorf("%s: it was read", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %q, want %q", name, err, c.want)
		}
	}
}

// FuzzState: no bytes make reading bare weights panic.
func FuzzState(f *testing.F) {
	arch := unet.Arch{Channels: 1, Depth: 1, Width: 16, Norm: "batch", Heads: []string{"foreground"}}
	for _, name := range []string{"attributes", "keras"} {
		f.Add(stateBytes(f, stateOf(model(f, arch), schemes[name], name == "keras", false)))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		tensors, err := unet.ReadTensors(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if s, err := newState(tensors); err == nil {
			_, _ = s.network(arch, true)
		}
	})
}

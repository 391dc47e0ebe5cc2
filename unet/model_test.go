package unet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"unet/core/coretest"
	"unet/unet/imageio"
	"unet/unet/instance"
)

func smallModel(t testing.TB) *Model {
	t.Helper()
	m, err := NewModel(Card{Kind: Nuclei, Arch: Arch{Channels: 3, Depth: 2, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.5, Instance: instance.DefaultParams()}, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	return m
}

func TestModelRoundTrip(t *testing.T) {
	m := smallModel(t)
	path := filepath.Join(t.TempDir(), "m.safetensors")
	if err := m.Save(path, false); err != nil {
		t.Fatal(err)
	}
	got, err := LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Params.Free()
	for _, q := range m.Params.All() {
		if !slices.Equal(q.Value, got.Params.Get(q.Name).Value) {
			t.Errorf("%s changed", q.Name)
		}
	}
	if got.Card.Instance != m.Card.Instance || got.Card.Input != m.Card.Input || len(got.SHA256) != 64 {
		t.Errorf("card changed: %+v", got.Card)
	}
}

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := fromHalf(uint16(h))
		if v != v {
			continue
		}
		if got := toHalf(v); got != uint16(h) {
			t.Fatalf("half %#x is %v and comes back as %#x", h, v, got)
		}
	}
	for _, c := range []struct {
		v    float32
		want float32
	}{
		{1 + 1.0/2048, 1}, {1 + 3.0/2048, 1 + 2.0/1024}, // ties to even
		{65519, 65504}, {65520, float32(math.Inf(1))}, {1e-8, 0}, {-3e-8, -1.0 / (1 << 24)},
	} {
		if got := fromHalf(toHalf(c.v)); got != c.want {
			t.Errorf("%v rounds to %v, want %v", c.v, got, c.want)
		}
	}
}

// hostile returns damaged model files and what their error must mention.
func hostile(good []byte) map[string][]byte {
	n := binary.LittleEndian.Uint64(good)
	edit := func(old, new string) []byte {
		text := strings.Replace(string(good[8:8+n]), old, new, 1)
		out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
		return append(append(out, text...), good[8+n:]...)
	}
	huge := slices.Clone(good)
	binary.LittleEndian.PutUint64(huge, 1<<60)
	return map[string][]byte{
		"empty":           nil,
		"seven bytes":     good[:7],
		"header only":     good[:8+n],
		"cut":             good[:len(good)-1],
		"longer":          append(slices.Clone(good), 0),
		"huge header":     huge,
		"no JSON":         append(binary.LittleEndian.AppendUint64(nil, 4), "abcd"...),
		"no card":         edit(`"unet":`, `"tenu":`),
		"newer version":   edit(`\"version\":1`, `\"version\":99`),
		"unknown kind":    edit(`\"kind\":\"nuclei\"`, `\"kind\":\"other\"`),
		"huge network":    edit(`\"depth\":2,\"width\":16`, `\"depth\":4,\"width\":256`),
		"negative width":  edit(`\"width\":16`, `\"width\":-16`),
		"other network":   edit(`\"depth\":2`, `\"depth\":1`),
		"wrong type":      edit(`"F32"`, `"F64"`),
		"negative shape":  edit(`"shape":[`, `"shape":[-1,`),
		"overlap":         edit(`"data_offsets":[`, `"data_offsets":[1`),
		"missing tensor":  edit(`"bottom.conv1.weight"`, `"bottom.conv9.weight"`),
		"bad percentiles": edit(`\"low\":1`, `\"low\":100`),
	}
}

func TestHostileModels(t *testing.T) {
	good, err := smallModel(t).Bytes(false)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range hostile(good) {
		if bytes.Equal(b, good) {
			t.Errorf("%s: the edit changed nothing", name)
		}
		_, err := ReadModel("x.safetensors", bytes.NewReader(b), int64(len(b)))
		var e *ModelError
		if !errors.As(err, &e) || e.Advice == "" || !strings.HasPrefix(err.Error(), "x.safetensors: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestSparseModel: a file of a tebibyte, which takes no place on the disk and
// fits its header, is refused for its card without memory for its data.
func TestSparseModel(t *testing.T) {
	m := smallModel(t)
	inTraining, err := NewModel(m.Card, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer inTraining.Params.Free()
	path := filepath.Join(t.TempDir(), "sparse.safetensors")
	if err := inTraining.SaveCheckpoint(path, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(good)
	end := int64(len(good)) - 8 - int64(n)
	const more = 1 << 40
	bad := rewritten(good, `{`, fmt.Sprintf(`{"z":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]},`, more/4, end, end+more))
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(bad))+more); err != nil {
		t.Skip("no sparse files here:", err)
	}
	for what, read := range map[string]func() error{
		"model":      func() error { _, err := LoadModel(path); return err },
		"checkpoint": func() error { _, _, err := LoadCheckpoint(path); return err },
		"card":       func() error { return RewriteCard(path, m.Card) },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read()
		runtime.ReadMemStats(&after)
		var e *ModelError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), "more than a network of") {
			t.Errorf("%s: error %v", what, err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
			t.Errorf("%s: %d MiB taken", what, taken>>20)
		}
	}
}

// TestCheckpointOfEveryNorm: checkpoints are read again, with and without statistics
// of normalisation, which have no moments.
func TestCheckpointOfEveryNorm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.safetensors")
	for _, norm := range []string{"batch", "group", "none"} {
		card := smallModel(t).Card
		card.Arch.Norm = norm
		m, err := NewModel(card, 1, true)
		if err != nil {
			t.Fatal(err)
		}
		if err = m.SaveCheckpoint(path, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		m.Params.Free()
		if m, _, err = LoadCheckpoint(path); err != nil {
			t.Errorf("norm %s: %v", norm, err)
			continue
		}
		m.Params.Free()
	}
}

func FuzzModel(f *testing.F) {
	good, err := smallModel(f).Bytes(true)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	for _, b := range hostile(good) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadModel("fuzz", bytes.NewReader(b), int64(len(b)))
		if err == nil {
			m.Params.Free()
		}
	})
}

// rewritten replaces text of a safetensors header.
func rewritten(file []byte, old, new string) []byte {
	n := binary.LittleEndian.Uint64(file)
	text := strings.Replace(string(file[8:8+n]), old, new, 1)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), file[8+n:]...)
}

func randomImage(w, h, c int) *imageio.Image {
	rng := rand.New(rand.NewPCG(1, uint64(w*h)))
	img := imageio.NewImage(w, h, c)
	for i := range img.Pix {
		img.Pix[i] = float32(rng.IntN(200))
	}
	return img
}

// TestTiles: the tiles of an image give the same bits as the whole.
func TestTiles(t *testing.T) {
	coretest.NeedsKernels(t)
	m := smallModel(t)
	p := NewPredictor(coretest.Engine(t, "", 2), m)
	defer p.Close()
	img := randomImage(531, 400, 1)
	whole, err := p.Maps(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	p.whole, p.tileW, p.tileH = 0, 256, 256
	tiled, err := p.Maps(context.Background(), img)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole.Pix, tiled.Pix) {
		t.Errorf("tiles differ from the whole by %g", maxDiff(whole.Pix, tiled.Pix))
	}
}

func TestOddSizes(t *testing.T) {
	p := NewPredictor(coretest.Engine(t, "", 1), smallModel(t))
	defer p.Close()
	for _, s := range [][3]int{{1, 1, 1}, {1, 17, 3}, {5, 3, 4}, {37, 41, 3}, {64, 64, 1}} {
		m, err := p.Maps(context.Background(), randomImage(s[0], s[1], s[2]))
		if err != nil {
			t.Errorf("%v: %v", s, err)
			continue
		}
		for _, v := range m.Pix {
			if !(v >= 0 && v <= 1) {
				t.Fatalf("%v: probability %v", s, v)
			}
		}
	}
	if _, err := p.Maps(context.Background(), randomImage(8, 8, 2)); err == nil {
		t.Error("an image of two channels was accepted")
	}
}

func TestCancel(t *testing.T) {
	p := NewPredictor(coretest.Engine(t, "", 1), smallModel(t))
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Maps(ctx, randomImage(64, 64, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestRewriteCard(t *testing.T) {
	m := smallModel(t)
	for _, half := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		if err := m.Save(path, half); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		card := m.Card
		card.Threshold, card.Instance.MinArea = 0.25, 9
		if err := RewriteCard(path, card); err != nil {
			t.Fatal(err)
		}
		got, err := LoadModel(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.Card.Threshold != 0.25 || got.Card.Instance.MinArea != 9 {
			t.Errorf("half %v: card %+v", half, got.Card)
		}
		got.Params.Free()
		if err := RewriteCard(path, m.Card); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, after) {
			t.Errorf("half %v: rewriting twice gives another file", half)
		}
		card.Threshold = 2
		if err := RewriteCard(path, card); err == nil {
			t.Error("a threshold of 2 was stored")
		}
	}
	path := filepath.Join(t.TempDir(), "no")
	if err := os.WriteFile(path, []byte("nothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	var wrong *ModelError
	if err := RewriteCard(path, m.Card); !errors.As(err, &wrong) {
		t.Errorf("no model: %v", err)
	}
}

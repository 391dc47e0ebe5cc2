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
	"time"

	"unet/unet/dataset"
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
		if !errors.As(err, &e) || e.Hint == "" || !strings.HasPrefix(err.Error(), "x.safetensors: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestSparseModel: a file of a tebibyte, which takes no place on the disk and
// fits its header, is refused for its card without memory for its data.
func TestSparseModel(t *testing.T) {
	_, good := savedRun(t)
	n := binary.LittleEndian.Uint64(good)
	end := int64(len(good)) - 8 - int64(n)
	const more = 1 << 40
	bad := rewritten(good, `{`, fmt.Sprintf(`{"z":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]},`, more/4, end, end+more))
	path := filepath.Join(t.TempDir(), "sparse.safetensors")
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(len(bad))+more); err != nil {
		t.Skip("no sparse files here:", err)
	}
	for what, read := range map[string]func() error{
		"model":      func() error { _, err := LoadModel(path); return err },
		"checkpoint": func() error { _, _, err := loadCheckpoint(path); return err },
		"card":       func() error { return RewriteCard(path, smallModel(t).Card) },
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

// savedRun is a checkpoint of one finished epoch, as bytes, and its path.
func savedRun(t testing.TB) (path string, b []byte) {
	t.Helper()
	m, err := NewModel(smallModel(t).Card, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	path = filepath.Join(t.TempDir(), CheckpointFile)
	s := &state{Config: []byte("{}"), Epoch: 1, Updates: 3, Factor: 1, Best: 0.5, BestEpoch: 1, Finished: true,
		History: []Epoch{{Epoch: 1, Val: &Scores{Loss: 0.5}}}}
	if err := m.saveCheckpoint(path, s); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, b
}

// rewritten replaces text of a safetensors header.
func rewritten(file []byte, old, new string) []byte {
	n := binary.LittleEndian.Uint64(file)
	text := strings.Replace(string(file[8:8+n]), old, new, 1)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), file[8+n:]...)
}

// TestHostileCheckpoints: states that no run can have saved are refused; one
// that was finished without a history, say, has no best epoch to show.
func TestHostileCheckpoints(t *testing.T) {
	path, good := savedRun(t)
	if m, _, err := loadCheckpoint(path); err != nil {
		t.Fatal(err)
	} else {
		m.Params.Free()
	}
	for _, c := range [][2]string{
		{`\"epoch\":1,\"step\":0`, `\"epoch\":-1,\"step\":0`}, {`\"epoch\":1,\"step\":0`, `\"epoch\":0,\"step\":0`},
		{`\"step\":0`, `\"step\":-5`}, {`\"step\":0`, `\"step\":5`}, {`\"updates\":3`, `\"updates\":-3`},
		{`\"factor\":1`, `\"factor\":0`}, {`\"factor\":1`, `\"factor\":1e300`}, {`\"best_epoch\":1`, `\"best_epoch\":7`},
		{`\"history\":[{\"epoch\":1`, `\"history\":[{\"epoch\":2`}, {`\"history\":[{`, `\"history\":[{},{`},
		{`\"finished\":true`, `\"finished\":7`}, {`"adam.m"`, `"adam.x"`}, {`"state":"`, `"state":"!`},
	} {
		bad := rewritten(good, c[0], c[1])
		if bytes.Equal(bad, good) {
			t.Fatalf("%s: the edit changed nothing", c[0])
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := loadCheckpoint(path)
		var e *ModelError
		if !errors.As(err, &e) || e.Hint == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", c[1], err)
		}
	}
}

// FuzzCheckpoint mutates the header, which holds the card and the state, before
// tensors that fit the unchanged one.
func FuzzCheckpoint(f *testing.F) {
	path, good := savedRun(f)
	n := binary.LittleEndian.Uint64(good)
	f.Add(good[8 : 8+n])
	f.Fuzz(func(t *testing.T, header []byte) {
		b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		if err := os.WriteFile(path, append(b, good[8+n:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		m, s, err := loadCheckpoint(path)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			return
		}
		m.Params.Free()
		if s.Finished && len(s.History) == 0 {
			t.Error("finished without a history")
		}
	})
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
	needsKernels(t)
	m := smallModel(t)
	p := NewPredictor(newEngine(t, "", 2), m)
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
	p := NewPredictor(newEngine(t, "", 1), smallModel(t))
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

// synthetic returns labelled images of discs.
func synthetic(t testing.TB, in Input, n, size int) *Images {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	var list []*dataset.Sample
	for i := range n {
		img, lab := imageio.NewImage(size, size, 1), imageio.NewLabels(size, size)
		for id := range uint32(4) {
			cx, cy, r := rng.IntN(size), rng.IntN(size), 4+rng.IntN(6)
			for y := range size {
				for x := range size {
					if (x-cx)*(x-cx)+(y-cy)*(y-cy) < r*r {
						img.Pix[y*size+x], lab.ID[y*size+x] = 180, id+1
					}
				}
			}
		}
		for j := range img.Pix {
			img.Pix[j] += float32(rng.IntN(40))
		}
		list = append(list, &dataset.Sample{ID: fmt.Sprint(i), Kind: "disc", Group: fmt.Sprint(i / 2), Image: img, Labels: lab})
	}
	s, err := NewImages(in, list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testConfig() Config {
	c, err := NucleiConfig("quick")
	if err != nil {
		panic(err)
	}
	c.Arch.Width, c.Arch.Depth, c.Augment.Size, c.Batch, c.Epochs, c.Steps, c.ValidateEvery, c.Warmup = 16, 2, 64, 3, 4, 5, 2, 3
	return c
}

func trainer(t testing.TB, dir string) *Trainer {
	c := testConfig()
	return &Trainer{Config: c, Engine: newEngine(t, "", 2), Dir: dir, DataHash: "x",
		Train: synthetic(t, c.Input, 6, 80), Val: synthetic(t, c.Input, 2, 80)}
}

// TestResume interrupts a training after every few steps; the weights must be
// those of an uninterrupted one to the bit.
func TestResume(t *testing.T) {
	straight := t.TempDir()
	r, err := trainer(t, straight).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	broken := t.TempDir()
	stop := errors.New("stop")
	for i := 0; ; i++ {
		if i > 30 {
			t.Fatal("training does not end")
		}
		tr := trainer(t, broken)
		tr.Resume = i > 0
		ctx, cancel := context.WithCancelCause(context.Background())
		left := 1 + i%3
		tr.Progress = func(Progress) {
			if left--; left == 0 {
				cancel(stop)
			}
		}
		r, err := tr.Run(ctx)
		if err == nil {
			r.Model.Params.Free()
			break
		}
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
	}
	for _, name := range []string{ModelFile, BestFile} {
		a, err := os.ReadFile(filepath.Join(straight, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(broken, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs after resuming", name)
		}
	}
}

func TestResumeRefusesOtherSettings(t *testing.T) {
	dir := t.TempDir()
	tr := trainer(t, dir)
	tr.Config.Epochs = 1
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	tr = trainer(t, dir)
	tr.Resume = true
	var e *ModelError
	if _, err := tr.Run(context.Background()); !errors.As(err, &e) {
		t.Errorf("error %v", err)
	}
}

func TestTwoTrainingsInOneFolder(t *testing.T) {
	dir := t.TempDir()
	tr := trainer(t, dir)
	tr.Progress = func(Progress) {
		tr.Progress = nil
		if _, err := trainer(t, dir).Run(context.Background()); !errors.Is(err, ErrBusy) {
			t.Errorf("second training: %v", err)
		}
	}
	tr.Config.Epochs = 1
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
}

// TestDivergence: a learning rate that ruins the weights ends with an
// explanation after one roll-back, and the checkpoint stays finite.
func TestDivergence(t *testing.T) {
	dir := t.TempDir()
	tr := trainer(t, dir)
	tr.Config.Epochs, tr.Config.ValidateEvery = 3, 9
	warned := 0
	tr.Warn = func(string) { warned++ }
	tr.EpochDone = func([]Epoch, int) { // ruin a weight after the first epoch
		tr.model.Params.Get("bottom.conv1.weight").Value[0] = float32(math.NaN())
	}
	_, err := tr.Run(context.Background())
	if !errors.Is(err, ErrDiverged) || warned != 1 {
		t.Fatalf("error %v after %d warnings", err, warned)
	}
	m, _, err := loadCheckpoint(filepath.Join(dir, CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	for _, q := range m.Params.All() {
		for _, v := range q.Value {
			if v-v != 0 {
				t.Fatalf("%s holds %v", q.Name, v)
			}
		}
	}
}

// TestTrainingSameBytes: the model file is the same for any number of threads
// and of processors.
func TestTrainingSameBytes(t *testing.T) {
	needsKernels(t)
	var want []byte
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, threads := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS([]int{2, 1, 5, 2}[i])
		dir := t.TempDir()
		tr := trainer(t, dir)
		tr.Engine = newEngine(t, "", threads)
		r, err := tr.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Model.Params.Free()
		got, err := os.ReadFile(filepath.Join(dir, ModelFile))
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got
		} else if !bytes.Equal(got, want) {
			t.Errorf("%d threads: another model than with 1", threads)
		}
	}
}

// TestLearns trains on discs and expects to find most of them.
func TestLearns(t *testing.T) {
	needsKernels(t)
	tr := trainer(t, t.TempDir())
	tr.Config.Epochs, tr.Config.Steps, tr.Config.LearningRate = 6, 40, 5e-3
	start := time.Now()
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Model.Params.Free()
	last := r.History[len(r.History)-1].Val
	t.Logf("%.1fs, %+v", time.Since(start).Seconds(), *last)
	if last.F1 < 0.9 || last.AP50 < 0.5 {
		t.Errorf("F1 %.3f, AP50 %.3f", last.F1, last.AP50)
	}
}

func TestCancel(t *testing.T) {
	p := NewPredictor(newEngine(t, "", 1), smallModel(t))
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Maps(ctx, randomImage(64, 64, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestFineTune trains on from a trained model: it starts where that one ended
// and keeps its thresholds.
func TestFineTune(t *testing.T) {
	needsKernels(t)
	tr := trainer(t, t.TempDir())
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Card.Instance.Seed, r.Model.Card.Instance.MinArea, r.Model.Card.Threshold = 0.35, 7, 0.45
	path := filepath.Join(t.TempDir(), ModelFile)
	if err := r.Model.Save(path, false); err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	from, err := LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Params.Free()
	var first []Epoch
	for range 2 { // once from scratch, once from the model
		next := trainer(t, t.TempDir())
		next.Config.Epochs = 1
		if len(first) == 1 {
			next.From = from
		}
		r, err := next.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, r.History[0])
		if card := r.Model.Card; len(first) == 2 && (card.Instance != from.Card.Instance || card.Threshold != 0.45 || card.Training.From != from.SHA256) {
			t.Errorf("thresholds %+v, %v; from %q", card.Instance, card.Threshold, card.Training.From)
		}
		r.Model.Params.Free()
	}
	if !(first[1].Train.Loss < first[0].Train.Loss) {
		t.Errorf("first epoch's loss is %v, from scratch %v", first[1].Train.Loss, first[0].Train.Loss)
	}
}

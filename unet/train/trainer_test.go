package train

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/imageio"
	"unet/unet/modeltest"

	"github.com/google/go-cmp/cmp"
)

// goldenState is what the golden checkpoint of package unet holds.
func goldenState() *state {
	v := Scores{Loss: 0.25, Accuracy: 0.75, KaggleScore: 0.5}
	return &state{Config: json.RawMessage(`{"seed":1}`), Data: "abc", ISA: "c", Epoch: 2, Step: 3, Updates: 13, Factor: 0.5,
		Waited: 1, Best: 0.5, BestEpoch: 2, RolledBack: true, Partial: tally{Loss: 1.5, Batches: 3, TP: 1, FP: 2, FN: 3, TN: 4},
		History: []Epoch{{Epoch: 1, Rate: 0.001, Seconds: 2}, {Epoch: 2, Rate: 0.002, Val: &v, Seconds: 3}}}
}

// TestGoldenState reads the state in the golden checkpoints of every format
// version.
func TestGoldenState(t *testing.T) {
	f, err := os.Open("../testdata/checkpoint_v1.safetensors.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), CheckpointFile)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m, s, err := loadCheckpoint(path)
	if err != nil {
		t.Fatal(err)
	}
	m.Params.Free()
	if d := cmp.Diff(goldenState(), s); d != "" {
		t.Error(d)
	}
}

// savedRun is a checkpoint of one finished epoch, as bytes, and its path.
func savedRun(t testing.TB) (path string, b []byte) {
	t.Helper()
	m, err := unet.NewModel(modeltest.Small(t).Card, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	path = filepath.Join(t.TempDir(), CheckpointFile)
	s := &state{Config: []byte("{}"), Epoch: 1, Updates: 3, Factor: 1, Best: 0.5, BestEpoch: 1, Finished: true,
		History: []Epoch{{Epoch: 1, Val: &Scores{Loss: 0.5}}}}
	if err := saveCheckpoint(m, path, s); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, b
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
		var e *unet.ModelError
		if !errors.As(err, &e) || e.Advice == "" || strings.Contains(err.Error(), "\n") {
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

// synthetic returns labelled images of discs.
func synthetic(t testing.TB, in unet.Input, n, size int) *Images {
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
	return &Trainer{Config: c, Engine: coretest.Engine(t, "", 2), Dir: dir, DataHash: "x",
		Train: synthetic(t, c.Input, 6, 80), Val: synthetic(t, c.Input, 2, 80)}
}

// events is an observer made of functions, which may be nil.
type events struct {
	silent
	started   func(Plan)
	progress  func(Progress)
	epochDone func()
	warn      func()
}

func (e *events) Started(p Plan) {
	if e.started != nil {
		e.started(p)
	}
}

func (e *events) Progress(p Progress) {
	if e.progress != nil {
		e.progress(p)
	}
}

func (e *events) EpochDone([]Epoch, int) {
	if e.epochDone != nil {
		e.epochDone()
	}
}

func (e *events) Warn(string) {
	if e.warn != nil {
		e.warn()
	}
}

// TestResume interrupts a training after every few steps; the weights must be
// those of an uninterrupted one to the bit. So must those of one that began with a
// model, though that is not named again.
func TestResume(t *testing.T) {
	t.Run("from random weights", func(t *testing.T) {
		testResume(t, func(*Trainer) {})
	})
	t.Run("from a model", func(t *testing.T) {
		tr := trainer(t, t.TempDir())
		tr.Config.Epochs = 1
		first, err := tr.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer first.Model.Params.Free()
		first.Model.Card.Instance.Foreground = 0.9 // another suits it better
		testResume(t, func(tr *Trainer) {
			tr.Config.Seed, tr.Config.Rehearsal = 2, 0.5
			if !tr.Resume {
				tr.From = first.Model
			}
		})

		again := trainer(t, t.TempDir())
		again.From, again.Config.Epochs = first.Model, 1
		r, err := again.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.Model.Params.Free()

		early := trainer(t, t.TempDir()) // is cut off before its start is scored
		early.From, early.Config.Epochs = first.Model, 1
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := early.Run(ended); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		early = trainer(t, early.Dir)
		early.Config.Epochs, early.Resume = 1, true
		if e, err := early.Run(t.Context()); err != nil || e.Start == nil || *e.Start != *r.Start || e.BestEpoch != r.BestEpoch {
			t.Errorf("resumed before the start was scored: %+v, %v; want a start of %+v", e, err, r.Start)
		} else {
			e.Model.Params.Free()
		}
		if err := os.Remove(filepath.Join(again.Dir, startFile)); err != nil {
			t.Fatal(err)
		}
		again.Resume, again.From = true, nil
		if _, err := again.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("resumed without the model that the mean is with: %v", err)
		}
	})
}

func testResume(t *testing.T, set func(*Trainer)) {
	straight := t.TempDir()
	tr := trainer(t, straight)
	set(tr)
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	untimed := func(list []Epoch) []Epoch {
		list = slices.Clone(list)
		for i := range list {
			list[i].Seconds = 0
		}
		return list
	}
	history := untimed(r.History)
	broken := t.TempDir()
	stop := errors.New("stop")
	for i := 0; ; i++ {
		if i > 30 {
			t.Fatal("training does not end")
		}
		tr := trainer(t, broken)
		tr.Resume = i > 0
		set(tr)
		ctx, cancel := context.WithCancelCause(context.Background())
		left := 1 + i%3
		tr.Observer = &events{progress: func(p Progress) {
			if p.Loading != "" {
				return
			}
			if left--; left == 0 {
				cancel(stop)
			}
		}}
		r, err := tr.Run(ctx)
		if err == nil {
			r.Model.Params.Free()
			if d := cmp.Diff(history, untimed(r.History)); d != "" {
				t.Errorf("the history differs after resuming: %s", d)
			}
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

func TestResumeRefusesOthers(t *testing.T) {
	dir := t.TempDir()
	tr := trainer(t, dir)
	tr.Config.Epochs = 1
	r, err := tr.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	for name, change := range map[string]func(*Trainer){
		"other settings": func(tr *Trainer) { tr.Config.Batch++ },
		"more epochs":    func(tr *Trainer) { tr.Config.Epochs = 4 },
		"other images":   func(tr *Trainer) { tr.DataHash = "y" },
	} {
		tr := trainer(t, dir)
		tr.Resume, tr.Config.Epochs = true, 1
		change(tr)
		var e *unet.ModelError
		if _, err := tr.Run(context.Background()); !errors.As(err, &e) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestTwoTrainingsInOneFolder(t *testing.T) {
	dir := t.TempDir()
	tr := trainer(t, dir)
	tried := false
	tr.Observer = &events{progress: func(Progress) {
		if tried {
			return
		}
		tried = true
		if _, err := trainer(t, dir).Run(context.Background()); !errors.Is(err, ErrBusy) {
			t.Errorf("second training: %v", err)
		}
	}}
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
	tr.Observer = &events{
		warn: func() { warned++ },
		epochDone: func() { // ruin a weight after the first epoch
			tr.model.Params.Get("bottom.conv1.weight").Value[0] = float32(math.NaN())
		},
	}
	_, err := tr.Run(context.Background())
	if !errors.Is(err, ErrDiverged) || warned != 1 {
		t.Fatalf("error %v after %d warnings", err, warned)
	}
	m, s, err := loadCheckpoint(filepath.Join(dir, CheckpointFile))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	if s.Factor != 0.5 {
		t.Errorf("rolled back with %v times the learning rate, want half", s.Factor)
	}
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
	coretest.NeedsKernels(t)
	var want []byte
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i, threads := range []int{1, 2, 3, 7} {
		runtime.GOMAXPROCS([]int{2, 1, 5, 2}[i])
		dir := t.TempDir()
		tr := trainer(t, dir)
		tr.Engine = coretest.Engine(t, "", threads)
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
	coretest.NeedsKernels(t)
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
	if last.F1 < 0.9 || last.PooledAP50 < 0.5 {
		t.Errorf("F1 %.3f, PooledAP50 %.3f", last.F1, last.PooledAP50)
	}
}

// TestFineTune trains on from a trained model: it starts where that one ended
// and keeps its thresholds.
func TestFineTune(t *testing.T) {
	coretest.NeedsKernels(t)
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
	from, err := unet.LoadModel(path)
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
		card, want := r.Model.Card, from.Card.Instance
		if own := r.History[0].Foreground; own > 0 {
			want.Foreground = own // the epoch's own threshold, which it was judged at
		}
		if len(first) == 2 && (card.Instance != want || card.Threshold != 0.45 || card.Training.From != from.SHA256) {
			t.Errorf("thresholds %+v, want %+v; %v; from %q", card.Instance, want, card.Threshold, card.Training.From)
		}
		r.Model.Params.Free()
	}
	if !(first[1].Train.Loss < first[0].Train.Loss) {
		t.Errorf("first epoch's loss is %v, from scratch %v", first[1].Train.Loss, first[0].Train.Loss)
	}
}

// largeSteps is a training whose steps take long.
func largeSteps(t *testing.T, dir string) *Trainer {
	tr := trainer(t, dir)
	tr.Config.Augment.Size, tr.Config.Batch, tr.Config.Epochs, tr.Config.Steps = 128, 8, 1, 2
	return tr
}

// TestTrainerCancels: no step follows the one within which the context ends,
// and no goroutine goes on drawing batches.
func TestTrainerCancels(t *testing.T) {
	tr := trainer(t, t.TempDir())
	tr.Config.Steps = 1 << 20
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	steps := 0
	tr.Observer = &events{progress: func(Progress) {
		if steps++; steps == 2 {
			cancel()
		}
	}}
	if _, err := tr.Run(ctx); !errors.Is(err, context.Canceled) || steps != 2 {
		t.Errorf("error %v after %d steps", err, steps)
	}
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n == 10000 {
			t.Fatalf("%d goroutines, before %d", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}

// countdown is a context that ends when it has been asked so many times
// whether it has: an interruption that does not depend on time.
type countdown struct {
	context.Context
	cancel context.CancelFunc
	left   int
}

func (c *countdown) Err() error {
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return c.Context.Err()
}

// TestResumeWithinSteps interrupts steps half done; the weights must be those
// of an uninterrupted training.
func TestResumeWithinSteps(t *testing.T) {
	coretest.NeedsKernels(t)
	straight, broken := t.TempDir(), t.TempDir()
	r, err := largeSteps(t, straight).Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r.Model.Params.Free()
	within := 0
	for i := 0; ; i++ {
		tr := largeSteps(t, broken)
		tr.Resume = i > 0
		base, cancel := context.WithCancel(context.Background())
		r, err := tr.Run(&countdown{base, cancel, 3 + 7*i})
		cancel()
		if err == nil {
			r.Model.Params.Free()
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		within++
	}
	t.Logf("interrupted %d times", within)
	a, err := os.ReadFile(filepath.Join(straight, ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(broken, ModelFile)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the weights differ from those of an uninterrupted training (%v)", err)
	}
	if within < 5 {
		t.Errorf("interrupted %d times only", within)
	}
}

// rewritten replaces text of a safetensors header.
func rewritten(file []byte, old, new string) []byte {
	n := binary.LittleEndian.Uint64(file)
	text := strings.Replace(string(file[8:8+n]), old, new, 1)
	return append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...), file[8+n:]...)
}

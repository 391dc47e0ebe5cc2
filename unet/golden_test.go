package unet

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/core/coretest"
	"unet/unet/instance"

	"github.com/google/go-cmp/cmp"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden files of the newest format version, if they are missing")

// golden are files of every format version there ever was. They stay as they
// are: a new version adds its own.
func golden(version int, kind string) string {
	return filepath.Join("testdata", fmt.Sprintf("%s_v%d.safetensors.gz", kind, version))
}

// goldenModel is the model in the golden files: the smallest network, with
// weights that compress well and are exact in half precision.
func goldenModel(t *testing.T) *Model {
	t.Helper()
	card := Card{Kind: Nuclei, Name: "golden",
		Arch:  Arch{Channels: 3, Depth: 1, Width: 16, Norm: "batch", Heads: threeHeads},
		Input: Input{Normalise: "percentile", Low: 1, High: 99.8}, Threshold: 0.4,
		Instance: instance.Params{Foreground: 0.45, Seed: 0.3, Prominence: 0.1, MinArea: 12, FillHoles: true},
		Diameter: [3]float64{8, 14.5, 30},
		Training: Training{Program: "golden", ISA: "c", Date: "2026-11-23", Data: "none", License: "CC0-1.0",
			Images: 3, Epochs: 2, Steps: 10, Settings: json.RawMessage(`{"seed":1}`), Metrics: map[string]float64{"ap": 0.5}}}
	m, err := NewModel(card, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Params.Free)
	for _, q := range m.Params.All() {
		for i := range q.Value {
			q.Value[i] = float32(i%13-5) / 64
			if strings.HasSuffix(q.Name, "running_var") {
				q.Value[i] = float32(1+i%5) / 4
			}
		}
	}
	am, av, ema := m.Params.State()
	for i := range am {
		am[i] = float32(i%7) / 8
	}
	for i := range av {
		av[i] = float32(i%11) / 16
	}
	for i := range ema {
		ema[i] = float32(i%17) / 32
	}
	return m
}

// unpacked writes the content of a golden file to a folder.
func unpacked(t *testing.T, version int, kind string) string {
	t.Helper()
	f, err := os.Open(golden(version, kind))
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
	path := filepath.Join(t.TempDir(), kind+".safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func packGolden(t *testing.T, path, kind string) {
	t.Helper()
	if _, err := os.Stat(golden(formatVersion, kind)); err == nil {
		return // never changed
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	z.Write(b)
	z.Close()
	if err := os.WriteFile(golden(formatVersion, kind), packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGolden reads model files and checkpoints of every format version.
func TestGolden(t *testing.T) {
	want := goldenModel(t)
	if *writeGolden {
		dir := t.TempDir()
		for kind, save := range map[string]func(string) error{
			"model":      func(p string) error { return want.Save(p, false) },
			"half":       func(p string) error { return want.Save(p, true) },
			"checkpoint": func(p string) error { return want.SaveCheckpoint(p, []byte(`{"epoch":2}`)) },
		} {
			path := filepath.Join(dir, kind)
			if err := save(path); err != nil {
				t.Fatal(err)
			}
			packGolden(t, path, kind)
		}
	}
	for version := 1; version <= formatVersion; version++ {
		for _, kind := range []string{"model", "half"} {
			m, err := LoadModel(unpacked(t, version, kind))
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, fmt.Sprintf("%s of version %d", kind, version), want, m)
			p := NewPredictor(coretest.Engine(t, "", 1), m)
			if maps, err := p.Maps(context.Background(), randomImage(40, 30, 1)); err != nil || len(maps.Plane(instance.Distance)) != 40*30 {
				t.Errorf("%s of version %d does not predict: %v", kind, version, err)
			}
			p.Close()
			m.Params.Free()
		}
		m, state, err := LoadCheckpoint(unpacked(t, version, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		compareGolden(t, fmt.Sprintf("checkpoint of version %d", version), want, m)
		if !json.Valid(state) {
			t.Errorf("state of version %d: %s", version, state)
		}
		am, av, ema := want.Params.State()
		bm, bv, bema := m.Params.State()
		if d := cmp.Diff([][]float32{am, av, ema}, [][]float32{bm, bv, bema}); d != "" {
			t.Errorf("moments and average of version %d differ", version)
		}
		m.Params.Free()
	}
}

func compareGolden(t *testing.T, what string, want, got *Model) {
	t.Helper()
	if d := cmp.Diff(want.Card, got.Card); d != "" {
		t.Errorf("card of the %s: %s", what, d)
	}
	for _, q := range want.Params.All() {
		if d := cmp.Diff(q.Value, got.Params.Get(q.Name).Value); d != "" {
			t.Errorf("%s of the %s differs", q.Name, what)
		}
	}
}

// TestNewerFormat: a file of a version to come is refused with a clear text,
// a model and a checkpoint alike.
func TestNewerFormat(t *testing.T) {
	for _, kind := range []string{"model", "checkpoint"} {
		path := unpacked(t, formatVersion, kind)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		old, next := fmt.Sprintf(`{\"version\":%d,`, formatVersion), fmt.Sprintf(`{\"version\":%d,`, formatVersion+1)
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("the version is not where it is looked for in the %s", kind)
		}
		if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(next), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		if kind == "model" {
			_, err = LoadModel(path)
		} else {
			_, _, err = LoadCheckpoint(path)
		}
		var e *ModelError
		if !errors.As(err, &e) || !strings.Contains(e.Problem, fmt.Sprintf("model format %d", formatVersion+1)) || e.Advice != "use a newer unet" {
			t.Errorf("%s of the next version: %v", kind, err)
		}
	}
}

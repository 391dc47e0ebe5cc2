package train

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unet/core"
	"unet/core/coretest"
	"unet/unet"
	"unet/unet/dataset"
)

// notes keeps what an observer hears.
type notes struct {
	silent
	warnings []string
}

func (n *notes) Warn(text string) { n.warnings = append(n.warnings, text) }

// TestMemoryOfRun: a run that takes more than there is leaves nothing behind and
// tells what fits; one that takes more than is free is warned of.
func TestMemoryOfRun(t *testing.T) {
	e := coretest.Engine(t, "", 1)
	cfg, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	set := &dataset.Set{Dir: "set", Meta: &dataset.Metadata{}}
	for _, split := range []string{dataset.Train, dataset.Val} {
		set.Entries = append(set.Entries, dataset.Entry{ID: split, Split: split, W: 512, H: 512, C: 1})
	}
	out := filepath.Join(t.TempDir(), "run")
	o := Options{Engine: e, Set: set, Out: out, Config: cfg}
	need, err := o.need(cfg.Batch, false)
	if err != nil {
		t.Fatal(err)
	}
	o.Memory = need - 1
	_, err = Run(t.Context(), o, silent{})
	var limit *core.MemoryError
	if !errors.As(err, &limit) || !strings.Contains(limit.Hint(), " with recompute") || !strings.Contains(limit.Hint(), " with batch ") {
		t.Errorf("error %v, hint of what fits missing", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the refused run made its folder")
	}
	// Where recomputing alone does not help, the batch is what has to change.
	least, err := o.need(1, true)
	if err != nil {
		t.Fatal(err)
	}
	if advice, option, err := o.smaller(least); err != nil || option != "batch" || !strings.Contains(advice, "recompute and batch 1") {
		t.Errorf("%q, %q, %v", advice, option, err)
	}
	var heard notes
	o.Memory, o.Free = need, need-1
	if got, err := o.fits(&heard); err != nil || got != need || len(heard.warnings) != 1 {
		t.Errorf("%d bytes, %v, warnings %q", got, err, heard.warnings)
	}
	if o.Free = need; need > 0 {
		heard.warnings = nil
		if _, err := o.fits(&heard); err != nil || len(heard.warnings) > 0 {
			t.Errorf("%v, warnings %q", err, heard.warnings)
		}
	}
}

// TestMemoryOfManyImages: a set larger than memory lies in a file, so that it needs no
// more of it than a small one.
func TestMemoryOfManyImages(t *testing.T) {
	e := coretest.Engine(t, "", 1)
	cfg, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	need := func(images int) int64 {
		set := &dataset.Set{Dir: "set", Meta: &dataset.Metadata{}}
		for range images {
			set.Entries = append(set.Entries, dataset.Entry{Split: dataset.Train, W: 512, H: 512, C: 1})
		}
		n, err := (&Options{Engine: e, Set: set, Config: cfg}).need(cfg.Batch, false)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if few, many := need(10), need(100000); many-few > inMemory {
		t.Errorf("10 images: %d bytes, 100,000: %d", few, many)
	}
}

// TestMemoryOfScoring: validation predicts whole images, so that large ones take
// memory of their own, as much as predicting them does.
func TestMemoryOfScoring(t *testing.T) {
	e := coretest.Engine(t, "", 1)
	cfg, err := NucleiConfig("quick")
	if err != nil {
		t.Fatal(err)
	}
	need := func(split string) int64 {
		set := &dataset.Set{Dir: "set", Meta: &dataset.Metadata{}}
		set.Entries = []dataset.Entry{{Split: split, W: 1024, H: 1024, C: 1}}
		n, err := (&Options{Engine: e, Set: set, Config: cfg}).need(cfg.Batch, false)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	m, err := unet.NewModel(unet.Card{Kind: cfg.Kind, Arch: cfg.Arch, Input: cfg.Input}, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	predicting, err := m.Memory(1024, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if more := need(dataset.Val) - need(dataset.Train); more < int64(predicting)*9/10 {
		t.Errorf("an image to score takes %d bytes more than one to draw from; predicting it takes %d", more, predicting)
	}
}

package crossval

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unet/core"
	"unet/unet"
	"unet/unet/dataset"
	"unet/unet/dataset/datasettest"
	"unet/unet/train"

	"github.com/google/go-cmp/cmp"
)

// entries makes a set's entries: of each source so many groups of two images, half of
// them in its test split.
func entries(groups map[string]int) (list []dataset.Entry) {
	for source, n := range groups {
		for g := range n {
			for k := range 2 {
				list = append(list, dataset.Entry{ID: fmt.Sprint(source, g, k), Source: source, Group: fmt.Sprint("g", source, g), Kind: dataset.GrayTissue,
					Split: []string{dataset.Train, dataset.Test}[g%2]})
			}
		}
	}
	return list
}

// TestFoldsPartition: every image is left out by one fold, with all of its group and,
// by source, all of its source; the others are trained and validated on.
func TestFoldsPartition(t *testing.T) {
	set := &dataset.Set{Dir: "set", Meta: &dataset.Metadata{}, Entries: entries(map[string]int{"a": 9, "b": 5, "c": 4, "d": 1})}
	for _, c := range []struct {
		by      By
		n, most int // folds that a set makes at most
	}{{Sources, 2, 4}, {Sources, 3, 4}, {Sources, 4, 4}, {Groups, 2, 19}, {Groups, 5, 19}, {Groups, 19, 19}} {
		o := Options{Options: train.Options{Set: set, Out: "out"}, By: c.by, Folds: c.n}
		folds, err := o.folds()
		if err != nil || len(folds) != c.n {
			t.Fatalf("%v: %d folds, %v", c, len(folds), err)
		}
		left := map[string]int{} // fold by image
		for k := range folds {
			f := &folds[k]
			if f.Number != k+1 || f.Folder != filepath.Join("out", fmt.Sprint("fold-", k+1)) || (f.Sources != nil) != (c.by == Sources) {
				t.Errorf("%v: fold %+v", c, f)
			}
			s, err := f.split(set)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Split(dataset.Test)) == 0 || len(s.Split(dataset.Train)) == 0 || len(s.Split(dataset.Val)) == 0 {
				t.Errorf("%v: fold %d has an empty split", c, k+1)
			}
			for _, e := range s.Entries {
				if e.Split != dataset.Test {
					continue
				}
				if left[e.ID] > 0 {
					t.Errorf("%v: folds %d and %d leave out %s", c, left[e.ID], k+1, e.ID)
				}
				left[e.ID] = k + 1
			}
		}
		at := map[string]int{} // fold by what is kept whole
		for _, e := range set.Entries {
			whole := e.Group
			if c.by == Sources {
				whole = e.Source
			}
			if at[whole] == 0 {
				at[whole] = left[e.ID]
			}
			if left[e.ID] == 0 || left[e.ID] != at[whole] {
				t.Errorf("%v: fold %d leaves out %s, fold %d others of %s", c, left[e.ID], e.ID, at[whole], whole)
			}
		}
		o.Folds = c.most + 1
		if _, err := o.folds(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%d %ss, which cannot make %d folds", c.most, c.by, c.most+1)) {
			t.Errorf("%v: one fold more: %v", c, err)
		}
	}
}

// quiet hears nothing but, if it is set, of epochs.
type quiet struct{ epoch func() }

func (quiet) Started(train.Plan)      {}
func (quiet) Progress(train.Progress) {}
func (quiet) Note(string)             {}
func (quiet) Warn(string)             {}
func (q quiet) EpochDone([]train.Epoch, int) {
	if q.epoch != nil {
		q.epoch()
	}
}

// options are those of three folds of a small network, in a new folder.
func options(t *testing.T, set *dataset.Set, e *core.Engine) Options {
	t.Helper()
	c, err := train.ReadConfig("", train.Defaults{Kind: unet.Nuclei, Preset: "quick"})
	if err != nil {
		t.Fatal(err)
	}
	c.Arch.Depth, c.Arch.Width, c.Batch, c.Steps, c.Epochs = 1, 16, 1, 2, 2
	return Options{Options: train.Options{Engine: e, Set: set, Out: filepath.Join(t.TempDir(), "out"), Config: c}, Folds: 3, By: Groups}
}

// TestRun: folds that are trained in one process, one at a time in any order, or in two
// runs of which the first is interrupted, give the same report.
func TestRun(t *testing.T) {
	set := datasettest.Prepared(t, dataset.Synthesis{Count: 8, Size: 64, Seed: 3}, dataset.Options{})
	e, err := core.NewEngine("", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	once := options(t, set, e)
	want, err := Run(t.Context(), once, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	images := 0
	for _, f := range want.Folds {
		images += f.Scores.Images
	}
	if images != len(set.Entries) || len(want.Folds) != 3 || want.By != Groups {
		t.Errorf("%d of %d images are scored, in %d folds by %s", images, len(set.Entries), len(want.Folds), want.By)
	}
	t.Run("parts", func(t *testing.T) {
		o := options(t, set, e)
		for _, o.Part = range []int{3, 1, 3, 2} { // one of them again
			o.Of = 3
			if s, err := Run(t.Context(), o, quiet{}); s != nil || err != nil {
				t.Fatalf("part %d: %v, %v", o.Part, s, err)
			}
		}
		o.Of, o.Wait = 0, true
		again := o
		again.Options.Config.Epochs = 9 // would be refused, were a fold trained again
		if _, err := Run(t.Context(), again, quiet{}); err == nil {
			t.Error("folds of other settings are taken")
		}
		same(t, want, once, o)
	})
	t.Run("interrupted", func(t *testing.T) {
		o := options(t, set, e)
		gone, epochs := errors.New("gone"), 0
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		if _, err := Run(ctx, o, quiet{func() {
			if epochs++; epochs == 3 { // the first of the second fold
				cancel(gone)
			}
		}}); !errors.Is(err, gone) {
			t.Fatalf("interrupted: %v", err)
		}
		if _, err := os.Stat(filepath.Join(o.Out, jsonFile)); err == nil {
			t.Error("an interrupted run has a report")
		}
		same(t, want, once, o)
	})
}

// same completes a cross-validation and compares what it finds and writes.
func same(t *testing.T, want *Summary, once, o Options) {
	t.Helper()
	got, err := Run(t.Context(), o, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	for k := range want.Folds {
		if d := cmp.Diff(want.Folds[k].Scores, got.Folds[k].Scores); d != "" || want.Folds[k].Epochs != got.Folds[k].Epochs {
			t.Errorf("fold %d: %s", k+1, d)
		}
	}
	if d := cmp.Diff(want.Means, got.Means); d != "" {
		t.Error(d)
	}
	for _, name := range []string{pageFile, tableFile, jsonFile} {
		a, err := os.ReadFile(filepath.Join(once.Out, name))
		b, err2 := os.ReadFile(filepath.Join(o.Out, name))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, bytes.ReplaceAll(b, []byte(o.Out), []byte(once.Out))) {
			t.Errorf("%s differs", name)
		}
	}
}
